"""The grids (Fig. 1 of the paper): points and Voronoi cells in the plane, and one cell of each lattice of space.

Geometry in, Figure out. The planar grids have about the same number of points, so that their cells compare.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import Axes3D
from mpl_toolkits.mplot3d.art3d import Poly3DCollection

from q2d2.analyze.dependence import cosets
from q2d2.analyze.distortion import SECOND_MOMENTS, granular_gain_db
from q2d2.cells import voronoi_cells
from q2d2.evaluate.metrics.base import package
from q2d2.figures.style import SMALL, TITLE, caption
from q2d2.grid import (
    BCCGrid,
    FCCGrid,
    Grid,
    HexagonalGrid,
    RectangularGrid,
    RegularHexagonalGrid,
    RhombicGrid,
)
from q2d2.plotting import BLUE, INK, PALE, new_figure

SHOWN: tuple[tuple[str, Grid], ...] = (
    ("rectangular", RectangularGrid((9, 9))),
    ("rhombic, interior midpoints", RhombicGrid((7, 7))),
    ("rhombic, all midpoints", RhombicGrid((7, 7), midpoints="full")),
    ("hexagonal as in the paper", HexagonalGrid((9, 9))),
    ("regular hexagonal (A2)", RegularHexagonalGrid((9, 9))),
)
SOLIDS: tuple[tuple[str, str, Float[np.ndarray, "points 3"]], ...] = (
    ("cubic (FSQ)", "rectangular", np.indices((3, 3, 3)).reshape(3, -1).T - 1.0),
    ("body-centred cubic (BCC)", "bcc", BCCGrid((3, 3, 3)).points),
    ("face-centred cubic (FCC)", "fcc", FCCGrid((3, 3, 3)).points),
)
FILLS, DOTS = ("#d6e6f2", "#fbe7c6"), (BLUE, "#a86f00")  # of the first coset and the second
COLUMNS = 4


def grids_figure() -> Figure:
    """A panel for each of `SHOWN` and of `SOLIDS`."""
    rows = -(-(len(SHOWN) + len(SOLIDS)) // COLUMNS)
    figure = new_figure(3.3 * COLUMNS, 3.55 * rows + 0.6)
    for place, (name, grid) in enumerate(SHOWN, start=1):
        _tiling(figure.add_subplot(rows, COLUMNS, place), name, grid)
    for place, (name, tiling, points) in enumerate(SOLIDS, start=len(SHOWN) + 1):
        _solid(figure.add_subplot(rows, COLUMNS, place, projection="3d"), name, points, SECOND_MOMENTS[tiling])
    caption(
        figure,
        "In the plane: a cell is what is rounded to its point, and the frame the box from -l/2 to l/2 that the bounded "
        "channels fill. Colours tell cosets apart: rectangle and midpoints, even and odd rows.",
        "In space: a cell of each lattice, all of one volume, and the points whose cells share a face with it. The "
        "normalized second moment is the squared error at high rate; in brackets, what it gains over cubic.",
    )
    return figure


def _tiling(axes: Axes, name: str, grid: Grid) -> None:
    x, y = grid.half_width
    coset = cosets(grid, np.arange(grid.num_points))
    cells = PolyCollection(
        voronoi_cells(grid.points, (x, y)),
        facecolors=[FILLS[number % 2] for number in coset],
        edgecolors="white",
        linewidths=1.3,
    )
    axes.add_collection(cells)
    axes.scatter(grid.points[:, 0], grid.points[:, 1], s=13, color=[DOTS[number % 2] for number in coset], zorder=2)
    axes.set_xlim(-x, x)
    axes.set_ylim(-y, y)
    axes.set_aspect("equal", anchor="N")
    axes.set_xticks([-x, 0, x], [f"{-x:g}", "0", f"{x:g}"])
    axes.set_yticks([-y, 0, y], [f"{-y:.3g}", "0", f"{y:.3g}"])
    axes.tick_params(colors=INK, labelsize=SMALL, length=3)
    axes.spines[:].set_color(PALE)
    levels = " × ".join(map(str, grid.levels))
    _titles(axes, name, f"{levels} levels, {grid.num_points} points, {math.log2(grid.num_points):.2f} bits")


def _solid(axes: Axes3D, name: str, points: Float[np.ndarray, "points 3"], second_moment: float) -> None:
    faces, neighbours = cell_in_space(points)
    axes.add_collection3d(
        Poly3DCollection(faces, facecolors=FILLS[0], edgecolors=BLUE, linewidths=1.2, alpha=0.75, shade=False)
    )
    x, y, z = neighbours.T
    axes.scatter(x, y, zs=z, s=20, color=BLUE, depthshade=True)
    reach = 1.1 * package("scipy.spatial").ConvexHull(np.concatenate(faces)).volume ** (1 / 3)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), zlim=(-reach, reach))
    axes.set_box_aspect((1, 1, 1), zoom=1.3)
    axes.set_anchor("N")
    axes.view_init(elev=16, azim=-64)
    axes.set_axis_off()
    gain = f" ({granular_gain_db(second_moment):+.2f} dB)" if second_moment < SECOND_MOMENTS["rectangular"] else ""
    _titles(axes, name, f"{len(faces)} faces, second moment {second_moment:.4f}{gain}")


def _titles(axes: Axes, name: str, text: str) -> None:
    axes.set_title(f"{name}\n", color=INK, fontsize=TITLE)
    axes.annotate(text, (0.5, 1.03), xycoords="axes fraction", color=INK, fontsize=SMALL, ha="center")


def cell_in_space(
    points: Float[np.ndarray, "points 3"],
) -> tuple[list[Float[np.ndarray, "_ 3"]], Float[np.ndarray, "neighbours 3"]]:
    """The faces of the Voronoi cell of the point nearest to 0, and that point before those beyond its faces.

    The cell must not reach to infinity: the point lies among others on all sides.
    """
    diagram = package("scipy.spatial").Voronoi(points)
    middle = int((points**2).sum(-1).argmin())
    faces, neighbours = [], [points[middle]]
    for pair, corners in zip(diagram.ridge_points.tolist(), diagram.ridge_vertices, strict=True):
        if middle in pair:
            faces.append(diagram.vertices[corners])
            neighbours.append(points[sum(pair) - middle])
    return faces, np.array(neighbours)
