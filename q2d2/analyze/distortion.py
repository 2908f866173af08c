"""What a grid costs and what it loses: bits and squared error per dimension, of any samples, at matched bits.

Grids are compared at equal bits only, on samples in blocks of consecutive channels (pairs or triples), each grid at the
scale that serves these samples best: the least squared error, which weighs the size of the cells against what falls
outside. Both rates are given: log2(points), what a file without a prior pays, and the entropy of the indices, what an
ideal entropy coder would. Every gain is over `RectangularGrid` with equal levels: the cubic lattice of any dimension,
and FSQ.

Theory (Conway and Sloane 1982): at high rate the shape of a lattice's cells gains 10 log10((1/12) / G) dB over the
cubic one, G being its normalized second moment. Rhombic 0 (it is the square lattice, turned), regular hexagonal 0.17,
BCC 0.26, FCC 0.25, no lattice more than 1.53. A finite grid at a fixed rate has a border besides, which gains or loses.

This module knows arrays, `grid` and the entropy of `utilization`; nothing of codecs, files and figures.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from q2d2.analyze import utilization
from q2d2.grid import TILINGS, Grid, RectangularGrid

# Normalized second moments, by tiling: Conway and Sloane (1982), for BCC Barnes and Sloane (1983). That of the paper's
# hexagonal grid (offset 1/4, rows as far apart as columns) follows from its Voronoi cell.
SECOND_MOMENTS = {
    "rectangular": 1 / 12,
    "rhombic": 1 / 12,
    "hexagonal": 31 / 384,
    "regular_hexagonal": 5 / (36 * math.sqrt(3)),
    "bcc": 19 / (192 * 2 ** (1 / 3)),
    "fcc": 2 ** (-11 / 3),
}

Samples = Float64[np.ndarray, "frames channels"] | Float32[np.ndarray, "frames channels"]


class Distortion(NamedTuple):
    """What a grid, scaled, makes of samples. "Per dimension" is per scalar channel."""

    grid: Grid
    scale: float  # the grid's spacing, in units of the samples
    entropy_bits: float  # per dimension, of the indices (Miller-Madow corrected: thousands of points want it)
    mse: float  # squared error per dimension
    power: float  # mean square of the samples, per dimension

    @property
    def rate_bits(self) -> float:
        """log2(points) per dimension."""
        return rate_bits(self.grid)

    @property
    def snr_db(self) -> float:
        return 10 * math.log10(self.power / self.mse)


def gaussian(frames: int = 20_000, channels: int = 6, seed: int = 0) -> Float64[np.ndarray, "frames channels"]:
    """Independent normal samples of unit variance.

    With so many the signal-to-noise ratio is good to 0.03 dB at 3 bits (few samples fall outside, and weigh much), and
    gains over the cubic lattice on the same samples to 0.01 dB.
    """
    return np.random.default_rng(seed).standard_normal((frames, channels))


def uniform(frames: int = 20_000, channels: int = 6, seed: int = 0) -> Float64[np.ndarray, "frames channels"]:
    """Independent samples, uniform in the box from -1 to 1."""
    return np.random.default_rng(seed).uniform(-1, 1, (frames, channels))


def gaussian_limit_db(bits: float) -> float:
    """The best signal-to-noise ratio of any code for a Gaussian source at so many bits: D = 2^(-2R) (Shannon)."""
    return 20 * math.log10(2) * bits


def granular_gain_db(second_moment: float) -> float:
    """Gain over the cubic lattice by the shape of the cells alone, at high rate."""
    return 10 * math.log10(1 / 12 / second_moment)


def rate_bits(grid: Grid) -> float:
    """log2(points) per dimension."""
    return math.log2(grid.num_points) / grid.dimension


def distortion(grid: Grid, samples: Samples, scale: float | None = None) -> Distortion:
    """What the grid makes of the samples at this scale, or at the best one."""
    z = _blocks(samples, grid.dimension)
    if scale is None:
        scale = best_scale(grid, samples)
    error, indices = _snap(grid, z, scale)
    entropy_bits = utilization.use(torch.bincount(indices).numpy()).corrected_entropy_bits / grid.dimension
    return Distortion(grid, scale, entropy_bits, error, float(z.square().mean(dtype=torch.float64)))


def curve(grids: Iterable[Grid], samples: Samples) -> list[Distortion]:
    """Each grid at its best scale, in the order given."""
    return [distortion(grid, samples) for grid in grids]


def best_scale(grid: Grid, samples: Samples) -> float:
    """The scale with the least squared error, to about 0.5 % (the error is flat there: to about 1e-5 of itself).

    Three rounds over ever closer scales, from a grid that covers half the root mean square to one that covers all.
    """
    z = _blocks(samples, grid.dimension)
    root_mean_square, peak = float(z.square().mean().sqrt()), float(z.abs().max())
    if not 0 < peak < math.inf:
        raise ValueError("samples need to be finite, and not all zero, to fit a grid to them")
    low, high = root_mean_square / 2 / max(grid.half_width), peak / min(grid.extent)
    for _ in range(3):
        scales = np.geomspace(low, high, 12).tolist()
        best = min(range(12), key=lambda number: _snap(grid, z, scales[number])[0])
        low, high = scales[max(best - 1, 0)], scales[min(best + 1, 11)]
    return math.sqrt(low * high)


def cubic(most_levels: int = 32) -> list[Grid]:
    """The cubic lattice with 2 levels per dimension and more: what `gains_db` compares with."""
    return [RectangularGrid((levels, levels)) for levels in range(2, most_levels + 1)]


def gains_db(
    points: Sequence[Distortion], reference: Sequence[Distortion], at: Literal["rate", "entropy"] = "rate"
) -> list[float]:
    """Signal-to-noise ratio of each over the cubic lattice's of the same samples, at equal bits per dimension.

    `reference` is `curve(cubic(), samples)`, interpolated between its points in dB over bits; NaN beyond its ends.

    The entropy is a block's joint one: of channels that depend on each other, triples gain by that too, over a
    reference of pairs. "entropy" compares tilings on independent channels only; "rate" does on any. It also wants many
    more blocks than points: of 20,000, whose blocks have 4,000 points, it makes 0.7 dB out of BCC's 0.26.
    """

    def bits(point: Distortion) -> float:
        return point.rate_bits if at == "rate" else point.entropy_bits

    ladder = sorted((bits(point), point.snr_db) for point in reference)
    rates, snrs_db = zip(*ladder, strict=True)
    return [
        point.snr_db - float(np.interp(bits(point), rates, snrs_db, left=math.nan, right=math.nan)) for point in points
    ]


def matched(bits: float, tilings: Iterable[str] = tuple(TILINGS)) -> dict[str, Grid]:
    """Of each tiling the grid whose rate per dimension is nearest to this, among those that are nearest to a cube.

    Other sides match the bits more closely, and lose more than that by their shape: 11 x 12 points on a square cost
    0.26 dB. Compare what is left of the difference by `gains_db`.
    """
    return {name: min(_cubes(TILINGS[name], bits), key=lambda grid: abs(rate_bits(grid) - bits)) for name in tilings}


def normalized_second_moment(grid: Grid, samples: int = 2**20, seed: int = 0) -> float:
    """Normalized second moment of the grid's inner cells, by Monte Carlo: E |error|^2 / (n V^(2/n)).

    Samples are uniform over one period of the tiling, in the middle of a grid large enough to have no border there. The
    standard error is at most 6e-4 of the value with 2**20 samples.
    """
    grid = replace(grid, levels=(9,) * grid.dimension)
    period = np.array(grid.cosets[0].step)
    z = (np.random.default_rng(seed).random((samples, grid.dimension)) - 0.5) * period
    error, _ = _snap(grid, torch.from_numpy(z), 1.0)
    cell = math.prod(period) / len(grid.cosets)  # each coset has one point in a period
    return error / cell ** (2 / grid.dimension)


def _blocks(samples: Samples, dimension: int) -> Float[Tensor, "blocks dimension"]:
    if samples.shape[1] % dimension:
        raise ValueError(f"{samples.shape[1]} channels do not divide into blocks of {dimension}")
    return torch.from_numpy(np.array(samples, dtype=np.float32)).reshape(-1, dimension)


def _snap(grid: Grid, z: Float[Tensor, "blocks dimension"], scale: float) -> tuple[float, Tensor]:
    """Squared error per dimension, and the indices."""
    z = z / scale
    found = grid.nearest(z)
    return float((found.points - z).square().mean(dtype=torch.float64)) * scale**2, found.indices


def _cubes(tiling: type[Grid], bits: float) -> Iterator[Grid]:
    """Grids as nearly cubes as whole levels allow, from two levels to the first beyond these bits."""
    for first in itertools.count(2):
        grid = tiling(tuple(round(first * tiling.scale[0] / scale) for scale in tiling.scale))
        yield grid
        if rate_bits(grid) > bits:
            return
