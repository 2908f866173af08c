"""How much the two channels of a pair tell of each other: mutual information, in bits (Fig. 4 of the paper).

Before quantization the channels are continuous, and the estimator is the nearest-neighbour one of Kraskov, Stoegbauer
and Grassberger (2004). Afterwards they are the two coordinates of a grid point, and the estimator is the plug-in one
with Miller and Madow's correction. Both may come out slightly below zero, as unbiased estimates of zero do. Each
comes with what it gives where there is no dependence (one channel shuffled, again and again) and with a p-value.

The paper finds about 0 before and much more after, and reads it as structure that the grid adds. It is an artefact.
In a rhombic or hexagonal grid every coordinate belongs to one of two *cosets* (the rectangle or its midpoints, even or
odd rows), so that x tells which coset y is from: *independent uniform* channels show about 1 bit (`on_uniform`: 0.950
on the rhombic grid of 7 x 7 levels, 0.985 on the hexagonal one). By the chain rule, where x and y both tell the coset,

    I(x; y) = H(coset) + I(x; y | coset).

The first term, 1 bit at most, is the grid's. The second (`given_coset`) is the channels', but for the cells along the
border, which have other shapes (0.002 bit, rhombic 7 x 7). A rectangular grid has one coset and no artefact, and there
the data processing inequality forbids any rise. `beyond_grid` takes off artefact and border together.

This module knows arrays and `grid`; nothing of codecs, files and figures.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64

from q2d2.grid import Grid

Surrogate = Callable[[np.ndarray, np.random.Generator], np.ndarray]


class Dependence(NamedTuple):
    """Mutual information and what the same estimator gives without any."""

    bits: float
    baseline_bits: float  # mean over the surrogates
    baseline_95_bits: float  # 95 % of the surrogates are below
    p_value: float  # (1 + surrogates at least as large) / (1 + surrogates): at least 1 / (1 + surrogates)
    frames: int
    surrogates: int

    @property
    def excess_bits(self) -> float:
        """What is left of `bits` above the baseline."""
        return self.bits - self.baseline_bits


def shuffled(channel: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The channel's frames in random order: the permutation test, exact if frames are independent of each other."""
    return rng.permutation(channel)


