"""How much of each index's alphabet is used, and how many bits it is worth. Knows arrays only.

Each index of a frame (a pair's point on its grid, a codebook's entry) is counted by itself. That needs no joint
alphabet, which for three pairs of 85 points already has more entries than a corpus has frames.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64


class Use(NamedTuple):
    """What one index is used for."""

    points: int  # size of its alphabet
    frames: int  # how many values were counted
    used_share: float  # of the points that occur at all, 0..1; NaN if nothing was counted
    entropy_bits: float  # of the observed frequencies, at most log2(points); NaN if nothing was counted

    @property
    def log2_points(self) -> float:
        """Bits per value in a file, where all points cost the same."""
        return math.log2(self.points)


def count(indices: Int64[np.ndarray, "frames pairs"], points: Sequence[int]) -> list[Int64[np.ndarray, " _"]]:
    """How often each point of each pair occurs. Counts of several clips add up. ValueError outside an alphabet."""
    if indices.shape[1] != len(points):
        raise ValueError(f"{indices.shape[1]} indices in a frame, but {len(points)} alphabets")
    if (indices < 0).any() or (indices >= np.array(points)).any():
        raise ValueError("an index is outside its alphabet")
    return [
        np.bincount(column, minlength=size).astype(np.int64) for column, size in zip(indices.T, points, strict=True)
    ]


def use(counts: Int64[np.ndarray, " points"]) -> Use:
    """Share of the points that occur, and the entropy of their frequencies in bits (the plug-in estimate).

    The estimate is low by about (used points - 1) / (2 ln 2 * frames) bits (Miller 1955): 0.008 for 145 points in
    four minutes of speech at 53 frames a second.
    """
    frames = int(counts.sum())
    if not frames:
        return Use(len(counts), 0, math.nan, math.nan)
    share = counts[counts > 0] / frames
    # "+ 0.0": a single point has an entropy of 0, not of -0
    return Use(len(counts), frames, len(share) / len(counts), float(-(share * np.log2(share)).sum()) + 0.0)
