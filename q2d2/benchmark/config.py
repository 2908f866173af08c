"""The options of a benchmark: which codecs, in which settings, and how often."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from q2d2 import presets

Way = Literal["clip", "stream"]


@dataclass(frozen=True)
class BenchmarkConfig:
    """What to measure, and where to write it."""

    out: Path
    """the folder for rows.csv, systems.csv, table.md, table.tex and speed.png, which replace those of an earlier run"""
    presets: tuple[str, ...] = ("speech", "paper-1k")
    """configurations, with random weights: neither time nor memory depends on them"""
    models: tuple[str, ...] = ()
    """model folders or hub ids"""
    peers: tuple[str, ...] = ()
    """other codecs, with random weights: encodec, dac, snac"""
    devices: tuple[str, ...] = ("cpu",)
    """where to compute: cpu, cuda"""
    threads: tuple[int, ...] = (1,)
    """CPU threads; a GPU is measured with the first of these numbers"""
    batches: tuple[int, ...] = (1,)
    """how many clips at once; codecs that see a whole clip, as paper-1k does, take them one by one"""
    durations_s: tuple[float, ...] = (1.0, 10.0, 60.0)
    """seconds of each clip"""
    ways: tuple[Way, ...] = ("clip", "stream")
    """clip: in one call; stream: a second at a time, where a codec can and the clip is longer than its windows"""
    repeats: int = 3
    """rounds; each measures everything once, so that a machine that slows down does so for all"""
    reference: str | None = None
    """the codec that the times of the others are divided by (default: the first)"""

    def __post_init__(self) -> None:
        for name in self.presets:
            presets.find(name)
        if not self.systems:
            raise ValueError("there is nothing to measure: give a preset, a model or a peer")
        if len(set(self.systems)) < len(self.systems):
            raise ValueError(f"each codec can be measured once, got {', '.join(self.systems)}")
        if self.reference is not None and self.reference not in self.systems:
            raise ValueError(f"the reference {self.reference} is not measured: give one of {', '.join(self.systems)}")
        if not all(0 < duration < math.inf for duration in self.durations_s):
            raise ValueError(f"a clip must last some time, got {self.durations_s} seconds")
        if min((*self.threads, *self.batches, self.repeats)) < 1:
            raise ValueError(f"threads, batches and repeats must be at least 1, got {self}")
        if not (self.devices and self.threads and self.batches and self.durations_s and self.ways):
            raise ValueError(f"one device, number of threads, batch, duration and way at least, got {self}")

    @property
    def systems(self) -> tuple[str, ...]:
        """The names of all codecs, in the order of the tables."""
        return (*self.presets, *self.models, *self.peers)