def shifted(channel: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The channel turned round by a random number of frames: it keeps what neighbouring frames have in common.

    Frames of speech resemble their neighbours, so that they say less than as many independent ones, and channels with
    nothing in common look related by chance. Shuffling does not show that; shifting does.
    """
    return np.roll(channel, int(rng.integers(1, max(len(channel), 2))), axis=0)


@dataclass(frozen=True)
class Baseline:
    """How estimates without dependence are made."""

    surrogates: int = 100
    surrogate: Surrogate = shuffled  # what is done to one of the channels: `shuffled` or `shifted`
    seed: int = 0

    def __post_init__(self) -> None:
        if self.surrogates < 1:
            raise ValueError(f"a baseline needs at least one surrogate, got {self.surrogates}")


SHUFFLED = Baseline()


def before(z: Float[np.ndarray, "frames 2"], baseline: Baseline = SHUFFLED, most_frames: int = 4096) -> Dependence:
    """Mutual information of the two channels as they come, of at most `most_frames` frames chosen at random."""
    if len(z) > most_frames:
        chosen = np.random.default_rng(baseline.seed).choice(len(z), most_frames, replace=False)
        z = z[np.sort(chosen)]  # in the order of time, for `shifted`
    return _against(continuous_bits, z[:, 0], z[:, 1], baseline)


def after(indices: Int64[np.ndarray, " frames"], grid: Grid, baseline: Baseline = SHUFFLED) -> Dependence:
    """Mutual information of the two coordinates of the grid points, the artefact of the cosets included."""
    x, y = coordinates(grid, indices).T
    return _against(discrete_bits, x, y, baseline)


def given_coset(indices: Int64[np.ndarray, " frames"], grid: Grid, baseline: Baseline = SHUFFLED) -> Dependence:
    """Conditional mutual information of the two coordinates given the coset; surrogates stay within their coset."""
    x, y = coordinates(grid, indices).T
    coset = cosets(grid, indices)

    def within_coset(y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        y = y.copy()
        for number in np.unique(coset):
            y[coset == number] = baseline.surrogate(y[coset == number], rng)
        return y

    return _against(lambda x, y: discrete_bits(x, y, coset), x, y, replace(baseline, surrogate=within_coset))


def beyond_grid(z: Float[np.ndarray, "frames 2"], grid: Grid, baseline: Baseline = SHUFFLED) -> Dependence:
    """As `after`, but the surrogates are made before the grid, of the channels z in its units.

    Their mean is then what the grid shows of independent channels with these very distributions, and `excess_bits` what
    the channels really have in common, artefact and border apart.
    """
    _require_plane(grid)

    def snapped_bits(x: np.ndarray, y: np.ndarray) -> float:
        return discrete_bits(*coordinates(grid, _snapped(np.stack([x, y], axis=1), grid)).T)

    return _against(snapped_bits, z[:, 0], z[:, 1], baseline)


def on_uniform(grid: Grid, per_axis: int = 1000, seed: int = 0) -> float:
    """What `after` tends to on independent channels, uniform in the area that the grid serves: the artefact, in bits.

    To about 1e-4 bit: the cells' areas, from one random place in each of `per_axis` x `per_axis` squares.
    """
    _require_plane(grid)
    corners = np.stack(np.meshgrid(np.arange(per_axis), np.arange(per_axis)), axis=-1).reshape(-1, 2)
    places = (corners + np.random.default_rng(seed).random(corners.shape)) / per_axis
    indices = _snapped((2 * places - 1) * np.array(grid.half_width), grid)
    return table_bits(_contingency(*coordinates(grid, indices).T) / len(indices))


def coordinates(grid: Grid, indices: Int64[np.ndarray, " frames"]) -> Int64[np.ndarray, "frames 2"]:
    """Which of its axis's values each coordinate of the points takes, as a number from 0."""
    _require_plane(grid)
    _check(grid, indices)
    # rounded: one coordinate computed in two cosets may differ in its last bit
    axes = [np.unique(axis.round(9), return_inverse=True)[1] for axis in grid.points.T]
    return np.stack(axes, axis=1).astype(np.int64)[indices]


def cosets(grid: Grid, indices: Int64[np.ndarray, " frames"]) -> Int64[np.ndarray, " frames"]:
    """Number of the coset (`grid.cosets`) of each point."""
    _check(grid, indices)
    table = np.empty(grid.num_points, dtype=np.int64)
    for number, coset in enumerate(grid.cosets):
        k = np.indices(coset.size).reshape(grid.dimension, -1).T
        table[coset.base + k @ np.array(coset.stride)] = number
    return table[indices]


def discrete_bits(
    x: Int64[np.ndarray, " frames"], y: Int64[np.ndarray, " frames"], given: Int64[np.ndarray, " frames"] | None = None
) -> float:
    """Mutual information of labels, given others if there are any: plug-in with Miller and Madow's correction.

    The correction is that of the entropies in I = H(x) + H(y) - H(x, y), with the numbers of values that occur, summed
    over the values of `given`: (K_x + K_y - K_xy - 1) / (2 ln 2 frames). It brings the mean of independent labels to
    0 where there are several frames for each combination of values.
    """
    tables = _contingency(np.zeros_like(x) if given is None else given, x, y)
    bits = 0.0
    for table in tables[tables.any(axis=(1, 2))]:
        used = np.count_nonzero(table.any(axis=1)) + np.count_nonzero(table.any(axis=0)) - np.count_nonzero(table)
        frames = table.sum()
        bits += (frames * table_bits(table / frames) + (used - 1) / (2 * math.log(2))) / len(x)
    return float(bits)


def table_bits(table: Float[np.ndarray, "x y"]) -> float:
    """Mutual information of two variables with these joint probabilities (they sum to 1)."""
    independent = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True)
    some = table > 0
    return float((table[some] * np.log2(table[some] / independent[some])).sum())


