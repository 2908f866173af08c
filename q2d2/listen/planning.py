"""Who hears what in which order: follows from the study and the listener's number, so it is the same after a pause.

Every listener has an order of trials of their own, and an order of stimuli within each. Of every pair of conditions
each listener hears half the trials with the first condition first; and of listeners 1 and 2, 3 and 4, ... one hears a
trial one way round and the other one the other. X is A or B by chance: were these balanced, whoever guesses could do
so too.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

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
    flips = _flips(study, rater)
    pages = []
    for trial in _shuffled(study, f"pages {rater}", len(study.trials)):
        conditions = list(study.trials[trial].stimuli)
        if study.protocol.kind == "multiple":
            order = [conditions[place] for place in _shuffled(study, f"letters {rater} {trial}", len(conditions))]
        else:
            order = conditions[::-1] if flips[trial] else conditions
        x = order[_shuffled(study, f"x {rater} {trial}", 2)[0]] if study.protocol.kind == "identify" else None
        pages.append(Page(trial, tuple(order), x))
    return pages


def _flips(study: Study, rater: int) -> list[bool]:
    """For each trial, whether the listener hears its second condition first."""
    pairs = [tuple(trial.stimuli) for trial in study.trials]
    flips = [False] * len(pairs)
    for pair in dict.fromkeys(pairs):
        places = [place for place, other in enumerate(pairs) if other == pair]
        what = f"sides {(rater - 1) // 2} {pair}"  # of two listeners, 1 and 2, 3 and 4, ...
        start = _shuffled(study, f"{what} start", 2)[0]
        for number, place in enumerate(_shuffled(study, what, len(places)), start=start + rater):
            flips[places[place]] = number % 2 == 0
    return flips


def _shuffled(study: Study, what: str, count: int) -> list[int]:
    """0 to `count` - 1, in an order that only the study's id tells, which no listener knows.

    By hashes, which are the same after any update of any library; a generator of random numbers need not be.
    """
    return sorted(range(count), key=lambda place: hashlib.sha256(f"{study.study_id} {what} {place}".encode()).digest())


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
