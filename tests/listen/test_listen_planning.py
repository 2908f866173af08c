"""Laws of who hears what in which order, for every protocol."""

import hashlib
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from simulated_raters import study_of

from q2d2.listen.planning import answer, choice, plan
from q2d2.listen.study import Study

SYSTEMS = ("one", "two", "three")
PAIRED = ["cmos-q", "cmos-p", "ab", "abx"]


def first_of(study: Study, rater: int) -> dict[int, bool]:
    """By trial, whether the listener hears its first condition as A."""
    return {page.trial: page.order[0] == next(iter(study.trials[page.trial].stimuli)) for page in plan(study, rater)}


@pytest.mark.parametrize("protocol", ["mushra", *PAIRED])
def test_every_listener_hears_all_trials_once_in_an_order_of_their_own(protocol):
    study = study_of(protocol, SYSTEMS)
    plans = {rater: plan(study, rater) for rater in range(1, 21)}
    for rater, pages in plans.items():
        assert sorted(page.trial for page in pages) == list(range(len(study.trials)))
        assert all(set(page.order) == set(study.trials[page.trial].stimuli) for page in pages)
        assert pages == plan(study, rater)
    assert len({tuple(page.trial for page in pages) for pages in plans.values()}) == 20


def test_every_condition_of_mushra_is_every_letter_equally_often():
    study = study_of("mushra", SYSTEMS, items=10)
    places = Counter((c, place) for r in range(1, 121) for page in plan(study, r) for place, c in enumerate(page.order))
    counts = np.array([[places[c, place] for place in range(6)] for c in study.trials[0].stimuli])
    assert counts.sum() == 6 * 1200
    assert stats.chisquare(counts.ravel()).pvalue > 0.001


@pytest.mark.parametrize("protocol", PAIRED)
@pytest.mark.parametrize("items", [7, 8])
def test_sides_are_balanced_for_each_pair_and_for_each_trial(protocol, items):
    study = study_of(protocol, SYSTEMS, items=items)
    pairs = [tuple(trial.stimuli) for trial in study.trials]
    for rater in range(1, 11, 2):
        one, next_one = first_of(study, rater), first_of(study, rater + 1)
        assert all(one[trial] != next_one[trial] for trial in one)
        by_pair = defaultdict(list)
        for trial, is_first in one.items():
            by_pair[pairs[trial]].append(is_first)
        assert all(abs(2 * sum(sides) - items) <= items % 2 for sides in by_pair.values())


def test_x_is_a_or_b_by_chance_and_not_in_equal_parts():
    """Were they equal, a listener who guesses in equal parts would not be right half of the time by chance."""
    study = study_of("abx", ("one",), items=10, reference=True)
    is_a = [sum(page.x == page.order[0] for page in plan(study, rater)) for rater in range(400)]
    expected = 400 * stats.binom.pmf(np.arange(11), 10, 0.5)
    found = np.bincount(is_a, minlength=11)
    tails = [slice(0, 3), slice(8, 11)]  # together, since few are there
    merged = [[part[tails[0]].sum(), *part[3:8], part[tails[1]].sum()] for part in (found, expected)]
    assert stats.chisquare(*merged).pvalue > 0.001


@pytest.mark.parametrize("protocol", PAIRED)
def test_a_choice_is_what_comes_back(protocol):
    study = study_of(protocol, SYSTEMS)
    for page in plan(study, 1):
        for mark in study.protocol.scale:
            given = answer(study, page, mark.value)
            assert given.condition == list(study.trials[page.trial].stimuli)[1]
            assert choice(study, page, given.score) == mark.value


def test_orders_cannot_be_told_from_what_is_public_and_differ_between_studies():
    study = study_of("cmos-q", SYSTEMS)
    for other in (replace(study, study_id="another"), study_of("cmos-p", SYSTEMS)):
        assert all(plan(study, rater) != plan(other, rater) for rater in range(1, 21))


@pytest.mark.parametrize(
    ("protocol", "digest"), [("mushra", "5203e469d670c4d3"), ("ab", "28e90010ce465904"), ("abx", "6a499da9b98e69ff")]
)
def test_orders_are_those_of_studies_that_have_begun(protocol, digest):
    """If this fails, a listener who comes back after an update rates other sounds than those that were heard.

    Then a study's version (`study.py`) has to change as well, so that it is refused.
    """
    study = study_of(protocol, ("one", "two"), items=3, reference=protocol != "ab")
    said = repr([tuple(page) for rater in (1, 2) for page in plan(study, rater)])
    assert hashlib.sha256(said.encode()).hexdigest()[:16] == digest
