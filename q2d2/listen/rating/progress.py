"""Where a listener is in a study, and what the letters before them mean. Knows nothing of requests and pages."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache, partial
from typing import Literal, NamedTuple

from q2d2.listen.planning import LETTERS, Page, answer, choice, plan
from q2d2.listen.store import Rater, Score, Store
from q2d2.listen.study import Study, Trial

_PLANS = 1024  # of the listeners who are at it


class Place(NamedTuple):
    """Where a listener is."""

    step: Literal["welcome", "training", "trial", "thanks"]
    number: int = 0  # of the page, from 1, where the step is "trial"


class Sheet(NamedTuple):
    """A trial as one listener has it before them."""

    label: str  # "1", "2", ... in the listener's order; "t1", "t2", ... in the training
    trial: Trial
    page: Page

    @property
    def letters(self) -> str:
        return LETTERS[: len(self.page.order)]

    @property
    def sounds(self) -> list[str]:
        """What can be heard, by the names that the browser knows."""
        openly = ["reference"] if self.trial.reference is not None else []
        return [*openly, *self.letters, *(["x"] if self.page.x is not None else [])]

    def file(self, sound: str) -> str | None:
        """The file behind a letter, "reference" or "x"; None where there is no such sound."""
        if sound not in self.sounds:
            return None
        if sound == "reference":
            return self.trial.reference
        condition = self.page.x if sound == "x" else self.page.order[LETTERS.index(sound)]
        return self.trial.stimuli[str(condition)]


class Progress:
    """The listeners' ways through one study."""

    def __init__(self, study: Study, store: Store) -> None:
        self.study = study
        self.store = store
        self._pages = lru_cache(maxsize=_PLANS)(partial(plan, study))
        self._practice = lru_cache(maxsize=_PLANS)(partial(plan, replace(study, trials=study.training)))

    def place(self, rater: Rater) -> Place:
        """The first thing that this listener has not done."""
        if rater.finished_at is not None:
            return Place("thanks")
        if rater.started_at is None:
            return Place("welcome")
        if rater.trained_at is None and self.study.training:
            return Place("training")
        submitted = self.store.submitted(rater.number)
        for number, page in enumerate(self._pages(rater.number), start=1):
            if page.trial not in submitted:
                return Place("trial", number)
        return Place("thanks")

    def sheet(self, rater: Rater, number: int) -> Sheet:
        """Page `number`, from 1, of this listener."""
        page = self._pages(rater.number)[number - 1]
        return Sheet(str(number), self.study.trials[page.trial], page)

    def training(self, rater: Rater) -> list[Sheet]:
        """What this listener hears before it counts."""
        pages = self._practice(rater.number)
        return [
            Sheet(f"t{number}", self.study.training[page.trial], page) for number, page in enumerate(pages, start=1)
        ]

    def asked(self, sheet: Sheet) -> tuple[str, ...]:
        """What a page wants answers to: each letter, or "choice", the one between A and B."""
        return tuple(sheet.letters) if self.study.protocol.kind == "multiple" else ("choice",)

    def answered(self, sheet: Sheet, asked: str, score: float, plays: int) -> Score:
        """An answer as it is stored: of a choice, as a score of the trial's second condition."""
        if asked == "choice":
            condition, score = answer(self.study, sheet.page, score)
        else:
            condition = sheet.page.order[LETTERS.index(asked)]
        return Score(condition, score, sheet.page.order.index(condition) + 1, plays)

    def given(self, rater: Rater, sheet: Sheet) -> dict[str, float]:
        """What this listener answered so far, by what was asked."""
        answers = self.store.answers(rater.number, sheet.page.trial)
        if self.study.protocol.kind == "multiple":
            lettered = zip(sheet.letters, sheet.page.order, strict=True)
            return {letter: answers[condition] for letter, condition in lettered if condition in answers}
        scores = list(answers.values())
        return {"choice": choice(self.study, sheet.page, scores[0])} if scores else {}
