"""How fast presets train, with and without each measure for speed: `python benchmarks/training.py`.

Audio-seconds per second of whole updates (reconstruction and discriminators) on random audio, and where their time
goes: preparing data, the generator alone, and what the discriminators add. The rows of a preset are measured in rounds,
one after the other, and the best step of each counts, so that a busy moment of the machine does not decide.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import tyro
from tqdm import tqdm

from q2d2 import presets
from q2d2.codec import Codec
from q2d2.train.config import TrainConfig
from q2d2.train.data import Batch, BySource, open_speech
from q2d2.train.step import Player
from q2d2.train.trainer import Trainer


@dataclass(frozen=True)
class Arguments:
    """What to measure."""

    presets: tuple[str, ...] = ("speech", "paper-1k")
    rows: tuple[int, ...] = (6, 2)  # of a batch, per preset
    seconds: tuple[float, ...] = (1.35, 3.0)  # of a row, per preset
    threads: int = 1
    steps: int = 3  # of each row in a round, after one that is not timed
    rounds: int = 2  # the best step of all rounds counts
    data: Path | None = None  # a packed corpus, to time its batches; default: not timed
    device: str = "cuda" if torch.cuda.is_available() else "cpu"
    compile: bool = False  # also with torch.compile, which takes a minute to begin with


class Measure(NamedTuple):
    """A row of the table: all measures for speed but one."""

    name: str
    change: Callable[[TrainConfig], TrainConfig]
    patch: Callable[[Trainer], None] = lambda trainer: None


def _unfused(trainer: Trainer) -> None:
    def plain(player: Player) -> Player:
        groups = [{"params": g["params"], "weight_decay": g["weight_decay"]} for g in player.optimizer.param_groups]
        return replace(player, optimizer=torch.optim.AdamW(groups, foreach=False))

    trainer.generator = plain(trainer.generator)
    trainer.opponent = trainer.opponent and plain(trainer.opponent)


def _twice(trainer: Trainer) -> None:
    """The generator once more for the discriminators, as in the reference."""
    once = trainer.train_step

    def twice(batch: Batch, share: float) -> dict[str, float]:
        autocast = torch.autocast(trainer.device.type, dtype=torch.bfloat16, enabled=trainer.bfloat16)
        with torch.no_grad(), autocast:
            trainer.codec(
                batch.wav.to(trainer.device), torch.full((len(batch.wav),), trainer.codec.quantizer.num_pairs)
            )
        return once(batch, share)

    trainer.train_step = twice  # type: ignore[method-assign]


def measures(with_compile: bool) -> list[Measure]:
    rows = [
        Measure("all", lambda c: c),
        Measure("no discriminators", lambda c: replace(c, discriminators="none")),
        Measure("float32", lambda c: replace(c, precision="float32")),
        Measure("AdamW neither fused nor foreach", lambda c: c, _unfused),
        Measure("the generator run twice, as in the reference", lambda c: c, _twice),
        Measure("discriminators see whole rows", lambda c: replace(c, judged_seconds=c.seconds)),
    ]
    return rows + [Measure("torch.compile", lambda c: replace(c, compile="on"))] * with_compile


def measure(preset: str, rows: int, seconds: float, arguments: Arguments) -> list[str]:
    """The lines of the table for one preset."""
    config = presets.find(preset)
    with torch.device("meta"):
        hop, rate_hz = Codec(config).hop, config.sample_rate_hz
    samples = round(seconds * rate_hz / hop) * hop
    wav = 0.1 * torch.from_numpy(np.random.default_rng(0).standard_normal((rows, samples), dtype=np.float32))
    batch = Batch(wav, ("",) * rows)
    rows_of_table = measures(arguments.compile)
    best = [math.inf] * len(rows_of_table)
    with tempfile.TemporaryDirectory() as out:
        base = TrainConfig(
            data=Path(out),
            out=Path(out),
            steps=1000,
            preset=preset,
            batch=rows,
            seconds=seconds,
            device=arguments.device,
            compile="off",
            adversarial_from=0.0,
        )
        for number in tqdm([*range(len(rows_of_table))] * arguments.rounds, desc=preset, disable=None):
            torch.manual_seed(0)
            trainer = Trainer(Codec(config), rows_of_table[number].change(base))
            rows_of_table[number].patch(trainer)
            trainer.train_step(batch, 0.5)
            for _ in range(arguments.steps):
                start = time.perf_counter()
                trainer.train_step(batch, 0.5)  # it reads its losses back, so a GPU has finished
                best[number] = min(best[number], time.perf_counter() - start)
    lines = [
        f"| {preset} | {row.name} | {s:.2f} | {rows * samples / rate_hz / s:.1f} | {best[0] / s:.2f} |"
        for row, s in zip(rows_of_table, best, strict=True)
    ]
    shares = f"{preset}: generator {best[1] / best[0]:.0%}, discriminators {1 - best[1] / best[0]:.0%}"
    if arguments.data is not None:
        data_s = _data_s(arguments.data, rows, samples, rate_hz)
        shares += f"; a batch takes {data_s / best[0]:.1%} of a step to prepare, in a thread beside it"
    return [*lines, shares]


def _data_s(path: Path, rows: int, samples: int, rate_hz: int) -> float:
    speech = open_speech(path, rate_hz, batch=rows, samples=samples, seed=0, drawing=BySource())
    start = time.perf_counter()
    for step in range(20):
        speech.batch_at(step)
    return (time.perf_counter() - start) / 20


def main(arguments: Arguments) -> None:
    torch.set_num_threads(arguments.threads)
    print("| preset | measures | s a step | audio-s per s | against all |\n|---|---|---|---|---|")
    for preset, rows, seconds in zip(arguments.presets, arguments.rows, arguments.seconds, strict=True):
        print("\n".join(measure(preset, rows, seconds, arguments)), flush=True)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
