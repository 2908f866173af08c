"""Voronoi cells: a partition of the box, by areas and by brute force."""

import numpy as np
import pytest

from q2d2.cells import voronoi_cells
from q2d2.grid import HexagonalGrid, RectangularGrid, RegularHexagonalGrid, RhombicGrid

GRIDS = [
    RectangularGrid((5, 7)),
    RhombicGrid((7, 7)),
    RhombicGrid((2, 3)),
    RhombicGrid((4, 4), midpoints="full"),
    HexagonalGrid((6, 5)),
    HexagonalGrid((5, 5), offset=-0.5),
    RegularHexagonalGrid((9, 9)),
]


def area(polygon: np.ndarray) -> float:
    x, y = polygon.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def holds(cell: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Which of these places lie inside a convex polygon, by the side of each of its edges."""
    edges = np.roll(cell, -1, 0) - cell
    to = z[:, None] - cell
    side = edges[:, 0] * to[..., 1] - edges[:, 1] * to[..., 0]
    return (side >= 0).all(1) | (side <= 0).all(1)


def assert_partition(points: np.ndarray, half_width: tuple[float, float], cells: list[np.ndarray]) -> None:
    assert len(cells) == len(points)
    assert sum(map(area, cells)) == pytest.approx(4 * half_width[0] * half_width[1])
    z = np.random.default_rng(0).uniform(-1, 1, (4000, 2)) * half_width
    nearest = ((z[:, None] - points) ** 2).sum(-1).argmin(1)
    for index, cell in enumerate(cells):
        assert (holds(cell, z) == (nearest == index)).all()


@pytest.mark.parametrize("grid", GRIDS, ids=lambda grid: f"{grid.tiling}-{grid.levels}")
def test_grids(grid):
    half_width = (grid.half_width[0], grid.half_width[1])
    cells = voronoi_cells(grid.points, half_width)
    assert_partition(grid.points, half_width, cells)
    for point, cell in zip(grid.points, cells, strict=True):
        assert holds(cell, point[None]).all()


def test_points_of_no_lattice():
    """Here a neighbour may be many points away: thirty in a heap, and a few that share the rest."""
    rng = np.random.default_rng(1)
    points = np.concatenate([rng.normal(0, 0.02, (30, 2)), rng.uniform(-1, 1, (6, 2)) * (3, 1)])
    assert_partition(points, (3.0, 1.0), voronoi_cells(points, (3.0, 1.0)))


def test_a_point_alone_has_the_whole_box_and_one_far_outside_nothing():
    box, nothing = voronoi_cells(np.array([[0.0, 0.0], [9.0, 0.0]]), (1.0, 2.0))
    assert area(box) == pytest.approx(8) and len(nothing) == 0
