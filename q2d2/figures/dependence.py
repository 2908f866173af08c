"""Mutual information of the two channels of each pair, before and after quantization (Fig. 4 of the paper).

Numbers in, Figure out. Above as the paper shows it, with what the grid alone would give; below what is left of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from q2d2.analyze.dependence import Dependence
from q2d2.figures.measuring import PairDependence
from q2d2.figures.style import SMALL, caption, dress
from q2d2.plotting import BLUE, GREEN, INK, VERMILION, new_figure

ASIDE = 0.17  # of the distance of two pairs: what stands beside each other at one pair


def dependence_figure(pairs: Sequence[PairDependence], what: str) -> Figure:
    """A place on the x axis for each pair; `what`: the model and the clips, for the title."""
    figure = new_figure(max(8.0, 2.5 + 0.5 * len(pairs)), 7.6)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    number = np.arange(1, len(pairs) + 1)

    uniform = [pair.uniform_bits for pair in pairs]
    above.hlines(uniform, number - 0.4, number + 0.4, color=INK, linestyles=(0, (2, 1)), linewidth=1.8)
    above.plot([], [], color=INK, linestyle=(0, (2, 1)), linewidth=1.8, label="after, if independent and uniform")
    _dots(above, number - ASIDE, [pair.before for pair in pairs], BLUE, "o", "before quantization")
    _baselines(
        above, number + ASIDE, [pair.after for pair in pairs], VERMILION, "after, if shifted in time before the grid"
    )
    _dots(above, number + ASIDE, [pair.after for pair in pairs], VERMILION, "s", "after quantization")
    dress(above, f"Mutual information of the two channels of each pair: {what}", y="bits")

    _baselines(below, number - ASIDE, [pair.before for pair in pairs], BLUE, "before, if shifted in time")
    _dots(below, number - ASIDE, [pair.before for pair in pairs], BLUE, "o", "before quantization")
    _baselines(below, number + ASIDE, [pair.given_coset for pair in pairs], GREEN, "after, if shifted in its coset")
    _dots(
        below, number + ASIDE, [pair.given_coset for pair in pairs], GREEN, "^", "after quantization, given the coset"
    )
    dress(below, "What is left of it where the coset of the point is known", x="pair", y="bits")
    below.set_xticks(number)
    below.set_xlim(0.4, len(pairs) + 0.6)
    for axes in (above, below):
        axes.grid(visible=False, axis="x")
        axes.legend(fontsize=SMALL, ncols=2, frameon=False, labelcolor=INK, loc="best")
    surrogates = pairs[0].before.surrogates
    caption(
        figure,
        "Before: nearest-neighbour estimate (Kraskov et al. 2004). After: of the two coordinates of the grid points, "
        f"with Miller and Madow's correction. Bars: mean to 95 % of {surrogates} surrogates without dependence, one "
        "channel shifted in time.",
        "What lies below the bars is the grid's and tells nothing of speech: in a rhombic or hexagonal grid each "
        "coordinate tells which coset the point is from, and so about 1 bit of the other one, also where the channels "
        "are independent.",
    )
    return figure


def _dots(axes: Axes, x: np.ndarray, found: Sequence[Dependence], colour: str, marker: str, label: str) -> None:
    axes.plot(x, [one.bits for one in found], marker, color=colour, markersize=7, markeredgecolor="white", label=label)


def _baselines(axes: Axes, x: np.ndarray, found: Sequence[Dependence], colour: str, label: str) -> None:
    """From the surrogates' mean to what 95 % of them are below."""
    low = [one.baseline_bits for one in found]
    high = [one.baseline_95_bits for one in found]
    axes.vlines(x, low, high, color=colour, linewidth=7, alpha=0.3, label=label)
