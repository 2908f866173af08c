"""The demo's picture: waveforms, spectrograms, and the path of the tokens over their grids. Numbers in, PNG out.

Knows matplotlib (imported here only, an extra) and geometry, no codec and no files.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int64
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from PIL import Image

from q2d2.cells import voronoi_cells

WIDTH_PX, HEIGHT_PX, DPI = 1600, 980, 100
SHOWN_S, PATH_S = 8.0, 0.75  # seconds of sound, and of the tokens' path
FLOOR_DB = -70.0

INK, PALE = "#26323f", "#8b97a3"
SOUND = LinearSegmentedColormap.from_list("sound", ["#ffffff", "#fbd9b5", "#f0825d", "#b8346a", "#5b1f73", "#150f2e"])
TIME = "turbo"  # position within the path


class Panel(NamedTuple):
    """One column of sound."""

    title: str
    wav: Float32[np.ndarray, " samples"]  # all columns at the same sample rate


class Pair(NamedTuple):
    """One pair of channels: its grid, and where on it each frame is."""

    title: str
    points: Float[np.ndarray, "points 2"]
    half_width: tuple[float, float]  # the points serve the box from -half_width to half_width
    indices: Int64[np.ndarray, " frames"]


def draw(panels: Sequence[Panel], pairs: Sequence[Pair], sample_rate_hz: int, frame_rate_hz: float) -> bytes:
    """A PNG: a column for each panel, the first being the original, and below them a grid for each pair."""
    figure = Figure(figsize=(WIDTH_PX / DPI, HEIGHT_PX / DPI), dpi=DPI, facecolor="white")
    shown = [panel.wav[: round(SHOWN_S * sample_rate_hz)] for panel in panels]
    peak = max(1e-3, *(float(np.abs(wav).max(initial=0)) for wav in shown))
    start_s = _liveliest(shown[0], sample_rate_hz)
    rows = figure.add_gridspec(2, 1, height_ratios=(1, 1), left=0.045, right=0.945, top=0.955, bottom=0.04, hspace=0.17)
    sounds = rows[0].subgridspec(2, len(panels), height_ratios=(1, 2.6), hspace=0.06, wspace=0.07)
    for column, (panel, wav) in enumerate(zip(panels, shown, strict=True)):
        above, below = figure.add_subplot(sounds[0, column]), figure.add_subplot(sounds[1, column])
        above.set_title(panel.title, color=INK, fontsize=12.5, pad=7)
        _waveform(above, wav, sample_rate_hz, peak, start_s)
        image = _spectrogram(below, wav, sample_rate_hz, _loudest(shown[0]))
        if column == 0:
            above.set_ylabel("waveform", color=INK, fontsize=11)
            below.set_ylabel("kHz", color=INK, fontsize=11)
        else:
            below.set_yticklabels([])
    low, high = below.get_position().y0, below.get_position().y1
    bar = figure.colorbar(image, cax=figure.add_axes((0.953, low, 0.008, high - low)))
    bar.set_label("dB", color=INK, fontsize=11)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=INK, labelsize=9)
    if pairs:
        grids = rows[1].subgridspec(1, len(pairs), wspace=0.07)
        for column, pair in enumerate(pairs):
            _path(figure.add_subplot(grids[column]), pair, frame_rate_hz, start_s)
        caption = (
            f"Grids: the tokens of the coloured {PATH_S} s as a path over the cells of the grid, a point for each of "
            f"{frame_rate_hz:.1f} frames a second; the greyer a cell, the more often the clip is in it."
        )
        figure.text(0.5, 0.012, caption, color=INK, fontsize=10.5, ha="center")
    return _small_png(figure)


def _liveliest(wav: np.ndarray, sample_rate_hz: int) -> float:
    """Where the loudest stretch of the length of the path begins, in seconds."""
    block = max(1, sample_rate_hz // 20)
    energy = np.add.reduceat(wav.astype(float) ** 2, np.arange(0, len(wav), block)) if len(wav) else np.zeros(1)
    width = min(len(energy), round(PATH_S * 20))
    return float(np.argmax(np.convolve(energy, np.ones(width), "valid")) / 20)


def _waveform(axes: Axes, wav: np.ndarray, sample_rate_hz: int, peak: float, start_s: float) -> None:
    """The envelope, minimum to maximum of each step; the stretch of the path in the path's colours."""
    step = max(1, len(wav) // 1200)
    edges = np.arange(0, len(wav), step)
    low, high = np.minimum.reduceat(wav, edges), np.maximum.reduceat(wav, edges)
    at = edges / sample_rate_hz
    axes.vlines(at, low, high + peak / 100, color=PALE, linewidth=0.5)
    inside = (at >= start_s) & (at < start_s + PATH_S)
    spans = np.stack([np.stack([at, low], -1), np.stack([at, high + peak / 100], -1)], 1)[inside]
    axes.add_collection(LineCollection(list(spans), array=at[inside], cmap=TIME, linewidth=0.8))
    axes.set_xlim(0, len(wav) / sample_rate_hz)
    axes.set_ylim(-1.05 * peak, 1.05 * peak)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def _power(wav: np.ndarray) -> Float[np.ndarray, "bins frames"]:
    size, hop = 1024, 480
    padded = np.pad(wav, (size // 2, size // 2))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    return np.abs(np.fft.rfft(frames * np.hanning(size)).T) ** 2


def _loudest(wav: np.ndarray) -> float:
    return float(max(_power(wav).max(), 1e-9))


def _spectrogram(axes: Axes, wav: np.ndarray, sample_rate_hz: int, loudest: float) -> AxesImage:
    level = 10 * np.log10(_power(wav) / loudest + 1e-12)
    extent = (0.0, len(wav) / sample_rate_hz, 0.0, sample_rate_hz / 2000)
    image = axes.imshow(
        level,
        origin="lower",
        aspect="auto",
        extent=extent,
        cmap=SOUND,
        vmin=FLOOR_DB,
        vmax=0,
        interpolation="antialiased",
    )
    axes.tick_params(colors=INK, labelsize=9, length=3)
    axes.set_xlabel("seconds", color=INK, fontsize=9, labelpad=1)
    axes.spines[:].set_visible(False)
    return image


def _path(axes: Axes, pair: Pair, frame_rate_hz: float, start_s: float) -> None:
    """The cells, darker where the clip has been more often, and the way through them in the chosen stretch."""
    visits = np.bincount(pair.indices, minlength=len(pair.points)) / max(1, len(pair.indices))
    cells = PolyCollection(
        voronoi_cells(pair.points, pair.half_width),
        array=visits**0.5,
        cmap="Greys",
        edgecolors="#c3ccd4",
        linewidths=0.7,
    )
    cells.set_clim(0, 3 * max(visits.max() ** 0.5, 1e-3))
    axes.add_collection(cells)
    axes.plot(*pair.points.T, ".", color="#b4bec8", markersize=2.5, zorder=2)
    first = round(start_s * frame_rate_hz)
    way = pair.points[pair.indices[first : first + round(PATH_S * frame_rate_hz) + 1]]
    steps = np.stack([way[:-1], way[1:]], 1)
    axes.add_collection(
        LineCollection(list(steps), array=np.arange(len(steps)), cmap=TIME, linewidths=1.9, alpha=0.9, capstyle="round")
    )
    axes.scatter(
        way[:, 0], way[:, 1], c=np.arange(len(way)), cmap=TIME, s=22, edgecolors="white", linewidths=0.7, zorder=4
    )
    axes.set_xlim(-pair.half_width[0], pair.half_width[0])
    axes.set_ylim(-pair.half_width[1], pair.half_width[1])
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.set_title(pair.title, color=INK, fontsize=12.5, pad=6)


def _small_png(figure: Figure) -> bytes:
    """With a palette of the colours that are used: half the bytes, and nobody sees it."""
    whole, small = io.BytesIO(), io.BytesIO()
    figure.savefig(whole, format="png", dpi=DPI)
    ink = LinearSegmentedColormap.from_list("ink", ["white", INK])
    ramps = ((SOUND, 28), (colormaps[TIME], 64), (ink, 64), (colormaps["Greys"], 64))
    colours = np.concatenate([ramp(np.linspace(0, 1, steps))[:, :3] for ramp, steps in ramps])
    palette = np.rint(255 * colours).astype(np.uint8)
    pixels = np.asarray(Image.open(whole).convert("RGB")) @ np.array([65536, 256, 1])
    used, where = np.unique(pixels, return_inverse=True)
    channels = np.stack([used >> 16, used >> 8 & 255, used & 255], -1).astype(np.float32)
    # |a - b|^2 without |a|^2, which is the same for all colours of the palette
    nearest = np.argmin((palette.astype(np.float32) ** 2).sum(-1) - 2 * channels @ palette.T.astype(np.float32), -1)
    reduced = Image.fromarray(nearest[where].reshape(pixels.shape).astype(np.uint8), "P")
    reduced.putpalette(palette.tobytes())
    reduced.save(small, "PNG", optimize=True)
    return small.getvalue()