def continuous_bits(
    x: Float[np.ndarray, " frames"], y: Float[np.ndarray, " frames"], neighbours: int = 3, seed: int = 0
) -> float:
    """Mutual information of two continuous channels: the first estimator of Kraskov et al. (2004), Eq. 8.

    Each frame's distance to its `neighbours`-th nearest in the plane (maximum norm) is compared with how many frames
    lie closer than that along x and along y. Channels are standardised, which changes no mutual information, and get
    noise of 1e-10 against equal values (a saturated tanh gives many), as the authors advise.
    """
    if len(x) <= neighbours:
        raise ValueError(f"{len(x)} frames are too few: the {neighbours} nearest neighbours of each are compared")
    noise = 1e-10 * np.random.default_rng(seed).standard_normal((2, len(x)))
    axes = [_standardised(axis) + small for axis, small in zip((x, y), noise, strict=True)]
    plane = np.stack(axes, axis=1)
    distance = _tree(plane).query(plane, k=neighbours + 1, p=np.inf)[0][:, -1]
    # digamma(n) = harmonic[n - 1] - 0.577...; the constants cancel
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, len(x) + 1))])
    closer = [_closer(axis, distance) for axis in axes]
    nats = harmonic[neighbours - 1] + harmonic[len(x) - 1] - sum(harmonic[n].mean() for n in closer)
    return float(nats) / math.log(2)


def _contingency(*labels: Int64[np.ndarray, " frames"]) -> Int64[np.ndarray, ...]:
    """How often each combination of labels occurs: an axis per label."""
    shape = tuple(int(label.max()) + 1 for label in labels)
    return np.bincount(np.ravel_multi_index(labels, shape), minlength=math.prod(shape)).reshape(shape)


def _snapped(z: Float[np.ndarray, "frames 2"], grid: Grid) -> Int64[np.ndarray, " frames"]:
    return grid.nearest(torch.from_numpy(z)).indices.numpy()


def _closer(axis: Float[np.ndarray, " frames"], distance: Float[np.ndarray, " frames"]) -> Int64[np.ndarray, " frames"]:
    """How many others lie closer than its distance to each value."""
    inside = distance * (1 - 1e-9)  # "closer", whatever the rounding of axis +- distance
    ordered = np.sort(axis)
    return np.searchsorted(ordered, axis + inside, "right") - np.searchsorted(ordered, axis - inside, "left") - 1


def _standardised(channel: Float[np.ndarray, " frames"]) -> Float[np.ndarray, " frames"]:
    channel = channel.astype(np.float64)
    return (channel - channel.mean()) / (channel.std() or 1.0)


def _tree(plane: Float[np.ndarray, "frames 2"]) -> Any:
    try:
        from scipy.spatial import cKDTree
    except ImportError as error:
        raise ImportError("mutual information before quantization needs scipy: pip install 'q2d2[analyze]'") from error
    return cKDTree(plane)


def _check(grid: Grid, indices: Int64[np.ndarray, " frames"]) -> None:
    if (indices < 0).any() or (indices >= grid.num_points).any():
        raise ValueError(f"indices of {grid} lie in 0..{grid.num_points - 1}")


def _require_plane(grid: Grid) -> None:
    if grid.dimension != 2:
        raise ValueError(f"mutual information is that of the two channels of a pair; {grid} has {grid.dimension}")


def _against(
    estimate: Callable[[np.ndarray, np.ndarray], float], x: np.ndarray, y: np.ndarray, baseline: Baseline
) -> Dependence:
    """The estimate beside those of surrogates of y; the p-value counts the data itself (Phipson and Smyth 2010)."""
    if not len(x):
        raise ValueError("mutual information of no frames is not defined")
    rng = np.random.default_rng(baseline.seed)
    bits = estimate(x, y)
    without = np.array([estimate(x, baseline.surrogate(y, rng)) for _ in range(baseline.surrogates)])
    p_value = (1 + int((without >= bits).sum())) / (1 + baseline.surrogates)
    return Dependence(
        bits, float(without.mean()), float(np.quantile(without, 0.95)), p_value, len(x), baseline.surrogates
    )
