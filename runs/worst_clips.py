"""The clips an evaluation scored lowest, seen: `python runs/worst_clips.py MODEL DEV SCORES OUT.png`.

SCORES is the --out of `q2d2 evaluate` of that model on the folder DEV; lowest PESQ-WB at the model's default rate. Each
clip's original on the left, decoded on the right, on the same scale of 60 dB.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from q2d2 import audio, checkpoint
from q2d2.atomic import write_whole
from q2d2.figures.reading import read_scores
from q2d2.figures.style import SMALL
from q2d2.plotting import INK, new_figure, png

COUNT, SIZE, HOP = 5, 1024, 256


def main(model: str, data: str, scores: str, out: str) -> None:
    codec = checkpoint.load(model)
    rate = list(codec.config.rates or [codec.num_pairs()])[-1]
    rows = [row for row in read_scores(Path(scores)) if row.system == f"{codec.config.name} {rate}"]
    worst = sorted(rows, key=lambda row: row.scores["pesq_wb"] or 0.0)[:COUNT]
    figure = new_figure(8, 1.5 * len(worst))
    for panels, row in zip(figure.subplots(len(worst), 2, squeeze=False), worst, strict=True):
        samples, rate_hz = audio.read(Path(data) / row.clip)
        wav = audio.to_mono(samples)
        levels = [_level_db(x) for x in (wav, codec.decode(codec.encode(wav, rate_hz, rate)))]
        names = (row.clip, f"{rate}: PESQ-WB {row.scores['pesq_wb']:.2f}, STOI {row.scores['stoi']:.3f}")
        for axes, level, name in zip(panels, levels, names, strict=True):
            _draw(axes, level - levels[0].max(), len(wav) / rate_hz, rate_hz, name)
    write_whole(Path(out), png(figure))


def _level_db(wav: np.ndarray) -> np.ndarray:
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(wav, SIZE // 2), SIZE)[::HOP]
    return 20 * np.log10(np.abs(np.fft.rfft(frames * np.hanning(SIZE)).T) + 1e-9)


def _draw(axes: Axes, level: np.ndarray, seconds: float, rate_hz: int, name: str) -> None:
    extent = (0.0, seconds, 0.0, rate_hz / 2000)
    axes.imshow(level, origin="lower", aspect="auto", extent=extent, vmin=-60, vmax=0, cmap="magma")
    axes.set_ylim(0, min(12, rate_hz / 2000))
    axes.set_title(name, color=INK, fontsize=SMALL, loc="left")
    axes.set_ylabel("kHz", color=INK, fontsize=SMALL)
    axes.tick_params(colors=INK, labelsize=SMALL)


if __name__ == "__main__":
    main(*sys.argv[1:])
