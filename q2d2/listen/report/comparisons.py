"""Ratings of two conditions -> which is better, by how much, and whether that could be chance.

All comparisons of a study are one family under Holm's correction. Every test is made twice: over ratings, as is usual,
and over listeners' means, which asks more, as it does not take one listener's ratings for those of several.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from q2d2.listen.report.statistics import CONFIDENCE, Interval, holm, raters_interval, signed_rank, t_interval
from q2d2.listen.study import Study

CHANCE = 0.5


class Significance(NamedTuple):
    """How likely so much is if there is no difference."""

    p_value: float
    corrected: float  # by Holm, over all comparisons of the study


class Comparison(NamedTuple):
    """Two conditions."""

    first: str
    second: str
    ratings: int  # that tell the two apart or could have: of AB, those with a preference
    raters: int
    effect: float | None  # mean of second minus first; AB, ABX: share for the second, or identified; None of nothing
    by_ratings: Interval | None  # of the effect: ratings as independent; of shares, Clopper and Pearson's
    by_raters: Interval | None  # of the effect: listeners as independent; None for a single one
    over_ratings: Significance
    over_raters: Significance


class Tally(NamedTuple):
    """How often each answer was given on a pair."""

    first: str
    second: str
    raters: int
    counts: Mapping[float, int]  # by score


def between_systems(study: Study, frame: pd.DataFrame) -> list[Comparison]:
    """MUSHRA: every pair of systems where one listener rated both in one trial; signed ranks of the differences."""
    scores = frame.pivot(index=["rater", "trial"], columns="condition", values="score")
    found = []
    for first, second in combinations([name for name in study.systems if name in scores], 2):
        both = scores[[first, second]].dropna()
        if len(both):
            found.append(_shift(first, second, both[second] - both[first]))
    return _corrected(found)


def with_baseline(study: Study, frame: pd.DataFrame) -> list[Comparison]:
    """CMOS: what was rated against the baseline, which is the first of each pair; signed ranks of the scores."""
    return _corrected([_shift(first, second, own) for first, second, own in _pairs(study, frame)])


def preferences(study: Study, frame: pd.DataFrame) -> list[Comparison]:
    """AB: the second's share of all preferences, exact binomial test against a half."""
    found = []
    for first, second, scores in _pairs(study, frame):
        means = _means(scores)
        found.append(_share(first, second, scores[scores != 0] > 0, len(means), signed_rank(means), "two-sided"))
    return _corrected(found)


def identifications(study: Study, frame: pd.DataFrame) -> list[Comparison]:
    """ABX: the share in which X was identified, exact binomial test whether it is above chance."""
    found = []
    for first, second, scores in _pairs(study, frame):
        means = _means(scores)
        over_raters = signed_rank(means - CHANCE, "greater")
        found.append(_share(first, second, scores > 0, len(means), over_raters, "greater"))
    return _corrected(found)


def tallies(study: Study, frame: pd.DataFrame) -> list[Tally]:
    """AB, ABX: a tally for each pair."""
    found = []
    for first, second, scores in _pairs(study, frame):
        counts = {float(score): int(count) for score, count in scores.value_counts().items()}
        found.append(Tally(first, second, scores.index.nunique(), counts))
    return found


def _pairs(study: Study, frame: pd.DataFrame) -> Iterator[tuple[str, str, pd.Series]]:
    """The scores of each pair by listener, pairs in the order of the trials; stored is the second's name only."""
    pairs = [tuple(study.trials[trial].stimuli) for trial in frame["trial"]]
    for first, second in dict.fromkeys(tuple(trial.stimuli) for trial in study.trials):
        own = frame[[pair == (first, second) for pair in pairs]]
        if len(own):
            yield first, second, own.set_index("rater")["score"].astype(float)


def _means(scores: pd.Series) -> np.ndarray:
    """One value for each listener."""
    return scores.groupby(level="rater").mean().to_numpy()


def _shift(first: str, second: str, differences: pd.Series) -> Comparison:
    """Of the differences, by listener, from zero."""
    values = differences.to_numpy(dtype=np.float64)
    means = _means(differences)
    return Comparison(
        first=first,
        second=second,
        ratings=len(values),
        raters=len(means),
        effect=float(values.mean()),
        by_ratings=t_interval(values),
        by_raters=raters_interval(values, differences.index.get_level_values("rater").to_numpy(dtype=np.int64)),
        over_ratings=_alone(signed_rank(values)),
        over_raters=_alone(signed_rank(means)),
    )


def _share(
    first: str,
    second: str,
    successes: pd.Series,
    raters: int,
    over_raters: float,
    alternative: Literal["two-sided", "greater"],
) -> Comparison:
    """Exact, against chance; without any ratings there is no share, and p is 1."""
    total, count = len(successes), int(successes.sum())
    if not total:
        return Comparison(first, second, 0, raters, None, None, None, _alone(1.0), _alone(over_raters))
    exact = stats.binomtest(count, total, CHANCE).proportion_ci(CONFIDENCE)
    by_raters = raters_interval(successes.to_numpy(dtype=np.float64), successes.index.to_numpy(dtype=np.int64))
    return Comparison(
        first=first,
        second=second,
        ratings=total,
        raters=raters,
        effect=count / total,
        by_ratings=Interval(float(exact.low), float(exact.high)),
        by_raters=by_raters and Interval(max(0.0, by_raters.low), min(1.0, by_raters.high)),
        over_ratings=_alone(float(stats.binomtest(count, total, CHANCE, alternative).pvalue)),
        over_raters=_alone(over_raters),
    )


def _alone(p_value: float) -> Significance:
    """As if there were no other comparison."""
    return Significance(p_value, p_value)


def _corrected(found: Sequence[Comparison]) -> list[Comparison]:
    """All of them as one family."""
    ratings = holm([one.over_ratings.p_value for one in found])
    raters = holm([one.over_raters.p_value for one in found])
    return [
        one._replace(
            over_ratings=one.over_ratings._replace(corrected=rating),
            over_raters=one.over_raters._replace(corrected=rater),
        )
        for one, rating, rater in zip(found, ratings, raters, strict=True)
    ]
