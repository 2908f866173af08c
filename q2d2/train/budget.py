"""How much of a run is spent: steps, or minutes that include start-up and the last save. Learning rates follow it."""

from __future__ import annotations

import math
import time

from q2d2.train.recipes import Recipe

MARGIN_S = 1.0  # of a budget in minutes: for what is left to do after the last save


class Budget:
    """`minutes` since `started` (a `time.monotonic()`), or `steps`. A resumed run has spent some before."""

    def __init__(self, minutes: float | None, steps: int | None, started: float) -> None:
        if (minutes is None) == (steps is None):
            raise ValueError("training needs one budget: either minutes or steps")
        if not (minutes if steps is None else steps or 0) or (minutes or 1) < 0 or (steps or 1) < 0:
            raise ValueError(f"a budget must be more than nothing, got {minutes if steps is None else steps}")
        self.minutes, self.steps, self.started = minutes, steps, started
        self.earlier_s = 0.0  # of earlier sessions of this run
        self.ending_s = 0.0  # what saving and measuring have taken at most: kept free at the end
        self.step_s = 0.0  # what the last step took: a next one is not begun if it would not end in time

    @property
    def elapsed_s(self) -> float:
        return self.earlier_s + time.monotonic() - self.started

    def share(self, step: int) -> float:
        """0 at the start, 1 and more when it is time to stop."""
        if self.steps is not None:
            return step / self.steps
        assert self.minutes is not None
        usable_s = 60 * self.minutes - 1.2 * self.ending_s - MARGIN_S
        return self.elapsed_s / usable_s if usable_s > self.elapsed_s + self.step_s else 1.0


def rate_factor(recipe: Recipe, step: int, share: float) -> float:
    """What the learning rate is multiplied by: a warm-up by steps, and a fall by share of the budget."""
    rise = min(1.0, (step + 1) / recipe.warmup_steps) if recipe.warmup_steps else 1.0
    share = min(max(share, 0.0), 1.0)
    if recipe.schedule == "cosine":
        return rise * 0.5 * (1 + math.cos(math.pi * share))
    return rise * min(1.0, (1 - share) / (1 - recipe.decay_from))
