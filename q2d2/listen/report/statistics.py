"""Scores -> means with intervals, medians and quartiles; tests of a shift, and Holm's correction. Knows no studies.

Of a mean there are two intervals. Student's t takes all ratings as independent (BS.1534-1, and the ± of the paper);
but one listener's ratings are alike, so the second one resamples listeners, not ratings, and is the one to trust.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

CONFIDENCE = 0.95
FEWEST_RATERS = 3  # of fewer, resampling tells nothing
MOST_TIED = 13  # differences with ties of which all 2 ** 13 signs are tried; scipy draws the line there too
_RESAMPLES, _SEED = 9999, 0


class Interval(NamedTuple):
    """Between what values, at 95 % confidence."""

    low: float
    high: float


class Estimate(NamedTuple):
    """What is known of the score of one condition."""

    condition: str
    ratings: int
    raters: int
    mean: float
    half_width: float | None  # of the interval of Student's t over ratings; None for a single rating
    over_raters: Interval | None  # of the mean, listeners resampled; None for fewer than FEWEST_RATERS
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
        half_width=half_width(scores),
        over_raters=resampled_interval(scores, raters),
        lower_quartile=float(lower),
        median=float(median),
        upper_quartile=float(upper),
    )


def half_width(values: Float[np.ndarray, " n"]) -> float | None:
    """Half the interval of the mean by Student's t; None for fewer than two values."""
    if len(values) < 2:
        return None
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))


def resampled_interval(scores: Float[np.ndarray, " ratings"], raters: Int[np.ndarray, " ratings"]) -> Interval | None:
    """Interval of the mean by the bootstrap over listeners; None for fewer than FEWEST_RATERS of them.

    Percentiles, farther out for a small panel, as Hesterberg (2015, The American Statistician 69:4) corrects them:
    those of plain 95 % would be too narrow, as a normal interval with the biased deviation is beside Student's t.
    """
    _, place = np.unique(raters, return_inverse=True)
    sums, counts = np.bincount(place, scores), np.bincount(place)
    size = len(sums)
    if size < FEWEST_RATERS:
        return None
    tail = stats.norm.cdf(np.sqrt(size / (size - 1)) * stats.t.ppf((1 - CONFIDENCE) / 2, size - 1))
    found = stats.bootstrap(
        (sums, counts),
        lambda total, count, axis: total.sum(axis) / count.sum(axis),
        paired=True,
        vectorized=True,
        n_resamples=_RESAMPLES,
        method="percentile",
        confidence_level=float(1 - 2 * tail),
        rng=np.random.default_rng(_SEED),
    ).confidence_interval
    return Interval(float(found.low), float(found.high))


def signed_rank(
    differences: Float[np.ndarray, " n"], alternative: Literal["two-sided", "greater"] = "two-sided"
) -> float:
    """p of Wilcoxon's signed-rank test that they lie around zero, zeros left out; 1 where nothing is left.

    Exact for few differences; for more than MOST_TIED with ties, a normal approximation. Of few with ties, scipy's own
    test goes through the signs one pattern at a time, which takes many seconds; here they go at once.
    """
    values = differences[differences != 0]
    if not len(values):
        return 1.0
    if len(values) > MOST_TIED or len(np.unique(np.abs(values))) == len(values):
        return float(stats.wilcoxon(values, alternative=alternative).pvalue)
    ranks = np.sign(values) * stats.rankdata(np.abs(values))
    found = stats.permutation_test(
        (ranks,),
        lambda signed, axis: signed.sum(axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=2**MOST_TIED,
        alternative=alternative,
    )
    return float(found.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrected for being several (Holm 1979): the chance that any of those below 0.05 is an error stays at 5 %."""
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)), 1.0)
    return [float(value) for value in corrected]
