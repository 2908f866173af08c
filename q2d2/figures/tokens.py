"""How often each point of each pair's grid is used, drawn on the grid itself. Numbers in, Figure out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from q2d2.analyze import utilization
from q2d2.cells import voronoi_cells
from q2d2.figures.style import LABEL, SMALL, TITLE, caption
from q2d2.grid import Grid
from q2d2.plotting import INK, VERMILION, new_figure

COLUMNS = 6
RATIO = 32  # the colours end at so many times the uniform share, and at its reciprocal


class Histogram(NamedTuple):
    """One pair."""

    grid: Grid  # of the plane
    counts: Int64[np.ndarray, " points"]


def tokens_figure(histograms: Sequence[Histogram], what: str) -> Figure:
    """A panel for each pair; `what`: the model and the clips, for the title."""
    columns = min(COLUMNS, len(histograms))
    rows = -(-len(histograms) // columns)
    figure = new_figure(max(7.0, 2.2 * columns + 0.9), 2.72 * rows + 0.9)
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    for number, (axes, histogram) in enumerate(zip(panels.flat, histograms, strict=False), start=1):
        cells = _panel(axes, number, histogram)
    bar = figure.colorbar(cells, ax=panels, fraction=0.03, aspect=35, pad=0.01)
    ticks = {1 / RATIO: f"≤1/{RATIO}", 1 / 8: "1/8", 1 / 2: "1/2", 1: "1", 2: "2", 8: "8", RATIO: f"≥{RATIO}"}
    bar.set_ticks(list(ticks), labels=list(ticks.values()))
    bar.minorticks_off()
    bar.set_label("share of the frames, relative to an equal share", color=INK, fontsize=LABEL)
    bar.ax.tick_params(colors=INK, labelsize=SMALL)
    bar.outline.set_visible(False)
    figure.suptitle(f"Use of the points: {what}", color=INK, fontsize=TITLE, x=0.01, ha="left")
    caption(
        figure,
        "Each cell is what is rounded to one point of the pair's grid. White with a cross: points that never occurred. "
        "Below the number of the pair: the share of its points that occurred, and the entropy of their frequencies "
        "(Miller-Madow corrected) out of what a file pays, log2(points).",
    )
    return figure


def _panel(axes: Axes, number: int, histogram: Histogram) -> PolyCollection:
    grid, counts = histogram
    x, y = grid.half_width
    use = utilization.use(counts)
    relative = np.ma.masked_equal(counts / max(1, use.frames) * use.points, 0)  # a dead point has no colour
    cells = PolyCollection(
        voronoi_cells(grid.points, (x, y)),
        array=relative,
        cmap="YlGnBu",
        norm=LogNorm(1 / RATIO, RATIO, clip=True),
        edgecolors="#c3ccd4",
        linewidths=0.4,
    )
    axes.add_collection(cells)
    dead = grid.points[counts == 0]
    axes.plot(*dead.T, "x", color=VERMILION, markersize=2.5, markeredgewidth=0.6)
    axes.set_xlim(-x, x)
    axes.set_ylim(-y, y)
    axes.set_aspect("equal")
    used = f"{100 * use.used_share:.0f} % used, {use.corrected_entropy_bits:.2f} of {use.log2_points:.2f} bits"
    axes.set_title(f"pair {number}\n", color=INK, fontsize=LABEL)
    axes.annotate(used, (0.5, 1.03), xycoords="axes fraction", color=INK, fontsize=SMALL, ha="center")
    return cells
