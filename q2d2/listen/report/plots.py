"""What listeners said, as pictures: boxes (MUSHRA), means (CMOS), bars of answers (AB, ABX). Results in, Figure out.

Knows matplotlib (imported here only, an extra). Conditions run downwards, so that long names have room.
"""

from __future__ import annotations

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from q2d2.listen.report.comparisons import CHANCE
from q2d2.listen.report.conditions import shown
from q2d2.listen.report.results import Results
from q2d2.plotting import BLUE, FAINT, INK, PALE, VERMILION, new_figure

WIDTH_IN, LINE_IN, FRAME_IN = 7.2, 0.48, 1.35
MOST_POINTS = 150  # of a condition: more make a grey bar
NAME_LETTERS = 26  # in a line


def draw(results: Results) -> Figure:
    """The picture of the study's protocol."""
    if results.study.protocol_name == "mushra":
        return _boxes(results)
    return _bars(results) if results.tallies else _means(results)


def _boxes(results: Results) -> Figure:
    """Median, quartiles and whiskers to 1.5 times their distance; ratings as points below, means as diamonds."""
    study, kept = results.study, results.screened.kept
    figure, axes = _panel(study.title, [_short(shown(one.condition), 2) for one in results.estimates])
    rng = np.random.default_rng(0)
    for place, one in enumerate(results.estimates):
        scores = kept.loc[kept["condition"] == one.condition, "score"].to_numpy(dtype=np.float64)
        axes.boxplot(
            scores,
            positions=[place],
            orientation="horizontal",
            widths=0.44,
            manage_ticks=False,
            showfliers=False,  # they are among the points
            boxprops={"color": INK},
            medianprops={"color": BLUE, "linewidth": 2.2},
            whiskerprops={"color": PALE},
            capprops={"color": PALE},
        )
        points = rng.permutation(scores)[:MOST_POINTS]
        below = place + 0.36 + rng.uniform(-0.07, 0.07, len(points))
        axes.plot(points, below, ".", color=PALE, markersize=4.5, alpha=0.6, markeredgewidth=0)
        axes.plot(one.mean, place, "D", color=VERMILION, markersize=5, markeredgecolor="white", zorder=4)
    axes.set_xlim(study.protocol.lowest - 2, study.protocol.highest + 2)
    names = [mark for mark in study.protocol.scale if mark.label]
    axes.set_xticks([mark.value for mark in study.protocol.scale if not mark.label])
    ranges = axes.secondary_xaxis("top")
    ranges.set_xticks([mark.value for mark in names], [mark.label for mark in names])
    ranges.tick_params(colors=INK, length=0, labelsize=9)
    ranges.spines[:].set_visible(False)
    axes.set_xlabel("score: median (line), mean (diamond), quartiles (box), ratings (points)", color=INK, fontsize=10)
    return figure


def _means(results: Results) -> Figure:
    """Means with both intervals: over ratings (thin) and over listeners (thick, pale)."""
    study = results.study
    figure, axes = _panel(study.title, [_short(shown(one.condition), 2) for one in results.estimates])
    axes.axvline(0, color=INK, linewidth=1.2, linestyle=":")
    for place, one in enumerate(results.estimates):
        if one.over_raters is not None:
            axes.plot(one.over_raters, (place, place), color=BLUE, linewidth=8, alpha=0.25, solid_capstyle="butt")
        half = None if one.over_ratings is None else one.over_ratings.half_width
        axes.errorbar(one.mean, place, xerr=half, fmt="D", color=BLUE, capsize=4, markersize=6)
    axes.set_xlim(study.protocol.lowest - 0.1, study.protocol.highest + 0.1)
    axes.set_xticks([mark.value for mark in study.protocol.scale])
    baseline = "the baseline" if study.baseline is None else _short(shown(study.baseline), 1)
    axes.set_xlabel(
        f"{study.protocol_name.upper()} against {baseline}, 95 % over ratings (thin) and over listeners (broad)",
        color=INK,
        fontsize=10,
        parse_math=False,
    )
    return figure


def _bars(results: Results) -> Figure:
    """The share of each answer, with its count; AB: those for the second, which is the lower name, to the right."""
    names = [f"{_short(shown(one.first), 1)}\n{_short(shown(one.second), 1)}" for one in results.tallies]
    figure, axes = _panel(results.study.title, names)
    if results.study.protocol_name == "abx":
        answers = {1.0: ("identified", BLUE), 0.0: ("not identified", FAINT)}
    else:
        answers = {-1.0: ("for the upper", VERMILION), 0.0: ("no preference", FAINT), 1.0: ("for the lower", BLUE)}
    for place, one in enumerate(results.tallies):
        total, left = sum(one.counts.values()), 0.0
        for score, (answer, colour) in answers.items():
            count = one.counts.get(score, 0)
            share = count / total
            axes.barh(place, share, left=left, height=0.6, color=colour, label=answer if place == 0 else None)
            if count:
                ink = "white" if colour == BLUE else INK  # white would be faint on vermilion
                axes.text(left + 0.006, place, str(count), color=ink, ha="left", va="center", fontsize=9)
            left += share
    if results.study.protocol_name == "abx":
        axes.axvline(CHANCE, color=INK, linewidth=1.2, linestyle=":")
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of all answers", color=INK, fontsize=10)
    figure.legend(loc="outside lower center", ncols=len(answers), frameon=False, labelcolor=INK, fontsize=9)
    return figure


def _panel(title: str, names: list[str]) -> tuple[Figure, Axes]:
    """A line for each name, the first on top."""
    height = FRAME_IN + LINE_IN * max(2, len(names))
    figure = new_figure(WIDTH_IN, height)
    axes = figure.subplots()
    axes.set_title(textwrap.fill(title, 60), color=INK, fontsize=12, loc="left", pad=12, parse_math=False)
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(colors=INK, labelsize=10, length=0)
    axes.spines[:].set_visible(False)
    axes.grid(axis="x", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def _short(name: str, most_lines: int) -> str:
    """A name that leaves room for what is said of it; of a long one, both ends, by which names differ."""
    room = NAME_LETTERS * most_lines
    if len(name) > room:
        name = f"{name[: room // 2 - 1]}…{name[-(room - room // 2 - 1) :]}"
    return "\n".join(textwrap.wrap(name, NAME_LETTERS, max_lines=most_lines, placeholder="…"))
