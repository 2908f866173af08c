"""The picture of a benchmark: RTF and peak memory against the duration of the clip. Numbers in, Figure out.

Knows matplotlib (imported here only, an extra) and no codec.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from q2d2.benchmark.measure import Setting
from q2d2.benchmark.rows import Line, varying
from q2d2.plotting import INK, PALE

# Okabe and Ito's, which differ for colour-blind eyes as well
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5c99", "#5c6b73")
MARKERS = "osD^vPX*"


def speed_figure(found: Sequence[Line]) -> Figure:
    """A colour for each codec, a curve for each of its settings; both axes logarithmic."""
    figure = Figure(figsize=(11.5, 4.4), facecolor="white", layout="constrained")
    speed, memory = figure.subplots(1, 2)
    _draw(speed, "RTF: seconds of compute per second of audio", found, lambda line: line.rtf)
    _draw(memory, "peak memory, MiB", found, lambda line: line.peak_mib)
    if speed.get_ylim()[1] >= 1:
        speed.axhline(1, color=PALE, linewidth=1.2, linestyle=":", label="real time", zorder=1)
    handles, labels = speed.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False, labelcolor=INK, fontsize=9.5)
    return figure


def _draw(axes: Axes, title: str, found: Sequence[Line], value: Callable[[Line], float]) -> None:
    _axes(axes, title, sorted({line.setting.duration_s for line in found}))
    _curves(axes, found, value)
    values = [value(line) for line in found]
    axes.set_ylim(_round_below(min(values)), 1 / _round_below(1 / max(values)))


def _round_below(value: float) -> float:
    """The largest of ... 0.5, 1, 2, 5, 10 ... that is less: an axis that ends there has a label at its end."""
    decade = 10.0 ** math.floor(math.log10(value))
    return max(step * decade for step in (0.5, 1, 2, 5) if step * decade < value)


def _curves(axes: Axes, found: Sequence[Line], value: Callable[[Line], float]) -> None:
    """One for each codec and setting, durations apart."""
    codecs = list(dict.fromkeys(line.system for line in found))
    variants = list(dict.fromkeys(_variant(line) for line in found))
    shown = varying(variants)
    for system, variant in dict.fromkeys((line.system, _variant(line)) for line in found):
        own = [line for line in found if (line.system, _variant(line)) == (system, variant)]
        own.sort(key=lambda line: line.setting.duration_s)
        axes.plot(
            [line.setting.duration_s for line in own],
            [value(line) for line in own],
            color=COLOURS[codecs.index(system) % len(COLOURS)],
            linestyle="-" if variant.way == "clip" else "--",
            marker=MARKERS[variants.index(variant) % len(MARKERS)],
            markersize=6.5,
            markerfacecolor=None if variant.way == "clip" else "white",
            linewidth=1.8,
            label=_label(system, variant, shown),
        )


def _variant(line: Line) -> Setting:
    """What a codec has several curves for."""
    return line.setting._replace(duration_s=0.0)


def _label(system: str, setting: Setting, shown: Sequence[str]) -> str:
    texts = {
        "device": setting.device,
        "threads": f"{setting.threads} thread{'s' if setting.threads > 1 else ''}",
        "batch": f"batch {setting.batch}",
    }
    way = ["stream"] if setting.way == "stream" else []
    return ", ".join([system, *(texts[name] for name in shown), *way])


def _axes(axes: Axes, title: str, durations_s: Sequence[float]) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_title(title, color=INK, fontsize=11, loc="left", pad=10)
    axes.set_xlabel("duration of the clip, s", color=INK)
    axes.set_xticks(durations_s)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(True, which="major", color="#e3e7ea", linewidth=0.8)
    axes.grid(True, which="minor", color="#f0f2f4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", colors=INK, labelsize=9, length=0)
    axes.spines[:].set_visible(False)
