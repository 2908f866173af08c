"""A standard Gaussian on each channel of a pair, behind a tanh and a chain of grids -> what its indices tell and cost.

`lost`: the share of each channel's variance that is left when the indices of all grids of the chain are known and
values are rebuilt as the centroids of their cells. `entropy`: the bits of the last grid's index, coded with a table of
the same index in the frame before. The two channels are independent, and each is a first-order Gaussian process. What
the grids see is z = tanh(x / spread), x in standard deviations.

The plane is cut into bins of equal width in z, each snapped as a whole. Knows nothing of budgets and rates.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64, Int64

from q2d2.grid import Grid
from q2d2.refinement import cell

# Of an axis. Edges of bins are edges of cells where the levels divide the number; elsewhere a bin counts as a whole for
# the cell its middle is in: errors are right within 1 % for a pair, 2 % refined, 6 % refined twice.
BINS = 360
COARSE_BINS = 60  # for entropies, which are slow

Chain = tuple[Grid, ...]  # the grid of the pair that has the channels, its refinement's, and so on


class _Bins(NamedTuple):
    """A standard Gaussian in bins of equal width behind the tanh."""

    z: Float64[np.ndarray, " bins"]
    probability: Float64[np.ndarray, " bins"]
    mean: Float64[np.ndarray, " bins"]  # of the Gaussian in the bin


@lru_cache
def _bins(count: int, spread: float) -> _Bins:
    z = torch.linspace(-1, 1, count + 1, dtype=torch.float64)
    edges = spread * z.atanh()
    density = torch.exp(-edges.square() / 2) / math.sqrt(2 * math.pi)
    probability = torch.special.ndtr(edges).diff()
    return _Bins((z[1:] + z[:-1]).numpy() / 2, probability.numpy(), (-density.diff() / probability).numpy())


class _Cells(NamedTuple):
    """Where the points of a square of bins end up."""

    inside: Float64[np.ndarray, "points 2"]  # of the cell, in [-1, 1]
    path: Int64[np.ndarray, " points"]  # one number for the indices of all grids


def _snapped(grid: Grid, z: Float64[np.ndarray, "points 2"]) -> tuple[np.ndarray, np.ndarray]:
    scaled = z * np.array(grid.half_width)
    points, index = grid.nearest(torch.from_numpy(scaled))
    return scaled - points.numpy(), index.numpy()


@lru_cache(maxsize=256)
def _cells(chain: Chain, bins: int, spread: float) -> _Cells:
    """After all grids of a chain that is to be refined."""
    if not chain:
        axes = np.meshgrid(*2 * [_bins(bins, spread).z], indexing="ij")
        return _Cells(np.stack(axes, axis=-1).reshape(-1, 2), np.zeros(bins**2, np.int64))
    before = _cells(chain[:-1], bins, spread)
    left, index = _snapped(chain[-1], before.inside)
    _, path = np.unique(before.path * chain[-1].num_points + index, return_inverse=True)
    return _Cells(np.clip(left @ cell(chain[-1]).T, -1, 1), path)


@cache
def lost(chain: Chain, spread: float) -> tuple[float, float]:
    """The share of each channel's variance that is left when the indices of all these grids are known."""
    axis = _bins(BINS, spread)
    before = _cells(chain[:-1], BINS, spread)
    _, index = _snapped(chain[-1], before.inside)
    path = before.path * chain[-1].num_points + index
    weight = np.outer(axis.probability, axis.probability)
    of_cell = np.maximum(np.bincount(path, weight.ravel()), 1e-300)
    first, second = (np.bincount(path, (weight * x).ravel()) for x in (axis.mean[:, None], axis.mean))
    return float(1 - (first**2 / of_cell).sum()), float(1 - (second**2 / of_cell).sum())


@cache
def entropy(chain: Chain, first: float, second: float, spread: float) -> float:
    """Bits of the last grid's index, given that index in the frame before, with which the channels correlate so."""
    before = _cells(chain[:-1], COARSE_BINS, spread)
    _, index = _snapped(chain[-1], before.inside)
    one_hot = np.eye(chain[-1].num_points)[index].reshape(COARSE_BINS, COARSE_BINS, -1)
    moved = np.tensordot(_transition(first, spread), one_hot, axes=1)
    moved = (_transition(second, spread) @ moved).reshape(len(index), -1)
    joint = one_hot.reshape(len(index), -1).T @ moved
    return _entropy(joint) - _entropy(joint.sum(axis=0))


@lru_cache
def _transition(correlation: float, spread: float) -> Float64[np.ndarray, "bins bins"]:
    """The probability that a channel is in one bin, and was in another a frame ago."""
    _, probability, mean = _bins(COARSE_BINS, spread)
    # any closer to 1, and the density of a frame given the one before would be narrower than a bin: its value at the
    # bin's mean would not measure the bin's probability
    correlation = float(np.clip(correlation, -0.97, 0.97))
    away = mean - correlation * mean[:, None]
    ratio = np.exp(-(away**2) / (2 * (1 - correlation**2)) + mean**2 / 2)
    joint = np.outer(probability, probability) * ratio
    joint = joint * (probability / joint.sum(axis=1))[:, None]
    return (joint + joint.T) / 2


def _entropy(probability: np.ndarray) -> float:
    positive = probability[probability > 0] / probability.sum()
    return float(-(positive * np.log2(positive)).sum())
