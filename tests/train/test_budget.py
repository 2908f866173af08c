"""Budgets: shares, ends, and learning rates that follow them."""

import time
from dataclasses import replace

import pytest

from q2d2.train.budget import MARGIN_S, Budget, rate_factor
from q2d2.train.recipes import PAPER, SPEECH


def test_steps_are_shares() -> None:
    budget = Budget(None, 10, time.monotonic())
    assert [budget.share(step) for step in (0, 5, 10)] == [0.0, 0.5, 1.0]


def test_minutes_count_from_the_start_with_earlier_sessions_and_keep_the_ending_free() -> None:
    budget = Budget(2.0, None, time.monotonic() - 30)
    budget.earlier_s = 15.0
    assert budget.share(0) == pytest.approx(45 / (120 - MARGIN_S), abs=1e-3)
    budget.ending_s = 50.0
    assert budget.share(0) == pytest.approx(45 / (60 - MARGIN_S), abs=1e-3)
    budget.step_s = 20.0  # the next step would end too late
    assert budget.share(0) == 1.0


@pytest.mark.parametrize("budget", [(None, None), (1.0, 1), (0.0, None), (None, 0), (-1.0, None), (None, -1)])
def test_a_budget_is_one_positive_number(budget: tuple) -> None:
    with pytest.raises(ValueError, match="budget"):
        Budget(*budget, 0.0)


def test_the_cosine_of_the_paper_runs_from_one_to_nothing() -> None:
    assert [rate_factor(PAPER, 0, share) for share in (0.0, 0.5, 1.0, 1.5)] == pytest.approx([1, 0.5, 0, 0])


def test_the_linear_schedule_rises_stays_and_falls() -> None:
    recipe = replace(SPEECH, warmup_steps=10, decay_from=0.6)
    assert rate_factor(recipe, 0, 0.0) == 0.1
    assert [rate_factor(recipe, 50, share) for share in (0.1, 0.6, 0.8, 1.0)] == pytest.approx([1, 1, 0.5, 0])
