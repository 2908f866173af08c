"""The training loop: budgets, checkpoints, resume, validation, and the processes it runs on."""

from __future__ import annotations

import os
import time
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import torch
from lightning_fabric import Fabric
from pydantic import TypeAdapter

from q2d2 import checkpoint, presets
from q2d2.atomic import write_whole
from q2d2.codec import Codec
from q2d2.train import linear_start, state
from q2d2.train.budget import Budget
from q2d2.train.config import TrainConfig
from q2d2.train.data import Crops, Prefetcher, Speech, open_speech, validation_clips
from q2d2.train.journal import Journal
from q2d2.train.recipes import row_samples
from q2d2.train.trainer import Trainer
from q2d2.train.validation import validate


def train(config: TrainConfig, started: float | None = None) -> Path:
    """Train within the budget, resuming if `out` holds a run; returns the folder of the model.

    `started` is the `time.monotonic()` from which minutes count.
    """
    budget = Budget(config.minutes, config.steps, time.monotonic() if started is None else started)
    fabric = _fabric(config)
    first = fabric.is_global_zero
    torch.manual_seed(config.seed)
    codec, discriminators = _starting_point(config)
    resumes = (config.out / state.STATE).is_file()
    fabric.barrier()  # or a slow process would take the first save of this run for an earlier one
    speech = None
    fits = config.settled(codec.config).linear_start and linear_start.is_possible(codec)
    if fits and first and config.start is None and not resumes:  # other processes take their weights from this one
        whole = _speech(config, codec, fabric.device)
        linear_start.begin(codec.to(fabric.device), whole)
        speech = whole if fabric.world_size == 1 else None
    trainer = Trainer(codec, config, fabric)
    if discriminators and trainer.opponent:
        state.load_discriminators(discriminators, trainer.opponent.module)
    recipe, rate_hz = trainer.recipe, codec.config.sample_rate_hz
    config.out.mkdir(parents=True, exist_ok=True)
    if resumes:
        budget.earlier_s = trainer.resume()
    if _spent(fabric, budget, trainer.step) >= 1:
        if first:  # killed in its last save, a run may have left the state of the end beside an older model
            trainer.save(budget.earlier_s)
        _leave(fabric)
        return config.out / state.MODEL
    clips = [] if config.validate is None or not first else validation_clips(config.validate, rate_hz, codec.hop)
    speech = speech or _speech(config, codec, fabric.device, fabric.global_rank, fabric.world_size)
    if first:
        write_whole(config.out / "config.json", TypeAdapter(dict).dump_json(asdict(config), indent=1))
    seconds = recipe.batch * row_samples(recipe, codec.config, codec.hop) / rate_hz
    journal = Journal(config.out, seconds, rate_hz, silent=not first)

    def finish() -> None:
        """Save and measure, on the first process; what that takes is kept free at the end of the budget."""
        begun = time.monotonic()
        if first:
            trainer.save(budget.elapsed_s)
            if clips:
                means, sounds = validate(trainer.settle(), clips)
                journal.write(trainer.step, {f"validation/{name}": value for name, value in means.items()})
                journal.hear(trainer.step, sounds)
        budget.ending_s = max(budget.ending_s, time.monotonic() - begun)
        fabric.barrier()

    with closing(journal), Prefetcher(speech, trainer.step, threads=config.workers) as batches:
        finish()  # also: a disk that cannot hold the run is known of now
        saved = time.monotonic()
        while (share := _spent(fabric, budget, trainer.step)) < 1:
            begun = time.monotonic()
            batch = next(batches)
            waited_s = time.monotonic() - begun
            trainer.train_step(batch, share)
            budget.step_s = time.monotonic() - begun
            journal.passed(waited_s)
            is_due = _save_is_due(config, trainer.step, saved)
            if is_due or trainer.step % config.log_every == 0:
                journal.report(trainer.step, share, trainer.report(speech.batch_at))
            if is_due:
                finish()
                saved = time.monotonic()
        if journal.steps:
            journal.report(trainer.step, 1.0, trainer.report(speech.batch_at))
        finish()
        if speech.skipped:
            journal.say(f"{len(speech.skipped)} of {speech.utterances} recordings were skipped")
    _leave(fabric)
    return config.out / state.MODEL


def _speech(config: TrainConfig, codec: Codec, device: torch.device, rank: int = 0, world: int = 1) -> Speech:
    """The rows of one process, or of all."""
    recipe = config.settled(codec.config)
    samples = row_samples(recipe, codec.config, codec.hop)
    crops = Crops(samples, codec.config.sample_rate_hz, config.seed, recipe.augment, device)
    return open_speech(
        config.data, crops, recipe.drawing, batch=recipe.batch, rank=rank, world=world, cache=config.cache
    )


def _leave(fabric: Fabric) -> None:
    """End the group of processes, the first one last.

    A process that leaves takes its connections with it, and another that still stands in the barrier, whose last
    message was to come, would wait for it for ever. So the first one waits for word of all others, by the store.
    """
    if fabric.world_size == 1:
        return
    fabric.barrier()
    store = torch.distributed.distributed_c10d._get_default_store()
    if fabric.is_global_zero:
        store.wait([f"left/{rank}" for rank in range(1, fabric.world_size)])
    else:
        store.set(f"left/{fabric.global_rank}", "")
    torch.distributed.destroy_process_group()


def _save_is_due(config: TrainConfig, step: int, saved: float) -> bool:
    if config.save_steps is not None:
        return step % config.save_steps == 0
    return time.monotonic() - saved > 60 * config.save_minutes


def _spent(fabric: Fabric, budget: Budget, step: int) -> float:
    """The share of the budget that is spent, by the first process's clock."""
    share = budget.share(step)
    return share if fabric.world_size == 1 or budget.minutes is None else float(fabric.broadcast(share))


def _fabric(config: TrainConfig) -> Fabric:
    """The processes of this run, started: one, `devices` on this machine, or those of torchrun."""
    accelerator = config.device or ("cuda" if torch.cuda.is_available() else "cpu")
    local, nodes = (int(os.environ.get(name, 0)) for name in ("LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE"))
    devices, nodes = local or config.devices, nodes or 1
    many = devices * nodes > 1
    fabric = Fabric(
        accelerator="cuda" if accelerator.startswith("cuda") else accelerator,
        devices=devices,
        num_nodes=nodes,
        strategy="ddp" if many else "auto",
        # not Fabric's mixed precision: it casts the input, the waveform itself, to bfloat16
        precision="32-true",
    )
    fabric.launch()
    return fabric


def _starting_point(config: TrainConfig) -> tuple[Codec, Path | None]:
    """The codec to train and where its discriminators may be: of a preset, a run, a model folder or a hub id."""
    if config.start is None:
        return Codec(presets.find(config.preset or "speech")), None
    start = Path(config.start)
    model = start / state.MODEL
    codec = checkpoint.load(model if model.is_dir() else config.start)
    if config.preset is not None and replace(presets.find(config.preset), name=codec.config.name) != codec.config:
        raise ValueError(
            f"{config.start}: its design ({codec.config.name}) is not that of --preset {config.preset}: "
            "leave --preset out to train on as it is"
        )
    return codec, start / state.DISCRIMINATORS
