"""Scores -> means with intervals, medians and quartiles; tests of a shift, and Holm's correction. Knows no studies.

Of a mean there are two intervals. One takes all ratings as independent (BS.1534-1, and the ± of the paper); but one
listener's ratings are alike, so the other one counts listeners, not ratings, and is the one to trust.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

CONFIDENCE = 0.95
MOST_EXACT = 200  # differences of which all signs are counted; of more, the normal distribution is as good
_SAME = 9  # digits: means of whole numbers that are nearer than that are equal


class Interval(NamedTuple):
    """Between what values, at 95 % confidence."""

    low: float
    high: float

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2


class Estimate(NamedTuple):
    """What is known of the score of one condition."""

    condition: str
    ratings: int
    raters: int
    mean: float
    over_ratings: Interval | None  # of the mean, Student's t; None for a single rating
    over_raters: Interval | None  # of the mean, Student's t over listeners; None for a single one
    lower_quartile: float
    median: float
    upper_quartile: float


def estimate(condition: str, scores: Float[np.ndarray, " ratings"], raters: Int[np.ndarray, " ratings"]) -> Estimate:
    """Of one condition's ratings, and whose they are. ValueError if there are none, or one is not a number."""
    if not len(scores) or not np.isfinite(scores).all():
        raise ValueError(f"{condition}: {'no ratings' if not len(scores) else 'a rating is not a number'}")
    lower, median, upper = np.quantile(scores, (0.25, 0.5, 0.75))
    return Estimate(
        condition=condition,
        ratings=len(scores),
        raters=len(np.unique(raters)),
        mean=float(scores.mean()),
        over_ratings=t_interval(scores),
        over_raters=raters_interval(scores, raters),
        lower_quartile=float(lower),
        median=float(median),
        upper_quartile=float(upper),
    )


def t_interval(values: Float[np.ndarray, " n"]) -> Interval | None:
    """That of the mean by Student's t; None for fewer than two values."""
    if len(values) < 2:
        return None
    half = stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return Interval(float(values.mean() - half), float(values.mean() + half))


def raters_interval(scores: Float[np.ndarray, " ratings"], raters: Int[np.ndarray, " ratings"]) -> Interval | None:
    """That of the mean by Student's t over listeners, whose ratings go together; None for fewer than two listeners.

    Where all have rated equally often it is `t_interval` of their means. Otherwise those with more ratings count for
    more, as in the mean itself (a ratio estimate; Cochran 1977, Sampling Techniques, section 6.3).
    """
    _, place = np.unique(raters, return_inverse=True)
    sums, counts = np.bincount(place, scores), np.bincount(place)
    size, mean = len(sums), float(scores.mean())
    if size < 2:
        return None
    error = np.sqrt(size / (size - 1) * np.square(sums - mean * counts).sum()) / counts.sum()
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, size - 1) * error)
    return Interval(mean - half, mean + half)


def signed_rank(
    differences: Float[np.ndarray, " n"], alternative: Literal["two-sided", "greater"] = "two-sided"
) -> float:
    """p of Wilcoxon's signed-rank test that they lie around zero, zeros left out; 1 where nothing is left.

    Exact for up to MOST_EXACT differences, ties or not: of all signs that these ranks could have, the share that is
    as extreme. For more, the normal approximation with its correction for ties.
    """
    values = np.round(differences, _SAME)
    values = values[values != 0]
    if not len(values):
        return 1.0
    if len(values) > MOST_EXACT:
        return float(stats.wilcoxon(values, alternative=alternative, method="approx").pvalue)
    doubled = np.round(2 * stats.rankdata(np.abs(values))).astype(int)  # the ranks of ties end in a half
    ways = np.zeros(1 + doubled.sum())  # by the sum of the ranks with a plus, the share of all signs that give it
    ways[0] = 1.0
    for rank in doubled:
        ways[rank:] += ways[:-rank].copy()
        ways /= 2
    found = int(doubled[values > 0].sum())
    above = float(ways[found:].sum())
    return above if alternative == "greater" else min(1.0, 2 * min(above, float(ways[: found + 1].sum())))


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrected for being several (Holm 1979): the chance that any of those below 0.05 is an error stays at 5 %."""
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)), 1.0)
    return [float(value) for value in corrected]
