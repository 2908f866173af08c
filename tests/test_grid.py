"""Grids against points written down one by one, float64 brute force and exact fractions; laws and closed forms."""

import itertools
import math
from fractions import Fraction

import jaxtyping
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from q2d2.grid import (
    FAR,
    TILINGS,
    BCCGrid,
    FCCGrid,
    Grid,
    HexagonalGrid,
    RectangularGrid,
    RegularHexagonalGrid,
    RhombicGrid,
)

EQUAL = [tiling((level,) * tiling.dimension) for tiling in TILINGS.values() for level in range(2, 16)]
MIXED = [
    *(tiling(levels) for tiling in TILINGS.values() if tiling.dimension == 2 for levels in ((9, 7), (2, 15), (6, 3))),
    *(tiling(levels) for tiling in (BCCGrid, FCCGrid) for levels in ((2, 3, 5), (7, 4, 2))),
    RhombicGrid((7, 7), midpoints="full"),
    RhombicGrid((4, 9), midpoints="full"),
    HexagonalGrid((7, 6), offset=0.0),
    HexagonalGrid((5, 7), offset=0.5),
    HexagonalGrid((6, 7), offset=-0.125),
]
FEW = [*MIXED, *(tiling((5,) * tiling.dimension) for tiling in TILINGS.values())]


def centred(count: int) -> list[float]:
    return [i - (count - 1) / 2 for i in range(count)]


def written_down(grid: Grid) -> np.ndarray:
    """All points in the order of the paper's algorithms, found without the module's cosets."""
    axes = [centred(level) for level in grid.levels]
    inner = [centred(level - 1) for level in grid.levels]
    match grid:
        case RectangularGrid():
            points = list(itertools.product(*axes))
        case RhombicGrid(midpoints="full"):
            regular = list(itertools.product(*axes))
            points = regular + [(x + 0.5, y + 0.5) for x, y in regular]
        case RhombicGrid() | BCCGrid():
            points = list(itertools.product(*axes)) + list(itertools.product(*inner))
        case HexagonalGrid() | RegularHexagonalGrid():
            offset, height = (grid.offset, 1.0) if isinstance(grid, HexagonalGrid) else (0.25, math.sqrt(3) / 2)
            points = [(x + (-1) ** i * offset, y * height) for i, y in enumerate(axes[1]) for x in axes[0]]
        case FCCGrid():
            points = list(itertools.product(*axes))
            for whole in range(3):  # the two other axes lie halfway
                points += itertools.product(*(axes[a] if a == whole else inner[a] for a in range(3)))
    return np.array(points)


def distances(z: torch.Tensor, grid: Grid) -> torch.Tensor:
    points = torch.from_numpy(written_down(grid))
    return torch.cdist(z.double(), points, compute_mode="donot_use_mm_for_euclid_dist")


def inputs(grid: Grid, dtype: torch.dtype) -> torch.Tensor:
    """Random, on and beside the cells' edges, on the hull, outside it and far away."""
    generator = torch.Generator().manual_seed(len(grid.points))
    size = (60, grid.dimension)
    uniform = 2 * torch.rand(size, generator=generator, dtype=torch.float64) - 1
    half_width, points = torch.tensor(grid.half_width, dtype=torch.float64), torch.from_numpy(grid.points)
    some = points[torch.randint(len(points), (60,), generator=generator)]
    edges = some + torch.randint(-2, 3, size, generator=generator) / 4
    z = torch.cat(
        [
            1.3 * half_width * uniform,
            edges,
            edges + 1e-3 * uniform,
            half_width * uniform.sign() * uniform.abs().round(),
            10 * half_width * uniform,
            1e4 * uniform,
        ]
    )
    return z.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("grid", EQUAL + MIXED, ids=str)
def test_nearest_is_the_brute_force(grid, dtype):
    z = inputs(grid, dtype)
    found = grid.nearest(z)
    distance = distances(z, grid)
    chosen = distance.gather(1, found.indices.unsqueeze(1)).squeeze(1)
    # beyond this much, any other index would be farther away: near ties are the only freedom
    rounding = 4 * torch.finfo(dtype).eps * (z.double().abs().sum(-1) + sum(grid.extent))
    assert (chosen <= distance.amin(1) + rounding).all()
    torch.testing.assert_close(found.points.double(), grid.index_to_point(found.indices), rtol=1e-6, atol=1e-6)
    assert found.points.dtype == dtype and found.indices.dtype == torch.int64


