"""Indices that people hand over, checked: what a table or a network would answer to others is no clear error."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer


def check_indices(indices: Integer[np.ndarray, "frames pairs"], points: Sequence[int]) -> None:
    """ValueError, naming the place, unless every index is one of its alphabet, of `points` symbols."""
    outside = (indices < 0) | (indices >= np.array(points))
    if outside.any():
        frame, pair = np.argwhere(outside)[0]
        raise ValueError(
            f"index {indices[frame, pair]} of pair {pair} in frame {frame} is outside 0..{points[pair] - 1}"
        )
