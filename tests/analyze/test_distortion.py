"""Distortion against Max's quantizers, closed forms of the uniform source, lattice theory and Shannon's limit."""

import math
from dataclasses import replace

import numpy as np
import pytest

from q2d2.analyze import distortion
from q2d2.grid import TILINGS, BCCGrid, Grid, HexagonalGrid, RectangularGrid, RegularHexagonalGrid, RhombicGrid


@pytest.mark.parametrize("name", TILINGS)
def test_second_moments_are_those_of_theory(name: str) -> None:
    grid = TILINGS[name]((3,) * TILINGS[name].dimension)
    assert distortion.normalized_second_moment(grid) == pytest.approx(distortion.SECOND_MOMENTS[name], rel=2.4e-3)


def test_the_rows_offset_makes_the_hexagonal_grid_and_half_a_spacing_the_square_one() -> None:
    moments = [distortion.normalized_second_moment(HexagonalGrid((3, 3), offset)) for offset in (0.0, 0.25, 0.5)]
    assert moments == pytest.approx([1 / 12, 31 / 384, 1 / 12], rel=2.4e-3)


def test_granular_gains() -> None:
    gains = {name: distortion.granular_gain_db(moment) for name, moment in distortion.SECOND_MOMENTS.items()}
    published = {"rectangular": 0, "rhombic": 0, "regular_hexagonal": 0.17, "bcc": 0.26, "fcc": 0.25}
    for name, gain in published.items():
        assert gains[name] == pytest.approx(gain, abs=0.005)
    assert 0 < gains["hexagonal"] < gains["regular_hexagonal"]


@pytest.mark.parametrize(
    ("levels", "step", "error"),
    [(2, 1.596, 0.3634), (4, 0.9957, 0.1188), (8, 0.5860, 0.03744), (16, 0.3352, 0.01154), (32, 0.1881, 0.003495)],
)
def test_the_best_uniform_quantizers_of_a_gaussian(levels: int, step: float, error: float) -> None:
    """Max (1960), Table II. The standard error of what falls outside 16 or 32 levels is 0.7 % of 360,000 samples'."""
    found = distortion.distortion(RectangularGrid((levels, levels)), distortion.gaussian(60_000))
    assert found.scale == pytest.approx(step, rel=0.02)
    assert found.mse == pytest.approx(error, rel=0.03)
    assert found.power == pytest.approx(1, rel=0.01)
    assert found.snr_db == pytest.approx(10 * math.log10(found.power / error), abs=0.13)
    assert (found.rate_bits, found.grid.levels) == (math.log2(levels), (levels, levels))


@pytest.mark.parametrize("levels", [2, 5, 8])
def test_the_uniform_source_needs_no_more_than_the_rectangle(levels: int) -> None:
    found = distortion.distortion(RectangularGrid((levels, levels)), distortion.uniform())
    assert found.scale == pytest.approx(2 / levels, rel=0.01)
    assert found.mse == pytest.approx(1 / 3 / levels**2, rel=0.01)
    assert found.entropy_bits == pytest.approx(math.log2(levels), abs=0.002)
    assert found.snr_db == pytest.approx(20 * math.log10(levels), abs=0.04)


@pytest.mark.parametrize(
    "grid", [RhombicGrid((13, 13)), HexagonalGrid((13, 13)), RegularHexagonalGrid((13, 15)), BCCGrid((13, 13, 13))]
)
def test_at_equal_entropy_and_high_rate_the_gain_is_the_lattices(grid: Grid) -> None:
    samples = distortion.gaussian(100_000)
    found = distortion.distortion(grid, samples, scale=0.75)  # a cell is small enough, and next to nothing outside
    ladder = [distortion.distortion(RectangularGrid((n, n)), samples, 10 / n) for n in range(9, 29)]
    gain_db = distortion.gains_db([found], ladder, at="entropy")[0]
    expected = distortion.granular_gain_db(distortion.SECOND_MOMENTS[grid.tiling])
    assert gain_db == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(
    "samples", [distortion.gaussian(5_000), distortion.uniform(5_000)], ids=["gaussian", "uniform"]
)
def test_laws_of_any_source(samples: np.ndarray) -> None:
    reference = distortion.curve(distortion.cubic(16), samples)
    assert distortion.gains_db(reference, reference) == pytest.approx([0] * 15, abs=1e-9)
    assert distortion.gains_db(reference, reference, at="entropy") == pytest.approx([0] * 15, abs=1e-9)
    snrs_db = [point.snr_db for point in reference]
    assert snrs_db == sorted(snrs_db)
    grids = [tiling((level,) * tiling.dimension) for tiling in TILINGS.values() for level in (2, 5)]
    for grid, point in zip(grids, distortion.curve(grids, samples), strict=True):
        assert point.grid == grid
        assert point.entropy_bits <= point.rate_bits + 1e-3
        # no scale nearby is better
        for factor in (0.97, 1.03):
            assert distortion.distortion(grid, samples, point.scale * factor).mse > point.mse
        # a scale of the samples is a scale of the grid
        larger = distortion.distortion(grid, 8 * samples)
        assert larger.mse == pytest.approx(64 * point.mse, rel=1e-3)
        assert larger.scale == pytest.approx(8 * point.scale, rel=1e-3)


def test_nothing_passes_shannons_limit() -> None:
    samples = distortion.gaussian(5_000)
    for point in distortion.curve(distortion.matched(3.0).values(), samples):
        assert point.snr_db < distortion.gaussian_limit_db(point.entropy_bits) < 6.03 * point.rate_bits


def test_a_block_is_some_neighbouring_channels() -> None:
    samples = distortion.gaussian(200, channels=4)
    grid = RegularHexagonalGrid((3, 3))
    error = 0.0
    for pair in samples.reshape(-1, 2):
        error += ((grid.points - pair) ** 2).sum(axis=1).min() / samples.size
    assert distortion.distortion(grid, samples, scale=1.0).mse == pytest.approx(error, rel=1e-5)


@pytest.mark.parametrize("bits", [1.0, 2.4, 3.0, 4.1])
def test_matched_grids_are_the_nearest(bits: float) -> None:
    matched = distortion.matched(bits)
    assert list(matched) == list(TILINGS)
    for grid in matched.values():
        assert max(grid.half_width) - min(grid.half_width) <= max(grid.scale) / 4  # as near to a cube as levels allow
        for step in (-1, 1):
            if min(grid.levels) + step >= 2:
                other = replace(grid, levels=tuple(level + step for level in grid.levels))
                assert abs(distortion.rate_bits(other) - bits) >= abs(distortion.rate_bits(grid) - bits)
    assert distortion.matched(3.0, ["rectangular"]) == {"rectangular": RectangularGrid((8, 8))}


def test_gains_beyond_the_reference_are_not_numbers() -> None:
    samples = distortion.gaussian(500)
    point = distortion.distortion(RectangularGrid((9, 9)), samples)
    assert math.isnan(distortion.gains_db([point], distortion.curve(distortion.cubic(8), samples))[0])


def test_refusals() -> None:
    with pytest.raises(ValueError, match="5 channels do not divide into blocks of 2"):
        distortion.distortion(RhombicGrid((3, 3)), np.ones((4, 5)))
    for value in (0.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="finite, and not all zero"):
            distortion.best_scale(RhombicGrid((3, 3)), np.full((4, 4), value))
