"""What a run tells: a progress bar, lines of log.jsonl, and TensorBoard curves, sounds and spectrograms."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from q2d2.spectral import mel_filters, stft_same

LOG, BOARD = "log.jsonl", "tensorboard"
BAR = "{desc} {percentage:3.0f}% |{bar}| {remaining} left {postfix}"


class Journal:
    """Means of the losses every `every` steps. `seconds` of audio in a step; a silent journal says nothing."""

    def __init__(self, out: Path, every: int, seconds: float, sample_rate_hz: int, silent: bool = False) -> None:
        self.every, self.file, self.seconds, self.sample_rate_hz = every, out / LOG, seconds, sample_rate_hz
        self.silent = silent
        self.bar = tqdm(total=1.0, desc="training", bar_format=BAR, disable=silent)
        self.board = None if silent else _board(out / BOARD)
        self.heard: set[str] = set()
        self._restart()

    def _restart(self) -> None:
        self.sums: dict[str, float] = {}
        self.counts: dict[str, int] = {}
        self.steps, self.since = 0, time.monotonic()

    def add(self, step: int, share: float, report: Mapping[str, float]) -> None:
        """One step's losses and whatever else is a number."""
        for name, value in report.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + 1
        self.steps += 1
        if step % self.every:
            return
        speed = self.steps * self.seconds / (time.monotonic() - self.since)
        means = {name: round(value / self.counts[name], 5) for name, value in self.sums.items()}
        self.write(step, means | {"share": round(share, 4), "audio_s_per_s": round(speed, 1)})
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
            if self.board:
                self.board.add_scalar(name, value, step)

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
            self.board.add_audio(name, wav[None], step, sample_rate=self.sample_rate_hz)
            self.board.add_image(name, _picture(wav, self.sample_rate_hz), step, dataformats="HW")

    def close(self) -> None:
        self.bar.close()
        if self.board:
            self.board.close()


def _picture(wav: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """A log-mel spectrogram as an image of values in [0, 1], low frequencies at the bottom."""
    magnitude = stft_same(torch.from_numpy(wav)[None], 1024, 256)[0].abs() @ mel_filters(sample_rate_hz, 1024, 80)
    decibels = 20 * torch.log10(magnitude / 256 + 1e-5)
    return ((decibels + 80) / 80).clamp(0, 1).T.flip(0).numpy()


def _board(folder: Path) -> Any:
    """A TensorBoard writer, if the package is there."""
    try:
        return import_module("torch.utils.tensorboard").SummaryWriter(str(folder))
    except ImportError:
        return None
