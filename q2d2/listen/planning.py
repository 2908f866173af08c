"""Who hears what in which order: drawn by the seed and the listener's number, so it is the same after a pause.

Every listener has an order of trials of their own, and an order of stimuli within each. Of pairs, each listener
hears about half with the first condition first.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from q2d2.listen.study import Study

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Page(NamedTuple):
    """One trial as one listener meets it; all that the browser may know is how many stimuli there are."""

    trial: int  # its index in study.trials
    order: tuple[str, ...]  # conditions as they are lettered: A, B, C, ...
    x: str | None  # the condition that X is, where X is to be identified


class Answer(NamedTuple):
    """What is stored of a choice between two."""

    condition: str
    score: float


def plan(study: Study, rater: int) -> list[Page]:
    """The pages of a listener, first to last."""
    rng = np.random.default_rng((study.seed, rater))
    pages = []
    flips = rng.permutation(np.arange(len(study.trials)) % 2 == rater % 2)
    sides = rng.permutation(np.arange(len(study.trials)) % 2 == (rater // 2) % 2)
    for index in map(int, rng.permutation(len(study.trials))):
        conditions = list(study.trials[index].stimuli)
        if study.protocol.kind == "multiple":
            order = [conditions[place] for place in rng.permutation(len(conditions))]
        else:
            order = conditions[::-1] if flips[index] else conditions
        x = order[int(sides[index])] if study.protocol.kind == "identify" else None
        pages.append(Page(index, tuple(order), x))
    return pages


def answer(study: Study, page: Page, choice: float) -> Answer:
    """A choice between A (negative) and B (positive) as a score of the trial's second condition.

    Above 0: better than the first. Where X is to be identified: 1 if it was, 0 if not.
    """
    second = list(study.trials[page.trial].stimuli)[1]
    if page.x is not None:
        return Answer(second, float(page.order[int(choice > 0)] == page.x))
    return Answer(second, choice if page.order[1] == second else 0.0 - choice)


def choice(study: Study, page: Page, score: float) -> float:
    """What was chosen, from what is stored: the inverse of `answer`."""
    second = list(study.trials[page.trial].stimuli)[1]
    if page.x is not None:
        is_b = page.order[1] == page.x
        return 1.0 if is_b == (score > 0) else -1.0
    return score if page.order[1] == second else 0.0 - score
