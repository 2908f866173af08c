"""One model of the grid: trained, taken up from its last save if there is one, scored, and written down as one file."""

from __future__ import annotations

import math
import traceback
from contextlib import redirect_stderr

import torch

from q2d2 import checkpoint
from q2d2.ablation.config import AblateConfig, Cell
from q2d2.ablation.measure import measure, read_clips
from q2d2.ablation.quantizers import described
from q2d2.ablation.rows import Row, to_json
from q2d2.atomic import write_whole
from q2d2.codec import Codec
from q2d2.train import state

MESSAGES = "messages.txt"  # in the folder of a training: its progress, its warnings and what went wrong with it


def finish(config: AblateConfig, cell: Cell) -> None:
    """Do what is left to do for one model; its file appears at the very end, whole."""
    torch.set_num_threads(config.threads)
    folder = config.run_of(cell)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / MESSAGES).open("a", buffering=1) as messages, redirect_stderr(messages):
        try:
            rows = _rows(config, cell)
        except Exception:
            traceback.print_exc()
            raise
    config.result_of(cell).parent.mkdir(exist_ok=True)
    write_whole(config.result_of(cell), to_json(rows))


def _rows(config: AblateConfig, cell: Cell) -> list[Row]:
    """Train and score: a row for each rate."""
    try:
        from q2d2.train.run import train
    except ModuleNotFoundError as error:
        raise ImportError(f"{error.name} is not installed: pip install 'q2d2[train]' brings it") from error

    training = config.training(cell)
    train(training)
    codec, steps = _trained(config, cell)
    recipe = training.settled(codec.config)
    frames = max(1, round(recipe.seconds * codec.frame_rate_hz))
    clips = read_clips(config.validate)
    rows = []
    for rate in codec.config.rates or (None,):
        measured = measure(codec, clips, rate)
        uses, points = measured.uses, codec.quantizer.points[: codec.num_pairs(rate)]
        rows.append(
            Row(
                preset=cell.preset,
                seed=cell.seed,
                rate=rate,
                quantizer=described(codec.config.quantizer),
                points=points,
                bits_per_frame=math.fsum(map(math.log2, points)),
                frame_rate_hz=codec.frame_rate_hz,
                steps=steps,
                heard_s=steps * recipe.batch * frames / codec.frame_rate_hz,
                parameters=sum(p.numel() for p in codec.parameters()),
                clips=len(clips),
                scores=measured.scores,
                used_share=sum(use.used_share for use in uses) / len(uses) if uses else None,
                entropy_bits=sum(use.entropy_bits for use in uses) if uses else None,
                notes=measured.notes,
            )
        )
    return rows


def _trained(config: AblateConfig, cell: Cell) -> tuple[Codec, int]:
    """The finished model as its folder has it, and its steps."""
    run = config.run_of(cell)
    _, counts = checkpoint.read_tensors(run / state.STATE)
    return checkpoint.load(run / state.MODEL), int(counts["step"])
