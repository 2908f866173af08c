"""Signal-to-noise ratio of every grid against its bits, and what it gains over the cubic lattice at equal bits.

Numbers in, Figure out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from q2d2.analyze.distortion import SECOND_MOMENTS, gaussian_limit_db, granular_gain_db
from q2d2.figures.measuring import CUBIC, Curves
from q2d2.figures.style import SMALL, TILINGS, caption, dress
from q2d2.plotting import INK, PALE, new_figure

GAUSSIAN = "Gaussian samples"  # the source whose bound is known


def rate_distortion_figure(sources: Sequence[Curves]) -> Figure:
    """A column for each source; above the ratios, below the gains."""
    figure = new_figure(1 + 4.2 * len(sources), 8.2)
    panels = figure.subplots(2, len(sources), squeeze=False, sharex=True, sharey="row", height_ratios=(1, 1.15))
    for (above, below), source in zip(panels.T, sources, strict=True):
        _ratios(above, source)
        _gains(below, source)
    panels[0, 0].set_ylabel("signal-to-noise ratio, dB", color=INK)
    panels[1, 0].set_ylabel("gain over cubic at equal bits, dB", color=INK)
    lines = {line.get_label(): line for axes in panels[0] for line in axes.get_lines()}
    figure.legend(
        lines.values(), lines, loc="outside upper left", ncols=len(lines), frameon=False, fontsize=SMALL, labelcolor=INK
    )
    caption(
        figure,
        "Bits are log2(points), what a file pays. Each grid has the scale at which it serves the samples best; planar "
        "grids take two neighbouring channels, the others three.",
        "Bars to the right: what the shape of the cells gains at high rate. A finite grid loses some of that, or adds "
        "to it, at its border; samples that crowd at 0 favour grids with a point there.",
    )
    return figure


def _ratios(axes: Axes, source: Curves) -> None:
    for tiling, look in TILINGS.items():
        points = source.cubic if tiling == CUBIC else source.tilings[tiling]
        x, y = [point.rate_bits for point in points], [point.snr_db for point in points]
        axes.plot(x, y, look.marker, color=look.colour, markersize=5, label=look.name)
    if source.source == GAUSSIAN:
        ends = np.array([source.cubic[0].rate_bits, source.cubic[-1].rate_bits])
        axes.plot(ends, [gaussian_limit_db(bits) for bits in ends], color=PALE, linewidth=1.5, label="Shannon's bound")
    dress(axes, source.source)


def _gains(axes: Axes, source: Curves) -> None:
    axes.axhline(0, color=INK, linewidth=1.2)
    last = max(point.rate_bits for points in source.tilings.values() for point in points)
    for tiling, points in source.tilings.items():
        look, x = TILINGS[tiling], [point.rate_bits for point in points]
        axes.plot(x, source.gains_db(points), look.marker, ls="-", lw=1, color=look.colour, markersize=5)
        axes.hlines(granular_gain_db(SECOND_MOMENTS[tiling]), last + 0.1, last + 0.5, color=look.colour, linewidth=2)
    dress(axes, x="bits per dimension")
