"""An ablation as data: the options of `q2d2 ablate`, the cells they amount to, and what all cells have in common."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import torch

from q2d2 import presets
from q2d2.train.config import TrainConfig


class Cell(NamedTuple):
    """One model of the grid."""

    preset: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.preset}.seed-{self.seed}"


@dataclass(frozen=True)
class AblateConfig:
    """Which models to compare, how each of them is trained, and what on.

    With a budget in steps the rows can be had again to the last bit (on CPUs), interrupted or not; with minutes they
    depend on the machine and on what else it does.
    """

    data: Path
    """speech to train on: a packed corpus, a folder of audio or a manifest of paths"""
    validate: Path
    """a folder of speech to score the models on: all of it, whole clips"""
    out: Path
    """the folder for cells/ (a file per finished model), runs/ (the trainings), rows.csv, table.md and table.tex"""
    tables: tuple[str, ...] = ()
    """the models of these tables: 8 to 12 of the paper, appendix-d, base (quantizers in a small model), allocations"""
    presets: tuple[str, ...] = ()
    """these models, beside those of the tables"""
    seeds: tuple[int, ...] = (0, 1)
    """each model is trained once for each of them: they draw its first weights and its batches"""
    minutes: float | None = None
    """wall-clock minutes to train a model for; scoring it comes on top"""
    steps: int | None = None
    """or steps to train a model for"""
    miniature: bool = False
    """train tiny-NAME in place of every NAME, to try it out"""
    discriminators: Literal["recipe", "none"] = "recipe"
    """those of each model's recipe, or reconstruction alone"""
    batch: int | None = None
    """rows of a batch, in place of the recipe's"""
    seconds: float | None = None
    """of a row, in place of the recipe's"""
    precision: Literal["float32", "bfloat16"] = "float32"
    """of the networks in training, for all models alike"""
    device: Literal["cpu", "cuda"] | None = None
    """where to train; if not said, on a GPU if there is one"""
    threads: int = 1
    """of each training; sums of floats depend on it"""
    jobs: int = 2
    """models at a time, each in a process of its own"""
    cache: Path | None = None
    """a folder for the decoded corpus, so that every training starts at once"""
    save_minutes: float = 5.0
    """a killed training loses at most so many minutes"""
    save_steps: int | None = None
    """save every so many steps instead"""

    def __post_init__(self) -> None:
        if unknown := set(self.tables) - set(presets.TABLES):
            raise ValueError(
                f"there is no table {', '.join(sorted(unknown))}: give some of {', '.join(presets.TABLES)}"
            )
        if not self.cells:
            raise ValueError("nothing to compare: give tables or presets, and seeds")
        if min(self.seeds) < 0 or self.jobs < 1 or self.threads < 1:
            raise ValueError("seeds are not negative, jobs and threads at least 1")
        for cell in self.cells:
            self.training(cell)

    @property
    def cells(self) -> list[Cell]:
        """The grid: seed after seed, so that an ablation that is stopped early has compared all models at some."""
        named = [*(name for table in self.tables for name in presets.TABLES[table]), *self.presets]
        small = [f"{presets.MINIATURE}{name.removeprefix(presets.MINIATURE)}" for name in named]
        names = dict.fromkeys(small if self.miniature else named)
        return [Cell(name, seed) for seed in dict.fromkeys(self.seeds) for name in names]

    def training(self, cell: Cell) -> TrainConfig:
        """How one model is trained; ValueError where the options do not fit it."""
        return TrainConfig(
            data=self.data,
            out=self.run_of(cell),
            minutes=self.minutes,
            steps=self.steps,
            preset=cell.preset,
            discriminators=self.discriminators,
            batch=self.batch,
            seconds=self.seconds,
            # not "auto", which times the machine: two models might get different answers
            precision=self.precision,
            device=self._device,
            cache=self.cache,
            seed=cell.seed,
            save_minutes=self.save_minutes,
            save_steps=self.save_steps,
        )

    def conditions(self) -> dict[str, str | int | float | None]:
        """What must be the same for all models of a folder, or its tables would compare what cannot be compared."""
        return {
            "data": str(self.data.resolve()),
            "validate": str(self.validate.resolve()),
            "minutes": self.minutes,
            "steps": self.steps,
            "discriminators": self.discriminators,
            "batch": self.batch,
            "seconds": self.seconds,
            "precision": self.precision,
            "device": self._device,
            "threads": self.threads,
        }

    def run_of(self, cell: Cell) -> Path:
        """The folder of a training."""
        return self.out / "runs" / cell.name

    def result_of(self, cell: Cell) -> Path:
        """The file that is there when a model is trained and scored."""
        return self.out / "cells" / f"{cell.name}.json"

    @property
    def _device(self) -> str:
        return self.device or ("cuda" if torch.cuda.is_available() else "cpu")
