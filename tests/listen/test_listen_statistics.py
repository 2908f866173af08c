"""Statistics against hand-worked values, scipy, and simulated listeners of whom the truth is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from simulated_raters import Panel, frame_of, ratings, study_of

from q2d2.listen.protocols import REFERENCE
from q2d2.listen.report.comparisons import between_systems, identifications, preferences, tallies, with_baseline
from q2d2.listen.report.results import analyse
from q2d2.listen.report.statistics import estimate, holm, raters_interval, signed_rank, t_interval

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_holm_against_values_worked_by_hand():
    # 0.005 * 4, 0.01 * 3, then 0.03 * 2, and 0.04 * 1 is not below the one before it
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]) == [1.0, 1.0] and holm([0.02]) == [0.02] and holm([]) == []


@given(P_VALUES)
def test_holm_keeps_the_order_and_lies_between_none_and_bonferroni(p_values):
    corrected = holm(p_values)
    for p, after in zip(p_values, corrected, strict=True):
        assert p <= after <= min(1.0, p * len(p_values)) + 1e-12
    order = np.argsort(p_values, kind="stable")
    assert np.all(np.diff(np.array(corrected)[order]) >= 0)


def test_an_estimate_against_values_worked_by_hand():
    found = estimate("one", np.array([70.0, 80.0, 90.0, 100.0]), np.array([1, 1, 2, 2]))
    assert found[:4] == ("one", 4, 2, 85.0)
    # t of 3 degrees of freedom: 3.182446; deviation sqrt(500 / 3)
    assert found.over_ratings.half_width == pytest.approx(3.182446 * np.sqrt(500 / 3) / 2, rel=1e-6)
    # listeners' means of 75 and 95: t of 1 degree of freedom is 12.706205, deviation sqrt(200)
    assert found.over_raters == pytest.approx((85 - 12.706205 * 10, 85 + 12.706205 * 10), rel=1e-6)
    assert found[6:] == (77.5, 85.0, 92.5)


def test_intervals_exist_only_where_there_is_something_to_go_by():
    alone = estimate("one", np.array([50.0]), np.array([1]))
    assert alone.over_ratings is None and alone.over_raters is None and alone.median == 50
    same = estimate("one", np.full(9, 100.0), np.repeat([1, 2, 3], 3))
    assert same.over_ratings == (100, 100) and same.over_raters == (100, 100)
    with pytest.raises(ValueError, match="no ratings"):
        estimate("one", np.array([]), np.array([], int))
    with pytest.raises(ValueError, match="not a number"):
        estimate("one", np.array([1.0, np.nan]), np.array([1, 2]))


def test_the_interval_over_listeners_is_that_of_their_means():
    rng = np.random.default_rng(0)
    raters = np.repeat(np.arange(25), 8)
    scores = 70 + rng.normal(0, 6, 25)[raters] + rng.normal(0, 4, raters.size)
    found = raters_interval(scores, raters)
    assert found == pytest.approx(t_interval(scores.reshape(25, 8).mean(1)))
    shuffled = rng.permutation(scores.size)
    assert found == pytest.approx(raters_interval(scores[shuffled], raters[shuffled] + 7))


def coverage(bias, listeners, most=12, least=12, runs=300):
    """In how many runs the intervals over ratings and over listeners hold the true mean of 60."""
    rng = np.random.default_rng(1)
    held = np.zeros(2, int)
    for _ in range(runs):
        raters = np.repeat(np.arange(listeners), rng.integers(least, most + 1, listeners))
        scores = 60 + rng.normal(0, bias, listeners)[raters] + rng.normal(0, 5, raters.size)
        found = estimate("one", scores, raters)
        held += [low <= 60 <= high for low, high in (found.over_ratings, found.over_raters)]
    return held


LOW, HIGH = stats.binom.ppf([0.0005, 0.9995], 300, 0.95)


def test_intervals_hold_the_truth_as_often_as_they_say():
    over_ratings, over_raters = coverage(bias=0, listeners=10)  # independent ratings
    assert LOW <= over_ratings <= HIGH and LOW <= over_raters <= HIGH


@pytest.mark.parametrize("listeners", [2, 3, 5, 20])
def test_where_listeners_differ_only_that_over_listeners_does(listeners):
    over_ratings, over_raters = coverage(5, listeners)
    assert LOW <= over_raters <= HIGH
    assert over_ratings < 0.75 * 300


def test_listeners_may_have_rated_more_or_less():
    assert LOW <= coverage(5, listeners=20, least=6)[1] <= HIGH


@given(st.lists(st.integers(-3, 4), min_size=1, max_size=6).filter(any), st.sampled_from(["two-sided", "greater"]))
@settings(max_examples=25)
def test_signed_ranks_with_ties_are_those_of_scipy_which_tries_all_signs(differences, alternative):
    values = np.array(differences, float)
    assert signed_rank(values, alternative) == pytest.approx(stats.wilcoxon(values, alternative=alternative).pvalue)


@pytest.mark.parametrize("size", [10, 40, 200])
@pytest.mark.parametrize("alternative", ["two-sided", "greater"])
def test_signed_ranks_without_ties_are_those_of_scipys_exact_test(size, alternative):
    values = np.random.default_rng(size).normal(0.1, 1, size)
    exact = stats.wilcoxon(values, alternative=alternative, method="exact").pvalue
    assert signed_rank(values, alternative) == pytest.approx(exact, rel=1e-9)


def test_signed_ranks_by_hand_of_many_and_without_differences():
    toy = np.array([1.0, -2.0, 3.0, 4.0, 5.0, 6.0])  # rank sums 19 and 2
    assert signed_rank(toy) == pytest.approx(2 * 3 / 2**6)  # sums of 0, 1 and 2 are one way each
    assert signed_rank(toy, "greater") == pytest.approx(3 / 2**6)
    signs = np.repeat([1.0, -1.0], [11, 3])  # all tied, so it is the sign test
    assert signed_rank(signs) == pytest.approx(stats.binomtest(11, 14).pvalue)
    many = np.random.default_rng(0).integers(-5, 8, 300).astype(float)
    assert signed_rank(many) == stats.wilcoxon(many).pvalue
    assert signed_rank(np.zeros(5)) == 1 and signed_rank(np.array([])) == 1 and signed_rank(np.array([3.0])) == 1


def test_means_that_only_differ_in_their_last_digits_are_tied():
    sevenths = np.array([7, 7, 7, 5, 5, 5, 6]) / 12 - 0.5  # three up, three down, one at chance
    assert signed_rank(sevenths, "greater") == signed_rank(np.array([1.0, 1, 1, -1, -1, -1, 0]), "greater")


MUSHRA = study_of("mushra", ("best", "middle", "worst"), items=8)
KNOWN = {REFERENCE: 99, "best": 80, "middle": 65, "worst": 50, "anchor35": 20, "anchor70": 40}


def test_a_known_ranking_is_found():
    found = analyse(MUSHRA, ratings(MUSHRA, KNOWN, Panel(raters=10)))
    means = {one.condition: one.mean for one in found.estimates}
    assert list(means) == [REFERENCE, "best", "middle", "worst", "anchor35", "anchor70"]
    assert sorted(means, key=means.get) == ["anchor35", "anchor70", "worst", "middle", "best", REFERENCE]
    pairs = [(one.first, one.second) for one in found.comparisons]
    assert pairs == [("best", "middle"), ("best", "worst"), ("middle", "worst")]
    for one in found.comparisons:
        assert one.ratings == 80 and one.raters == 10
        assert one.effect == pytest.approx(KNOWN[one.second] - KNOWN[one.first], abs=3)
        assert one.by_ratings.low < one.effect < one.by_ratings.high < 0 and one.by_raters.high < 0
        assert one.over_ratings.corrected < 0.05 and one.over_raters.corrected < 0.05


def test_of_equal_systems_one_is_called_better_in_one_study_of_twenty():
    systems = ("a", "b", "c", "d")
    study = study_of("mushra", systems, items=5, reference=False)
    errors = np.zeros(2, int)
    for seed in range(40):
        found = between_systems(study, ratings(study, dict.fromkeys(systems, 60), Panel(raters=8), seed))
        both = [[one.over_ratings for one in found], [one.over_raters for one in found]]
        assert [[p.corrected for p in family] for family in both] == [holm([p.p_value for p in one]) for one in both]
        errors += [min(p.corrected for p in family) < 0.05 for family in both]
    assert (errors <= stats.binom.ppf(0.999, 40, 0.05)).all()


def test_the_correction_uses_up_its_five_per_cent_and_no_more():
    by_chance = np.random.default_rng(0).uniform(size=(4000, 6)).tolist()
    errors = sum(min(holm(p_values)) < 0.05 for p_values in by_chance)
    low, high = stats.binom.ppf([0.0005, 0.9995], 4000, 1 - (1 - 0.05 / 6) ** 6)
    assert low <= errors <= high


def test_only_what_one_listener_gave_two_systems_in_one_trial_is_compared():
    rows = [(1, 0, "best", 80.0, 1), (1, 0, "middle", 70.0, 2), (1, 1, "best", 90.0, 1), (2, 1, "middle", 10.0, 1)]
    [found] = between_systems(MUSHRA, frame_of(MUSHRA, rows))
    assert (found.first, found.second, found.ratings, found.raters, found.effect) == ("best", "middle", 1, 1, -10)
    assert found.by_ratings is None and found.by_raters is None and found.over_ratings.p_value == 1
    assert between_systems(MUSHRA, frame_of(MUSHRA, rows[3:])) == []


def test_equal_ratings_are_no_difference():
    rows = [(r, t, s, 70.0, 1) for r in (1, 2, 3) for t in range(4) for s in MUSHRA.systems]
    for one in between_systems(MUSHRA, frame_of(MUSHRA, rows)):
        assert one.effect == 0 and one.by_ratings == (0, 0) and one.by_raters == (0, 0)
        assert one.over_ratings == (1, 1) and one.over_raters == (1, 1)


@pytest.mark.parametrize("protocol", ["cmos-q", "cmos-p"])
def test_cmos_has_the_right_sign(protocol):
    study = study_of(protocol, ("base", "worse", "same"))
    truth = {REFERENCE: 1.0, "base": 0.0, "worse": -1.0, "same": 0.0}
    frame = ratings(study, truth, Panel(raters=10, bias=0.1, noise=0.7))
    found = {one.second: one for one in with_baseline(study, frame)}
    assert list(found) == [REFERENCE, "worse", "same"] and {one.first for one in found.values()} == {"base"}
    for name, one in found.items():
        assert one.effect == pytest.approx(truth[name], abs=0.25)
    assert found[REFERENCE].over_ratings.corrected < 0.05 and found[REFERENCE].by_raters.low > 0
    assert found["worse"].over_raters.corrected < 0.05 and found["worse"].by_raters.high < 0
    assert found["same"].over_raters.corrected > 0.05


def test_a_share_of_preferences_leaves_the_undecided_aside():
    study = study_of("ab", ("one", "two"), items=12, reference=False)
    scores = [1.0] * 9 + [-1.0] + [0.0] * 2
    frame = frame_of(study, [(1, trial, "two", score, 1) for trial, score in enumerate(scores)])
    [found] = preferences(study, frame)
    assert (found.ratings, found.effect) == (10, 0.9)
    assert found.over_ratings.p_value == pytest.approx(2 * (1 + 10) / 2**10)  # 9 or 10 of 10, or 0 or 1
    assert found.by_ratings.low < 0.9 < found.by_ratings.high and found.by_raters is None  # one listener
    assert tallies(study, frame) == [("one", "two", 1, {1.0: 9, 0.0: 2, -1.0: 1})]


def test_without_preferences_there_is_no_share():
    study = study_of("ab", ("one", "two"), items=3, reference=False)
    [found] = preferences(study, frame_of(study, [(1, trial, "two", 0.0, 1) for trial in range(3)]))
    assert (found.ratings, found.effect, found.by_ratings, found.by_raters) == (0, None, None, None)
    assert found.over_ratings == (1, 1)


def test_pairs_of_the_same_second_condition_are_kept_apart():
    study = study_of("ab", ("one", "two", "three"), items=1, reference=False)  # 1-2, 1-3, 2-3
    frame = frame_of(study, [(1, 0, "two", 1.0, 1), (1, 1, "three", 1.0, 1), (1, 2, "three", -1.0, 1)])
    found = [(one.first, one.second, one.effect) for one in preferences(study, frame)]
    assert found == [("one", "two", 1.0), ("one", "three", 1.0), ("two", "three", 0.0)]


def test_identification_is_tested_to_one_side():
    study = study_of("abx", ("one", "two"), items=8, reference=False)
    for scores, tail in (([1.0] * 7 + [0.0], 1 + 8), ([0.0] * 7 + [1.0], 2**8 - 1)):
        [found] = identifications(study, frame_of(study, [(1, t, "two", s, 1) for t, s in enumerate(scores)]))
        assert found.effect == np.mean(scores) and found.over_ratings.p_value == pytest.approx(tail / 2**8)


def test_who_hears_the_difference_is_told_from_who_guesses():
    study = study_of("abx", ("one", "two"))  # of reference, one and two
    frame = ratings(study, {REFERENCE: 1.0, "one": 1.0, "two": 0.2}, Panel(raters=10))
    guessed, heard, also = identifications(study, frame)
    assert guessed.over_ratings.corrected > 0.05 and guessed.effect == pytest.approx(0.5, abs=0.15)
    for one in (heard, also):
        assert one.over_ratings.corrected < 0.05 and one.over_raters.corrected < 0.05
        assert one.effect == pytest.approx(0.9, abs=0.1)  # 0.8 heard, and half of the rest
