"""What goes into `q2d2 figures`, and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


@dataclass(frozen=True)
class FiguresConfig:
    """What to draw, and where to write it. What needs an input that is not given is left out, and said."""

    out: Path
    """the folder for pictures (PNG and PDF) and the numbers in them (CSV), which replace earlier ones"""
    model: str | None = None
    """a model folder or a hub id, of a model with grids (default: the shipped model)"""
    data: Path | None = None
    """speech for the model, a folder or a manifest: brings dependence, tokens, and its latents to rate_distortion"""
    scores: Path | None = None
    """what an evaluation of the model has written, its --out: brings quality, and tokens of all its clips"""
    speed: Path | None = None
    """what a benchmark has written, its --out: brings speed"""
    clips: int = 20
    """how many clips of the data, chosen at random"""
    seed: int = 0
    """of all that is random: the choice of clips, samples of distributions, baselines"""

    def __post_init__(self) -> None:
        if self.clips < 1:
            raise ValueError(f"{self.clips} clips show nothing: give 1 or more")
        if self.seed < 0:
            raise ValueError(f"a seed is not negative, got {self.seed}")


class Made(NamedTuple):
    """What has been written, and what has not."""

    paths: list[Path]
    notes: list[str]  # what was left out, and which option brings it: a line each