@pytest.mark.parametrize("grid", [g for g in FEW if not isinstance(g, RegularHexagonalGrid)], ids=str)
def test_ties_go_to_the_lowest_index(grid):
    """Multiples of 1/8 (1/4 in space) hit every kind of tie, and their float32 distances are exact."""
    share = 8 if grid.dimension == 2 else 4
    reach = [torch.arange(-level * share // 2 - share, level * share // 2 + share + 1) / share for level in grid.levels]
    z = torch.cartesian_prod(*reach)[:: 1 if grid.dimension == 2 else 5]
    squares = ((z.double().unsqueeze(1) - torch.from_numpy(written_down(grid))) ** 2).sum(-1)
    lowest = torch.from_numpy(squares.numpy().argmin(1))
    assert torch.equal(grid.nearest(z).indices, lowest)
    assert ((squares == squares.amin(1, keepdim=True)).sum(1) > 1).float().mean() > 0.05  # there were ties


def check_with_exact_fractions(grid: Grid, coordinates: list[float]) -> None:
    index = int(grid.nearest(torch.tensor(coordinates)).indices)
    z = [Fraction(min(max(c, -FAR), FAR)) for c in coordinates]
    # |z - p|^2 without |z|^2, which is the same for all points
    score = [
        sum(Fraction(c) ** 2 - 2 * a * Fraction(c) for a, c in zip(z, p, strict=True)) for p in grid.points.tolist()
    ]
    rounding = Fraction(2**-22) * sum(abs(a) + Fraction(e) for a, e in zip(z, grid.extent, strict=True))
    assert score[index] - min(score) <= rounding * Fraction(sum(grid.extent))


@pytest.mark.parametrize("grid", FEW, ids=str)
def test_extreme_inputs(grid):
    for coordinates in itertools.product((-math.inf, -FAR, -1e10, 0.3, math.inf), repeat=grid.dimension):
        check_with_exact_fractions(grid, list(coordinates))
    for huge in (-3e38, 3e38):  # finite, and its square is not
        assert 0 <= grid.nearest(torch.full((grid.dimension,), huge)).indices < grid.num_points


@settings(max_examples=150)
@given(st.data())
def test_no_input_finds_a_farther_point(data):
    tiling = data.draw(st.sampled_from(list(TILINGS.values())))
    levels = st.integers(2, 15 if tiling.dimension == 2 else 5)
    grid = tiling(data.draw(st.tuples(*[levels] * tiling.dimension)))
    coordinate = st.floats(width=32, allow_nan=False) | st.floats(-10, 10, width=32)
    check_with_exact_fractions(grid, data.draw(st.lists(coordinate, min_size=grid.dimension, max_size=grid.dimension)))


def test_nan_gives_a_valid_index():
    z = torch.tensor([[math.nan, 0.0], [0.0, math.nan], [math.nan, math.inf]])
    for grid in EQUAL:
        indices = grid.nearest(torch.cat([z, z], -1)[:, : grid.dimension]).indices
        assert ((indices >= 0) & (indices < grid.num_points)).all()


def test_narrow_floats_are_computed_in_float32_and_without_gradient():
    z = torch.randn(50, 2, requires_grad=True)
    for dtype in (torch.float16, torch.bfloat16):
        narrow = RhombicGrid((7, 7)).nearest(z.to(dtype))
        assert narrow.points.dtype == torch.float32 and not narrow.points.requires_grad
        assert torch.equal(narrow.indices, RhombicGrid((7, 7)).nearest(z.to(dtype).float()).indices)
    assert RhombicGrid((7, 7)).nearest(torch.zeros(3, 0, 2)).indices.shape == (3, 0)


@pytest.mark.parametrize("grid", EQUAL + MIXED, ids=str)
def test_index_and_point_are_a_bijection(grid):
    points, every = torch.from_numpy(written_down(grid)), torch.arange(grid.num_points)
    assert len(points) == grid.num_points == len(np.unique(points, axis=0))
    torch.testing.assert_close(grid.index_to_point(every), points)
    assert torch.equal(grid.point_to_index(points), every)
    assert torch.equal(grid.nearest(points.float()).indices, every)
    assert grid.points.mean(0) == pytest.approx(np.zeros(grid.dimension), abs=0.3)  # centred, up to an odd row


def test_index_and_point_refuse_what_is_neither():
    grid = RhombicGrid((7, 7))
    for index in (-1, 85):
        with pytest.raises(IndexError, match=r"0\.\.84"):
            grid.index_to_point(torch.tensor([0, index]))
    for z in (0.25, 4.0, math.nan):
        with pytest.raises(ValueError, match="points of"):
            grid.point_to_index(torch.tensor([[0.0, z]]))


@pytest.mark.parametrize(("level", "counts"), {7: (49, 85, 98), 9: (81, 145, 162), 11: (121, 221, 242)}.items())
def test_point_counts_of_the_plane(level, counts):
    levels = (level, level)
    full = RhombicGrid(levels, midpoints="full")
    assert counts == (RectangularGrid(levels).num_points, RhombicGrid(levels).num_points, full.num_points)
    assert HexagonalGrid(levels).num_points == RegularHexagonalGrid(levels).num_points == level**2


@pytest.mark.parametrize("a", [2, 5])
def test_point_counts_of_space(a):
    b, c = 4, 7
    assert BCCGrid((a, b, c)).num_points == a * b * c + (a - 1) * (b - 1) * (c - 1)
    faces = a * (b - 1) * (c - 1) + (a - 1) * b * (c - 1) + (a - 1) * (b - 1) * c
    assert FCCGrid((a, b, c)).num_points == a * b * c + faces


@pytest.mark.parametrize(
    ("grid", "cell", "moment"),
    [
        (RectangularGrid((8, 9)), 1, 1 / 12),
        (RhombicGrid((8, 9)), 1 / 2, 1 / 12),
        (HexagonalGrid((8, 9)), 1, 0.080729),
        (HexagonalGrid((8, 9), offset=0.5), 1, 1 / 12),
        (RegularHexagonalGrid((8, 9)), math.sqrt(3) / 2, 5 / 36 / math.sqrt(3)),
        (BCCGrid((4, 5, 6)), 1 / 2, 19 / 192 / 2 ** (1 / 3)),
        (FCCGrid((4, 5, 6)), 1 / 4, 2 ** (-11 / 3)),
    ],
    ids=str,
)
def test_second_moment(grid, cell, moment):
    """Normalised second moment E|z - p|^2 / (dimension cell^(2 / dimension)), within 1 % of the literature's."""
    generator = torch.Generator().manual_seed(0)
    uniform = 2 * torch.rand(200_000, grid.dimension, generator=generator) - 1
    z = uniform * torch.tensor(grid.extent)  # whole periods of the lattice, and no cell of the border
    error = (grid.nearest(z).points - z).square().sum(-1).mean()
    assert error / grid.dimension / cell ** (2 / grid.dimension) == pytest.approx(moment, rel=0.01)


def test_rectangular_cells_within_the_bound_have_equal_shares():
    grid = RectangularGrid((7, 5))
    axes = [(torch.arange(10 * level) + 0.5) / 10 - level / 2 for level in grid.levels]
    assert (torch.bincount(grid.nearest(torch.cartesian_prod(*axes)).indices) == 100).all()


@pytest.mark.parametrize(
    ("grid", "gain_db"),
    [
        (RectangularGrid((9, 9)), 0.0),
        (RhombicGrid((7, 7)), -0.40),
        (RhombicGrid((9, 9)), -0.35),
        (HexagonalGrid((7, 7)), -0.07),
        (RegularHexagonalGrid((9, 9)), -0.04),
        (BCCGrid((7, 7, 7)), -0.12),
    ],
    ids=str,
)
def test_a_few_levels_lose_more_at_the_border_than_the_lattice_gains(grid, gain_db):
    """Against scalar quantization with as many bits, for a source that fills the box: `docs/quantizer.md`."""
    generator = torch.Generator().manual_seed(0)
    z = 2 * torch.rand(300_000, grid.dimension, generator=generator) - 1
    half_width = torch.tensor(grid.half_width)
    error = (grid.nearest(z * half_width).points / half_width - z).square().mean().item()
    scalar = grid.num_points ** (-2 / grid.dimension) / 3
    assert 10 * math.log10(scalar / error) == pytest.approx(gain_db, abs=0.02)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: RectangularGrid((7,)), "2 levels"),
        (lambda: BCCGrid((7, 7)), "3 levels"),
        (lambda: RhombicGrid((7, 1)), "at least 2 levels"),
        (lambda: RhombicGrid((7, 6.5)), "whole numbers"),
        (lambda: HexagonalGrid((7, 7), offset=0.6), "offset"),
        (lambda: RectangularGrid((5000, 5000)), "float32 counts exactly"),
    ],
)
def test_bad_grids_are_refused(build, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # it would find some of these first
    with pytest.raises(ValueError, match=message):
        build()


def test_the_base_class_is_no_grid():
    with pytest.raises(TypeError, match="abstract"):
        Grid((7, 7))
