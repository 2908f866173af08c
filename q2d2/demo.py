"""What a codec does to a clip: encoded and decoded at every rate, written out, measured and drawn.

Goes on without the packages that measure quality (pesq, pystoi) or draw (matplotlib), and says what to install.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float32, Int64

from q2d2 import audio
from q2d2.atomic import write_whole
from q2d2.codec import Codec
from q2d2.evaluate.metrics import SAMPLE_RATE_HZ
from q2d2.evaluate.metrics.pesq import pesq_wb
from q2d2.evaluate.metrics.stoi import stoi
from q2d2.opening import FileError
from q2d2.quantizer import Q2D2

CLIP = Path(__file__).parent / "assets" / "clip.flac"
LONGEST_S = 30.0  # of the clip is used
_TRIES = 2  # the faster one counts
_EXTRA = "pip install 'q2d2[demo]'"

Result = TypeVar("Result")


class Row(NamedTuple):
    """One rate."""

    rate: str
    pairs: int
    num_bytes: int
    bitrate_bps: float  # of the file, header and all
    index_bps: float  # sum of log2(points) a second: what files take without a prior
    pesq: float | None  # wide-band, 1 to 4.64; None where it cannot be computed
    stoi: float | None  # 0 to 1
    encode_speed: float  # times real time
    decode_speed: float


class DemoResult(NamedTuple):
    """What `run` found, and where it put it."""

    out: Path
    duration_s: float
    rows: list[Row]
    notes: list[str]  # what was left out, and why: a line each


def run(codec: Codec, clip: str | os.PathLike[str] | None, out: Path, overwrite: bool = False) -> DemoResult:
    """Write original.wav, RATE.q2d2 and RATE.wav for each rate, and demo.png to `out`."""
    rates = codec.rates
    names = ["original.wav", *(f"{rate}{suffix}" for rate in rates for suffix in (".q2d2", ".wav")), "demo.png"]
    there = [out / name for name in names if (out / name).exists()]
    if there and not overwrite:
        raise FileError(f"{there[0]}: exists already; --overwrite replaces the files of an earlier demo")
    wav, sample_rate_hz = _beginning(CLIP if clip is None else clip)
    out.mkdir(parents=True, exist_ok=True)
    audio.write(out / "original.wav", wav, sample_rate_hz)
    codec.decompress(codec.compress(wav[:sample_rate_hz], sample_rate_hz))  # the first pass is slower than others
    rows, decoded = [], {}
    for rate, pairs in rates.items():
        data, encode_s = _timed(partial(codec.compress, wav, sample_rate_hz, pairs))
        decoded[rate], decode_s = _timed(partial(codec.decompress, data))
        write_whole(out / f"{rate}.q2d2", data)
        audio.write(out / f"{rate}.wav", decoded[rate], sample_rate_hz)
        duration_s = len(wav) / sample_rate_hz
        rows.append(
            Row(
                rate,
                pairs,
                len(data),
                8 * len(data) / duration_s,
                codec.bitrate_bps(pairs),
                _score(pesq_wb, wav, decoded[rate], sample_rate_hz),
                _score(stoi, wav, decoded[rate], sample_rate_hz),
                duration_s / encode_s,
                duration_s / decode_s,
            )
        )
    notes = []
    if rows[0].pesq is None and rows[0].stoi is None:
        notes.append(f"no PESQ and STOI: for those, {_EXTRA}; clips without speech have none")
    indices = codec.encode(wav, sample_rate_hz).indices.numpy(force=True)
    if (picture := _picture(codec, rows, wav, decoded, sample_rate_hz, indices)) is None:
        notes.append(f"no picture: for that, {_EXTRA}")
    else:
        write_whole(out / "demo.png", picture)
    return DemoResult(out, len(wav) / sample_rate_hz, rows, notes)


def table(result: DemoResult) -> str:
    """The rows as text."""
    lines = [
        f"{result.duration_s:.2f} s of speech; files in {result.out}{os.sep}",
        "",
        "rate     bytes   bit/s log2(points)   PESQ   STOI   encode   decode",
    ]
    for row in result.rows:
        scores = f"{_shown(row.pesq, 2):>6} {_shown(row.stoi, 3):>6}"
        lines.append(
            f"{row.rate:<6} {row.num_bytes:>7} {row.bitrate_bps:>7.0f} {row.index_bps:>12.0f} {scores} "
            f"{row.encode_speed:>7.0f}x {row.decode_speed:>7.0f}x"
        )
    return "\n".join([*lines, "", "encode, decode: times real time"])


def _shown(score: float | None, decimals: int) -> str:
    return "-" if score is None else f"{score:.{decimals}f}"


def _beginning(clip: str | os.PathLike[str]) -> tuple[Float32[np.ndarray, " samples"], int]:
    with audio.open_blocks(clip) as blocks:
        parts = blocks.part(0, round(LONGEST_S * blocks.sample_rate_hz))
        return np.concatenate([audio.to_mono(part) for part in parts]), blocks.sample_rate_hz


def _timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """What `work` returns, and the seconds it takes."""
    seconds = []
    for _ in range(_TRIES):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
    return result, min(seconds)


def _score(
    measure: Callable[[np.ndarray, np.ndarray], float], wav: np.ndarray, decoded: np.ndarray, sample_rate_hz: int
) -> float | None:
    """What a metric says; None where its package is missing, or the clip holds too little speech."""
    pair = (audio.resample(x, sample_rate_hz, SAMPLE_RATE_HZ) for x in (wav, decoded))
    try:
        return measure(*pair)
    except (ImportError, ValueError):
        return None


def _picture(
    codec: Codec,
    rows: list[Row],
    wav: Float32[np.ndarray, " samples"],
    decoded: dict[str, Float32[np.ndarray, " samples"]],
    sample_rate_hz: int,
    indices: Int64[np.ndarray, "frames pairs"],
) -> bytes | None:
    """A PNG; None where matplotlib is not installed."""
    try:
        from q2d2 import picture
    except ImportError:
        return None
    inner_hz = codec.config.sample_rate_hz
    panels = [picture.Panel(f"original: {16 * sample_rate_hz / 1000:.0f} kbit/s", wav)]
    for row in rows:
        title = f"{row.rate}: {row.bitrate_bps / 1000:.2f} kbit/s, {row.num_bytes:,} bytes"
        panels.append(picture.Panel(title, decoded[row.rate]))
    panels = [panel._replace(wav=audio.resample(panel.wav, sample_rate_hz, inner_hz)) for panel in panels]
    pairs = []
    if isinstance(codec.quantizer, Q2D2) and codec.quantizer.axes == 2:
        for number, grid in enumerate(codec.quantizer.grids[: len(panels)]):
            lowest = next(row.rate for row in rows if number < row.pairs)
            title = f"pair {number + 1} of {len(codec.quantizer.grids)}: {grid.num_points} points, from {lowest} on"
            half_width = (grid.half_width[0], grid.half_width[1])
            pairs.append(picture.Pair(title, grid.points, half_width, indices[:, number]))
    return picture.draw(panels, pairs, inner_hz, codec.frame_rate_hz)
