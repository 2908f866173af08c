"""Mutual information against closed forms, scikit-learn and the chain rule; baselines against what they must reject."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from q2d2.analyze import dependence, utilization
from q2d2.analyze.dependence import Baseline, shifted, shuffled
from q2d2.grid import (
    BCCGrid,
    Grid,
    HexagonalGrid,
    RectangularGrid,
    RegularHexagonalGrid,
    RhombicGrid,
)

FEW = Baseline(surrogates=19)
PLANE = [RectangularGrid((7, 5)), RhombicGrid((7, 7)), RhombicGrid((5, 6), "full"), HexagonalGrid((6, 7))]
PLANE.append(RegularHexagonalGrid((7, 8)))


def gaussian(rho: float, frames: int, seed: int = 0) -> np.ndarray:
    x, y = np.random.default_rng(seed).standard_normal((2, frames))
    return np.stack([x, rho * x + math.sqrt(1 - rho**2) * y], axis=1)


def uniform(grid: Grid, frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (frames, 2)) * np.array(grid.half_width)


def snapped(grid: Grid, z: np.ndarray) -> np.ndarray:
    return grid.nearest(torch.from_numpy(z)).indices.numpy()


def rhombic_table(levels: tuple[int, int]) -> np.ndarray:
    """Share of each cell of the rhombic grid with interior midpoints in its box, by columns and rows; exact.

    A diamond has area 1/2. A cell at an edge of the box has no neighbours outside: half a square and half a diamond,
    3/4; at a corner it is a unit square less the eighth beyond the only midpoint's bisector.
    """
    a, b = levels
    table = np.full((2 * a - 1, 2 * b - 1), Fraction(0))
    for i in range(a):
        for j in range(b):
            edges = (i in (0, a - 1)) + (j in (0, b - 1))
            table[2 * i, 2 * j] = [Fraction(1, 2), Fraction(3, 4), Fraction(7, 8)][edges]
    table[1::2, 1::2] = Fraction(1, 2)
    assert table.sum() == a * b
    return (table / (a * b)).astype(float)


def entropy_bits(probabilities: np.ndarray) -> float:
    some = probabilities[probabilities > 0]
    return float(-(some * np.log2(some)).sum())


def three_entropies(table: np.ndarray) -> float:
    return entropy_bits(table.sum(axis=1)) + entropy_bits(table.sum(axis=0)) - entropy_bits(table)


@pytest.mark.parametrize("levels", [(2, 2), (7, 7), (9, 9), (4, 9), (31, 31)])
def test_independent_uniform_channels_on_the_rhombic_grid(levels: tuple[int, int]) -> None:
    exact = three_entropies(rhombic_table(levels))
    grid = RhombicGrid(levels)
    assert dependence.on_uniform(grid) == pytest.approx(exact, abs=1.5e-4)
    # the estimate, within four of its standard errors (the spread of log p(x, y) / p(x) p(y))
    table, frames = rhombic_table(levels), 100_000
    some, outer = table > 0, np.outer(table.sum(axis=1), table.sum(axis=0))
    spread = math.sqrt((table[some] * (np.log2(table[some] / outer[some]) - exact) ** 2).sum())
    estimate = dependence.after(snapped(grid, uniform(grid, frames)), grid, Baseline(1)).bits
    assert estimate == pytest.approx(exact, abs=4 * spread / math.sqrt(frames) + 1e-4)


def test_the_artefact_of_each_grid() -> None:
    artefact = dependence.on_uniform
    assert artefact(RectangularGrid((7, 9))) == pytest.approx(0, abs=1e-5)
    for tiling in (RhombicGrid, HexagonalGrid, RegularHexagonalGrid):
        assert 0.9 < artefact(tiling((7, 7))) < artefact(tiling((15, 15))) < 1
        assert 1 - artefact(tiling((63, 63))) < 0.01
    # a shift of nothing is the rectangle; in a shift of half a spacing, the square lattice again, x tells no row but at
    # the ends: the artefact is not one of two cosets, but of x that tells which
    assert artefact(HexagonalGrid((7, 7), offset=0.0)) == pytest.approx(0, abs=1e-5)
    assert artefact(HexagonalGrid((63, 63), offset=0.5)) < 0.02


@pytest.mark.parametrize("grid", PLANE, ids=str)
def test_the_chain_rule_splits_off_the_coset(grid: Grid) -> None:
    indices = snapped(grid, 1.5 * gaussian(0.6, 5_000))
    coset = utilization.use(np.bincount(dependence.cosets(grid, indices))).corrected_entropy_bits
    whole, rest = dependence.after(indices, grid, FEW).bits, dependence.given_coset(indices, grid, FEW).bits
    assert whole == pytest.approx(coset + rest, abs=1e-9)
    assert rest > 0.2


@pytest.mark.parametrize("grid", PLANE, ids=str)
def test_the_coset_takes_the_artefact_away(grid: Grid) -> None:
    """What is left are the cells along the border, and `beyond_grid` takes them too."""
    z = uniform(grid, 50_000)
    indices = snapped(grid, z)
    assert abs(dependence.given_coset(indices, grid, FEW).bits) < 0.01
    beyond = dependence.beyond_grid(z, grid, FEW)
    assert beyond.bits == dependence.after(indices, grid, FEW).bits
    assert beyond.baseline_bits == pytest.approx(dependence.on_uniform(grid), abs=0.005)
    assert abs(beyond.excess_bits) < 0.003
    assert beyond.p_value > 0.05


def test_cosets_and_coordinates_are_those_of_the_points() -> None:
    for grid in PLANE:
        every = np.arange(grid.num_points)
        labels = dependence.coordinates(grid, every)
        for axis in range(2):
            values = np.unique(grid.points[:, axis].round(6))
            np.testing.assert_allclose(values[labels[:, axis]], grid.points[:, axis], atol=1e-6)
        for number, coset in enumerate(grid.cosets):
            steps = (grid.points[dependence.cosets(grid, every) == number] - coset.origin) / coset.step
            np.testing.assert_allclose(steps, steps.round(), atol=1e-9)
            assert len(steps) == math.prod(coset.size)


@pytest.mark.parametrize("rho", [0.0, 0.5, -0.9, 0.99])
def test_gaussian_channels(rho: float) -> None:
    exact = -0.5 * math.log2(1 - rho**2)
    estimates = [dependence.continuous_bits(*gaussian(rho, 2_000, seed).T) for seed in range(20)]
    assert np.mean(estimates) == pytest.approx(exact, abs=4 * np.std(estimates) / math.sqrt(20) + 0.005)
    x, y = gaussian(rho, 2_000).T
    assert dependence.continuous_bits(1e4 * x + 7, 1e-4 * y) == pytest.approx(estimates[0], abs=1e-6)


def test_monotone_functions_of_the_channels_change_nothing() -> None:
    pairs = [gaussian(0.7, 2_000, seed).T for seed in range(20)]
    plain = np.array([dependence.continuous_bits(x, y) for x, y in pairs])
    bent = np.array([dependence.continuous_bits(np.tanh(x), np.sinh(y)) for x, y in pairs])
    assert np.mean(bent - plain) == pytest.approx(0, abs=4 * np.std(bent - plain) / math.sqrt(20) + 0.005)


def test_the_continuous_estimator_is_scikit_learns() -> None:
    mutual_info_regression = pytest.importorskip("sklearn.feature_selection").mutual_info_regression
    for rho, neighbours in ((0.4, 3), (0.8, 5)):
        z = gaussian(rho, 1_000)
        nats = mutual_info_regression(z[:, :1], z[:, 1], n_neighbors=neighbours)[0]
        ours = dependence.continuous_bits(z[:, 0], z[:, 1], neighbours)
        assert ours == pytest.approx(nats / math.log(2), abs=1e-6)


def test_saturated_and_constant_channels() -> None:
    x, y = np.clip(gaussian(0.0, 3_000), -0.5, 0.5).astype(np.float32).T
    assert dependence.continuous_bits(x, y) == pytest.approx(0, abs=0.1)
    assert dependence.continuous_bits(np.ones_like(x), y) == pytest.approx(0, abs=0.1)


def test_the_correction_takes_the_bias_of_independent_labels() -> None:
    rng = np.random.default_rng(0)
    x, y, given = (rng.integers(0, n, (200, 2_000)) for n in (8, 9, 3))
    plain, corrected, conditional = [], [], []
    for labels in zip(x, y, given, strict=True):
        table = np.histogram2d(labels[0], labels[1], bins=(8, 9))[0] / 2_000
        plain.append(three_entropies(table))
        corrected.append(dependence.discrete_bits(*labels[:2]))
        conditional.append(dependence.discrete_bits(*labels))
    assert np.mean(plain) == pytest.approx(7 * 8 / (2 * math.log(2) * 2_000), rel=0.1)
    assert abs(np.mean(corrected)) < 0.1 * np.mean(plain)
    assert abs(np.mean(conditional)) < 0.1 * 3 * np.mean(plain)


def test_a_rectangular_grid_cannot_add_dependence() -> None:
    z = 1.2 * gaussian(0.7, 50_000)
    grid = RectangularGrid((7, 7))
    after = dependence.after(snapped(grid, z), grid, FEW)
    assert 0.25 < after.bits < -0.5 * math.log2(1 - 0.7**2)
    assert after.bits == dependence.given_coset(snapped(grid, z), grid, FEW).bits


def test_what_channels_have_in_common_is_found_by_all() -> None:
    z, grid = 1.5 * gaussian(0.3, 20_000), RhombicGrid((7, 7))
    indices = snapped(grid, z)
    found = [
        dependence.before(z, FEW, most_frames=4_000),
        dependence.after(indices, grid, FEW),
        dependence.given_coset(indices, grid, FEW),
        dependence.beyond_grid(z, grid, FEW),
    ]
    for result in found:
        assert result.p_value == 1 / 20
        assert result.baseline_bits < result.baseline_95_bits < result.bits
    assert [result.frames for result in found] == [4_000, 20_000, 20_000, 20_000]
    exact = -0.5 * math.log2(1 - 0.3**2)
    assert 0.02 < found[3].excess_bits < exact
    assert dependence.beyond_grid(z, grid, FEW) == found[3]  # seeded


def rejections(surrogate: dependence.Surrogate, memory: float) -> int:
    """In how many of 100 pairs of independent channels, smoothed in time, dependence is claimed at 5 %."""
    grid = RectangularGrid((5, 5))
    z = np.random.default_rng(0).standard_normal((500, 100, 2))
    for frame in range(1, 500):
        z[frame] = memory * z[frame - 1] + math.sqrt(1 - memory**2) * z[frame]
    found = [dependence.after(snapped(grid, z[:, n]), grid, Baseline(19, surrogate, n)) for n in range(100)]
    return sum(result.p_value <= 0.05 for result in found)


def test_p_values_hold_what_they_promise() -> None:
    """5 of 100 expected, with a standard deviation of 2.2."""
    assert 0 < rejections(shuffled, memory=0.0) <= 14
    assert 0 < rejections(shifted, memory=0.0) <= 14
    assert rejections(shuffled, memory=0.95) > 50  # frames are not independent
    assert rejections(shifted, memory=0.95) <= 14


def test_refusals() -> None:
    cube, square = BCCGrid((3, 3, 3)), RhombicGrid((3, 3))
    none = np.zeros(0, dtype=np.int64)
    for wrong in (lambda: dependence.on_uniform(cube), lambda: dependence.after(none, cube)):
        with pytest.raises(ValueError, match="two channels of a pair"):
            wrong()
    for index in (-1, 13):
        with pytest.raises(ValueError, match=r"lie in 0\.\.12"):
            dependence.after(np.array([0, index]), square)
    with pytest.raises(ValueError, match="no frames"):
        dependence.after(none, square)
    with pytest.raises(ValueError, match="3 frames are too few"):
        dependence.before(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="at least one surrogate"):
        Baseline(0)
