"""How much of an alphabet is used, and how many bits that is worth: of each index of a frame, and of whole frames.

An index (a pair's point on its grid, a codebook's entry) has an alphabet that a corpus fills. A frame's token, all its
indices together, has the product alphabet, which a corpus cannot fill: three pairs of 85 points have 614,125 tokens,
nine pairs more than 2**57. It is never written down; only the tokens that occur are.

The paper gives no formula for Table 10. Its caption and the public code's test script mean by "pair utilization" the
share of a grid's points that occur, and by "codebook utilization" the share of the product codebook that occurs:
`used_share`, of an index and of the token. The second is mostly the size of the sample. At 53.3 frames a second
the 8.56 hours of LibriTTS test-clean are 1.64 M frames, and as many *uniform random* tokens of 614,125 would show
93.1 % of them (`expected_used_share`); the paper reports 92.18 %. What does not reward a long test set is the entropy,
and how much of it the sample has not shown is the `unseen_mass`.

This module knows arrays only, and nothing of grids.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64


class Use(NamedTuple):
    """What an alphabet is used for, an index's or a token's. Shares and bits are NaN if nothing was counted."""

    points: int  # size of the alphabet: exact, however large
    frames: int  # how many values were counted
    used_points: int  # how many different ones
    singletons: int  # how many of them occurred once only
    entropy_bits: float  # of the observed frequencies (plug-in): at most log2(points), and at most log2(frames)

    @property
    def log2_points(self) -> float:
        """Bits per value in a file, where all points cost the same."""
        return math.log2(self.points)

    @property
    def used_share(self) -> float:
        """Of the points, 0..1: what the paper calls utilization."""
        return self.used_points / self.points if self.frames else math.nan

    @property
    def dead_points(self) -> int:
        """How many points never occurred."""
        return self.points - self.used_points

    @property
    def expected_used_share(self) -> float:
        """What `used_share` would be on average if all points were equally likely: the ceiling at this sample size."""
        return expected_used_share(self.points, self.frames) if self.frames else math.nan

    @property
    def distinct_share(self) -> float:
        """Different values per value counted: 1 if none came twice."""
        return self.used_points / self.frames if self.frames else math.nan

    @property
    def perplexity(self) -> float:
        """How many equally likely points have this entropy."""
        return 2**self.entropy_bits

    @property
    def corrected_entropy_bits(self) -> float:
        """The entropy with Miller and Madow's correction (Miller 1955): + (used points - 1) / (2 ln 2 frames).

        The plug-in estimate is low by about that much; by chance the sum may pass log2(points). The correction is the
        first term of a series in points / frames: worth something while `unseen_mass` is small, and far too little
        where most values occurred once.
        """
        if not self.frames:
            return math.nan
        return self.entropy_bits + (self.used_points - 1) / (2 * math.log(2) * self.frames)

    @property
    def unseen_mass(self) -> float:
        """Good and Turing's estimate of the probability that the next value is one never seen: singletons / frames.

        Good (1953). It holds for any distribution; for independent frames its standard error is at most about
        1 / sqrt(frames) (Esty 1983). Neighbouring frames of speech repeat each other, which makes it too small for new
        speech.
        """
        return self.singletons / self.frames if self.frames else math.nan


class Joint(NamedTuple):
    """The tokens of frames: all indices together, and each index by itself."""

    token: Use  # of the product alphabet
    pairs: tuple[Use, ...]

    @property
    def independent_entropy_bits(self) -> float:
        """Bits of a frame if its indices told nothing of each other, Miller-Madow corrected.

        An upper bound of the token's entropy, and what coding each index by its own frequencies would take. Unlike
        `token.entropy_bits` it needs no sample larger than the product alphabet.
        """
        return math.fsum(pair.corrected_entropy_bits for pair in self.pairs)

    @property
    def pair_used_share(self) -> float:
        """Of all pairs' points: the paper's "pair utilization" (Table 10)."""
        if not self.token.frames:
            return math.nan
        return sum(pair.used_points for pair in self.pairs) / sum(pair.points for pair in self.pairs)


def count(indices: Int64[np.ndarray, "frames pairs"], points: Sequence[int]) -> list[Int64[np.ndarray, " _"]]:
    """How often each point of each pair occurs. Counts of several clips add up. ValueError outside an alphabet."""
    _check(indices, points)
    return [
        np.bincount(column, minlength=size).astype(np.int64) for column, size in zip(indices.T, points, strict=True)
    ]


def use(counts: Int64[np.ndarray, " points"]) -> Use:
    """Use of an alphabet whose points occurred so often."""
    return _use(counts, len(counts))


def joint(indices: Int64[np.ndarray, "frames pairs"], points: Sequence[int]) -> Joint:
    """Use of the product alphabet and of each index. Statistics of clips do not add up: concatenate their frames."""
    pairs = tuple(use(column) for column in count(indices, points))
    return Joint(_use(token_counts(indices, points), math.prod(points)), pairs)


def token_counts(indices: Int64[np.ndarray, "frames pairs"], points: Sequence[int]) -> Int64[np.ndarray, " tokens"]:
    """How often each different frame occurs, in no particular order.

    Pair by pair the frames so far are numbered anew, so that no number passes frames * points, whatever the product.
    """
    _check(indices, points)
    token = np.zeros(len(indices), dtype=np.int64)
    for column, size in zip(indices.T, points, strict=True):
        token = np.unique(token * size + column, return_inverse=True)[1].astype(np.int64)
    return np.bincount(token).astype(np.int64)


def expected_used_share(points: int, frames: int) -> float:
    """Share of `points` equally likely ones that `frames` draws show on average: 1 - (1 - 1/n)^N.

    To the last digits for any size, the product codebook's 2**127 included.
    """
    if points == 1:
        return float(min(frames, 1))
    return -math.expm1(frames * math.log1p(-1 / points)) + 0.0


def expected_used_points(points: int, frames: int) -> float:
    """How many of `points` equally likely ones `frames` draws show on average."""
    if points > 2**53 * frames**2:
        return float(frames)  # the expected number of repetitions, N (N - 1) / 2n, is below the last bit of N
    return points * expected_used_share(points, frames)


def rarefied(counts: Int64[np.ndarray, " points"], frames: int) -> float:
    """How many different points a random `frames` of the counted values show on average (rarefaction; Hurlbert 1971).

    Exact, for the distribution that was measured: sum over points of 1 - C(N - count, frames) / C(N, frames). A curve
    of it over `frames` that still rises at its end is one whose "utilization" is the size of the sample.
    """
    total = int(counts.sum())
    if not 0 <= frames <= total:
        raise ValueError(f"{total} values were counted: a part of them has 0 to {total} frames, not {frames}")

    def log_missing(occurrences: int) -> float:
        """Logarithm of the probability that none of so many occurrences is drawn."""
        if occurrences > total - frames:
            return -math.inf
        rest = math.lgamma(total - occurrences + 1) - math.lgamma(total - occurrences - frames + 1)
        return rest - math.lgamma(total + 1) + math.lgamma(total - frames + 1)

    occurrences, points = np.unique(counts[counts > 0], return_counts=True)
    return math.fsum(
        -n * math.expm1(log_missing(many)) for many, n in zip(occurrences.tolist(), points.tolist(), strict=True)
    )


def _use(counts: Int64[np.ndarray, " _"], points: int) -> Use:
    frames = int(counts.sum())
    seen = counts[counts > 0]
    share = seen / frames if frames else seen
    # "+ 0.0": a single point has an entropy of 0, not of -0
    entropy_bits = float(-(share * np.log2(share)).sum()) + 0.0 if frames else math.nan
    return Use(points, frames, len(seen), int((seen == 1).sum()), entropy_bits)


def _check(indices: Int64[np.ndarray, "frames pairs"], points: Sequence[int]) -> None:
    if indices.shape[1] != len(points):
        raise ValueError(f"{indices.shape[1]} indices in a frame, but {len(points)} alphabets")
    if (indices < 0).any() or (indices >= np.array(points)).any():
        raise ValueError("an index is outside its alphabet")
