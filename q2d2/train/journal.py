"""What a run tells: a progress bar, lines of log.jsonl, and TensorBoard curves, sounds and spectrograms."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from q2d2.console import one_line
from q2d2.spectral import mel_filters, stft_same

LOG, BOARD = "log.jsonl", "tensorboard"
BAR = "{desc} {percentage:3.0f}% |{bar}| {remaining} left {postfix}"
UNWATCHED_PAUSE_S = 60.0


class Journal:
    """The story of a run with `seconds` of audio in a step; a silent journal says nothing."""

    def __init__(self, out: Path, seconds: float, sample_rate_hz: int, silent: bool = False) -> None:
        self.file, self.seconds, self.sample_rate_hz = out / LOG, seconds, sample_rate_hz
        self.silent = silent
        # where nobody watches, each state of the bar is a line of some file
        pause_s = 0.1 if sys.stderr.isatty() else UNWATCHED_PAUSE_S
        self.bar = tqdm(total=1.0, desc="training", bar_format=BAR, disable=silent, mininterval=pause_s, miniters=0)
        self.board: Any = None
        if not silent:
            self._open_board(out / BOARD)
        self.heard: set[str] = set()
        self._restart()

    def _restart(self) -> None:
        self.steps, self.waited_s, self.since = 0, 0.0, time.monotonic()

    def passed(self, waited_s: float) -> None:
        """Another step, before which the training waited so long for its batch."""
        self.steps += 1
        self.waited_s += waited_s

    def report(self, step: int, share: float, means: Mapping[str, float]) -> None:
        """Means over the steps since the last report: a line of the log, and the state of the bar."""
        speed = self.steps * self.seconds / (time.monotonic() - self.since)
        row = {name: round(value, 5) for name, value in means.items()} | {
            "wait_s": round(self.waited_s / self.steps, 5)
        }
        self.write(step, row | {"share": round(share, 4), "audio_s_per_s": round(speed, 1)})
        shown = next((n for n in ("log_mel", "mel") if n in means), "grad_norm")
        self.bar.set_postfix_str(
            f"step {step}, {shown} {means.get(shown, 0):.3f}, {speed:.0f} audio-s/s", refresh=False
        )
        self.bar.update(min(1.0, share) - self.bar.n)
        self._restart()

    def write(self, step: int, row: Mapping[str, float]) -> None:
        """A row of the log, and a point of each curve."""
        if self.silent:
            return
        with self.file.open("a") as file:
            file.write(json.dumps({"step": step} | dict(row)) + "\n")
        for name, value in row.items():
            self._draw("add_scalar", name, value, step)

    def say(self, line: str) -> None:
        """A line above the progress bar."""
        if not self.silent:
            self.bar.write(line)

    def hear(self, step: int, sounds: Mapping[str, np.ndarray]) -> None:
        """Sounds and their log-mel spectrograms; an original once only."""
        for name, wav in sounds.items():
            if self.board is None or (name.endswith("original") and name in self.heard):
                continue
            self.heard.add(name)
            self._draw("add_audio", name, wav[None], step, sample_rate=self.sample_rate_hz)
            self._draw("add_image", name, _picture(wav, self.sample_rate_hz), step, dataformats="HW")

    def _open_board(self, folder: Path) -> None:
        """A TensorBoard writer, if one can be made."""
        try:
            self.board = import_module("torch.utils.tensorboard").SummaryWriter(str(folder))
        except ImportError:
            return
        except Exception as error:  # of a package that does not fit the others, say
            self._end_board(error)

    def _draw(self, what: str, *arguments: Any, **named: Any) -> None:
        """Call a method of the TensorBoard writer, if there is one."""
        try:
            if self.board:
                getattr(self.board, what)(*arguments, **named)
        except Exception as error:
            self._end_board(error)

    def _end_board(self, error: Exception) -> None:
        """Curves are no reason to stop a training."""
        self.board = None
        self.say(f"no TensorBoard curves ({type(error).__name__}: {one_line(error)}); {LOG} has all figures")

    def close(self) -> None:
        self.bar.close()
        self._draw("close")


def _picture(wav: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """A log-mel spectrogram as an image of values in [0, 1], low frequencies at the bottom."""
    magnitude = stft_same(torch.from_numpy(wav)[None], 1024, 256)[0].abs() @ mel_filters(sample_rate_hz, 1024, 80)
    decibels = 20 * torch.log10(magnitude / 256 + 1e-5)
    return ((decibels + 80) / 80).clamp(0, 1).T.flip(0).numpy()
