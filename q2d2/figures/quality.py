"""Quality against kbit/s, every system of an evaluation a point (Fig. 3 of the paper). Rows in, Figure out."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from q2d2.evaluate.metrics import METRICS, Score
from q2d2.evaluate.rows import Row
from q2d2.evaluate.tables import bootstrap_interval, by_system
from q2d2.figures.labels import Named, name_points
from q2d2.figures.style import SERIES, SMALL, caption, dress
from q2d2.plotting import INK, PALE, new_figure

# What is drawn of what the rows have: beside the original, then by one signal alone
SHOWN = ("pesq_wb", "stoi", "visqol", "utmos", "distill_mos", "dnsmos_p808")
ORIGINAL = "original"
AREA = 0.3  # of a marker, in square points, for each token a second
BARE = 45.0  # of the marker of a codec without tokens


class Point(NamedTuple):
    """A system."""

    system: str
    family: str  # the same for one codec at several rates
    kbps: float  # of its files, headers and all
    tokens_per_s: float | None  # numbers that a language model would see; None where there are none
    rows: list[Row]

    def interval(self, score: str) -> tuple[float, float, float] | None:
        """Mean, and the 95 % interval; None where no clip has this score."""
        values = np.array([row.scores[score] for row in self.rows if row.scores[score] is not None], dtype=np.float64)
        return (float(values.mean()), *bootstrap_interval(values)) if len(values) else None


def shown_scores(rows: Sequence[Row]) -> list[Score]:
    """The scores to draw: those of `SHOWN` that any clip has."""
    scores = {score.name: score for metric in METRICS for score in metric.scores}
    return [scores[name] for name in SHOWN if name in scores and any(row.scores.get(name) is not None for row in rows)]


def sized(rows: Sequence[Row]) -> list[Point]:
    """The systems whose size is known for every clip, in the order of the rows."""
    points = []
    for system, own in by_system(rows).items():
        sizes, tokens = [row.file_bytes for row in own], [row.tokens for row in own]
        if None in sizes:
            continue
        seconds = sum(row.duration_s for row in own)
        per_s = None if None in tokens else sum(filter(None, tokens)) / seconds
        kbps = 8e-3 * sum(filter(None, sizes)) / seconds
        points.append(Point(system, family(system), kbps, per_s, own))
    return points


def left_out(rows: Sequence[Row]) -> list[str]:
    """A line for each system that has scores but no size, and so no place on the axis."""
    placed = {point.system for point in sized(rows)} | {ORIGINAL}
    return [
        f"{system} is not in the quality figure: its size is not known"
        for system in by_system(rows)
        if system not in placed
    ]


def family(system: str) -> str:
    """A system's name without its rate: "speech 3k" and "opus-6" end in one."""
    return re.sub(r"[ -]\d[\w.]*$", "", system)


def quality_figure(rows: Sequence[Row]) -> Figure:
    """A panel for each of `shown_scores`; ValueError if there is none."""
    scores, points = shown_scores(rows), sized(rows)
    if not scores or not points:
        raise ValueError(f"the rows have no system of known size with one of the scores {', '.join(SHOWN)}")
    columns = 2 if len(scores) in (2, 4) else min(3, len(scores))
    lines = -(-len(scores) // columns)
    figure = new_figure(1 + 4.6 * columns, 4.0 * lines + 1.0)
    panels = figure.subplots(lines, columns, squeeze=False)
    families = list(dict.fromkeys(point.family for point in points))
    looks = {name: SERIES[number % len(SERIES)] for number, name in enumerate(families)}
    named = []
    for axes in panels.flat[len(scores) :]:
        axes.set_axis_off()
    for axes, score in zip(panels.flat, scores, strict=False):
        named.append((axes, _panel(axes, score, points, looks)))
        _original(axes, score, rows)
    _sizes(figure)
    clips = len({row.clip for row in rows})
    caption(
        figure,
        f"Means over {clips} clips with 95 % intervals (bootstrap over clips); kbit/s of the files, headers and all.",
    )
    name_points(figure, named)
    return figure


def _panel(axes: Axes, score: Score, points: Sequence[Point], looks: dict[str, str]) -> list[Named]:
    arrow = "↑" if score.best == "highest" else "↓"
    dress(axes, f"{score.heading} {arrow}", x="kbit/s")
    axes.set_xscale("log")
    named = []
    for name, colour in looks.items():
        found = [(point, at) for point in points if point.family == name and (at := point.interval(score.name))]
        if not found:
            continue
        found.sort(key=lambda pair: pair[0].kbps)
        x, mean, low, high = (np.array(column) for column in zip(*((p.kbps, *at) for p, at in found), strict=True))
        axes.errorbar(
            x, mean, np.maximum(0, (mean - low, high - mean)), color=colour, linewidth=1.3, elinewidth=1.3, capsize=2.5
        )
        for point, (value, bottom, top) in found:
            area = BARE if point.tokens_per_s is None else AREA * point.tokens_per_s
            fill = "white" if point.tokens_per_s is None else colour
            axes.scatter(point.kbps, value, area, facecolors=fill, edgecolors=colour, linewidths=1.5, zorder=3)
            named.append(Named(point.system, point.kbps, value, math.sqrt(area / math.pi), bottom, top))
    kbps = [point.kbps for point in points]
    axes.set_xlim(min(kbps) / 1.4, max(kbps) * 1.4)
    axes.margins(y=0.12)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    return named


def _original(axes: Axes, score: Score, rows: Sequence[Row]) -> None:
    """A line for the original itself, where a score does not compare with it."""
    found = [row.scores[score.name] for row in rows if row.system == ORIGINAL]
    values = [value for value in found if value is not None]
    if values and score.perfect is None:
        mean = float(np.mean(values))
        axes.axhline(mean, color=INK, linewidth=1.2, linestyle="--")
        axes.annotate(
            ORIGINAL,
            (0.99, mean),
            xycoords=axes.get_yaxis_transform(),
            color=INK,
            fontsize=SMALL,
            ha="right",
            va="bottom",
        )


def _sizes(figure: Figure) -> None:
    axes = figure.axes[0]
    handles = [
        axes.scatter([], [], AREA * tokens, color=PALE, label=f"{tokens} tokens/s") for tokens in (100, 300, 1000)
    ]
    handles.append(axes.scatter([], [], BARE, facecolors="white", edgecolors=PALE, linewidths=1.5, label="no tokens"))
    figure.legend(handles=handles, loc="outside upper left", ncols=4, frameon=False, fontsize=SMALL, labelcolor=INK)
