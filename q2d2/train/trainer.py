"""The training loop: budgets in steps or minutes, weight averaging, atomic checkpoints, resume, validation.

A batch, and every random number of a step, depends on (seed, step) only, so that a resumed run does what an
uninterrupted one would have done, on a CPU to the last bit; and on several processes each takes its rows of the same
batch, so that they do together what one would have done alone. What an update is, is in `step`.
"""

from __future__ import annotations

import copy
import os
import time
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from pydantic import TypeAdapter
from torch import nn
from tyro.conf import arg

from q2d2 import checkpoint, presets
from q2d2.atomic import write_whole
from q2d2.codec import Codec
from q2d2.layers import ConvNeXtBlock
from q2d2.train import state
from q2d2.train.adversary import Adversary
from q2d2.train.budget import Budget, rate_factor
from q2d2.train.data import Batch, BySource, Prefetcher, open_speech, validation_clips
from q2d2.train.journal import Journal
from q2d2.train.objective import draw_pairs, draw_starts
from q2d2.train.recipes import RECIPES, Recipe, recipe_for
from q2d2.train.step import NotFiniteError, Player, Strength, train_step
from q2d2.train.validation import validate
from q2d2.vocos import ConvNeXt, ResNetBlock

COMPILED = (ConvNeXtBlock, ConvNeXt, ResNetBlock)  # where a codec spends its time, and alike: compiled once each
COUNTS = {"generator": "step", "discriminators": "discriminator_step"}


@dataclass(frozen=True)
class TrainConfig:
    """What to train, on what, for how long, and where it differs from the recipe of the preset."""

    data: Path  # a packed corpus, a folder of audio (LibriTTS, VCTK, ...) or a manifest of paths
    out: Path  # receives model/ (what to use), state.safetensors (to resume from), log.jsonl and tensorboard/
    minutes: float | None = None  # budget of wall-clock minutes, from start-up to the last save
    steps: int | None = None  # budget of steps
    preset: str = "speech"  # a name from q2d2/presets.py
    start: Annotated[str | None, arg(name="from", metavar="MODEL")] = None  # a model, a run or a hub id to start from
    validate: Path | None = None  # a folder of audio to measure the averaged model on at every save
    recipe: str | None = None  # how to train: speech, paper or wavtokenizer; default: by preset
    discriminators: Literal["recipe", "none"] = "recipe"
    dac: Literal["frozen", "trained", "off"] | None = None  # of the paper's recipe; the reference's was frozen
    batch: int | None = None  # rows of all processes together
    seconds: float | None = None  # of a row
    learning_rate: float | None = None
    discriminator_learning_rate: float | None = None
    warmup_steps: int | None = None
    decay_from: float | None = None  # share of the budget after which the learning rate falls
    adversarial_from: float | None = None  # share of the budget before which discriminators do not play
    adversarial_warmup_steps: int | None = None  # over which their weight rises
    judged_seconds: float | None = None  # of a row, that discriminators see
    average: float | None = None  # decay of the weight average, per step; 0 for none
    weights: dict[str, float] = field(default_factory=dict)  # of losses, in place of the recipe's
    source_weights: dict[str, float] = field(default_factory=dict)  # how often; default 1 + log10(speakers)
    precision: Literal["auto", "bfloat16", "float32"] = "auto"  # auto: bfloat16 where matrices multiply faster in it
    compile: Literal["auto", "on", "off"] = "auto"  # auto: on GPUs
    device: str | None = None  # cpu or cuda; default: a GPU if there is one
    devices: int = 1  # processes on this machine; under torchrun what torchrun says
    workers: int = 2  # threads that prepare batches
    cache: Path | None = None  # a folder for the decoded corpus, so that the next run starts at once
    seed: int = 0
    save_minutes: float = 5.0
    save_steps: int | None = None  # save every so many steps instead
    log_every: int = 50

    def __post_init__(self) -> None:
        Budget(self.minutes, self.steps, 0.0)
        presets.find(self.preset)
        if self.recipe is not None and self.recipe not in RECIPES:
            raise ValueError(f"there is no recipe {self.recipe}: give one of {', '.join(RECIPES)}")
        positive = (self.batch, self.seconds, self.learning_rate, self.log_every, self.devices, self.save_steps)
        if any(value is not None and value <= 0 for value in positive):
            raise ValueError("batch, seconds, learning_rate, log_every, devices and save_steps must be positive")

    def settled(self, codec: Codec) -> Recipe:
        """The recipe with this command's changes."""
        recipe = RECIPES[self.recipe or recipe_for(codec.config)]
        named = (
            "batch seconds learning_rate discriminator_learning_rate warmup_steps decay_from adversarial_from "
            "adversarial_warmup_steps judged_seconds average"
        )
        changes: dict[str, Any] = {n: getattr(self, n) for n in named.split() if getattr(self, n) is not None}
        sets = recipe.discriminators if self.discriminators == "recipe" else ()
        if self.dac is not None:
            sets = tuple(name for name in sets if name not in ("dac", "frozen_dac"))
            sets += {"frozen": ("frozen_dac",), "trained": ("dac",), "off": ()}[self.dac]
        known = {*recipe.weights, "mel", "log_mel", "root_mel", "phase", "pitch", "commitment"}
        known |= {f"{name}_{what}" for name in sets for what in ("adversarial", "features")}
        if unknown := set(self.weights) - known:
            raise ValueError(f"there is no loss {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
        weights = recipe.weights | self.weights
        for name in sets:  # the DAC set's weights are the same whether it is trained or not
            for what in ("adversarial", "features"):
                weights.setdefault(f"{name}_{what}", weights.get(f"{name.removeprefix('frozen_')}_{what}", 1.0))
        if self.source_weights:
            if not isinstance(recipe.drawing, BySource):
                raise ValueError("source_weights: this recipe draws utterances, not sources")
            changes["drawing"] = BySource(self.source_weights)
        return replace(recipe, weights=weights, discriminators=sets, **changes)


class Trainer:
    """A codec, its discriminators, its averaged weights and their optimisers, at a certain step of a run."""

    def __init__(self, codec: Codec, config: TrainConfig, fabric: Fabric | None = None) -> None:
        self.config = config
        self.recipe = recipe = config.settled(codec)
        self.fabric = fabric or Fabric(accelerator="cpu", devices=1)
        if recipe.batch % self.fabric.world_size:
            raise ValueError(f"a batch of {recipe.batch} rows does not divide among {self.fabric.world_size} processes")
        self.device = self.fabric.device
        self.codec = codec.train()
        self.averaged = copy.deepcopy(codec).to(self.device).eval().requires_grad_(False)
        self.bfloat16 = config.precision == "bfloat16" or (config.precision == "auto" and _bfloat16_pays(self.device))
        if config.compile == "on" or (config.compile == "auto" and self.device.type == "cuda"):
            for module in codec.modules():
                if isinstance(module, COMPILED):
                    module.compile(dynamic=False)
        self.generator = self._player(codec, recipe.learning_rate, recipe.betas)
        self.opponent: Player | None = None
        if recipe.discriminators:
            torch.manual_seed(config.seed + 1)
            adversary = Adversary(recipe.discriminators)
            self.opponent = self._player(adversary, recipe.discriminator_learning_rate, recipe.discriminator_betas)
        self.step = self.discriminator_step = 0

    def _player(self, module: nn.Module, learning_rate: float, betas: tuple[float, float]) -> Player:
        """The module, ready for one process or many, and AdamW with decay for what is not a bias or a gain."""
        module.to(self.device)
        trained = [p for p in module.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": 0.01},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=learning_rate, betas=betas, fused=True)
        wrapped = self.fabric.setup_module(module) if trained else module
        return Player(module, wrapped, optimizer)

    @property
    def players(self) -> dict[str, Player]:
        return {"generator": self.generator} | ({"discriminators": self.opponent} if self.opponent else {})

    def strength(self, share: float) -> Strength:
        """Learning rates and the discriminators' say at this step."""
        recipe = self.recipe
        rate = recipe.learning_rate * rate_factor(recipe, self.step, share)
        if self.opponent is None or share < recipe.adversarial_from:
            return Strength(rate)
        opposing = recipe.discriminator_learning_rate * rate_factor(recipe, self.discriminator_step, share)
        say = 1.0
        if recipe.adversarial_warmup_steps:
            say = min(1.0, self.discriminator_step / recipe.adversarial_warmup_steps)
        return Strength(rate, opposing, say)

    def train_step(self, batch: Batch, share: float) -> dict[str, float]:
        """One update on this process's rows; the losses by name. NotFiniteError: the batch is saved and named."""
        seed, rank, world = self.config.seed, self.fabric.global_rank, self.fabric.world_size
        rows = len(batch.wav)
        mine = slice(rank * rows, (rank + 1) * rows)
        rng = np.random.default_rng((seed, self.step, 1))
        num_pairs = draw_pairs(self.codec, rng, rows * world)[mine].to(self.device)
        start_frame = draw_starts(rng, rows * world)[mine].to(self.device)
        # dropout and the replacement of dead codes draw from here
        torch.manual_seed(int(np.random.default_rng((seed, self.step, 2, rank)).integers(2**62)))
        moved = Batch(batch.wav.to(self.device, non_blocking=True), batch.names)
        strength = self.strength(share)
        autocast = torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bfloat16)
        try:
            report = train_step(
                self.fabric,
                self.recipe,
                self.generator,
                self.opponent,
                moved,
                num_pairs,
                start_frame,
                strength,
                self._judged(rng, batch.wav.shape[1]),
                autocast,
            )
        except NotFiniteError as error:
            raise NotFiniteError(f"step {self.step}: {error}; {self._keep(batch)}") from error
        if self.recipe.average:
            decay = min(self.recipe.average, (1 + self.step) / (10 + self.step))
            averages = [p.detach() for p in self.averaged.parameters()]
            own = [p.detach() for p in self.codec.parameters()]
            torch._foreach_lerp_(averages, own, 1 - decay)
        self.step += 1
        self.discriminator_step += strength.adversarial is not None
        if world == 1:
            return report
        means = cast(torch.Tensor, self.fabric.all_reduce(torch.tensor(list(report.values()), device=self.device)))
        return dict(zip(report, means.tolist(), strict=True))

    def _judged(self, rng: np.random.Generator, samples: int) -> slice:
        """The samples of every row that discriminators see in this step."""
        if self.recipe.judged_seconds is None:
            return slice(0, samples)
        width = min(samples, round(self.recipe.judged_seconds * self.codec.config.sample_rate_hz))
        start = int(rng.integers(0, samples - width + 1))
        return slice(start, start + width)

    def _keep(self, batch: Batch) -> str:
        """Write the batch that did it; a sentence that names it."""
        file = self.config.out / f"bad-batch-{self.step}-{self.fabric.global_rank}.safetensors"
        self.config.out.mkdir(parents=True, exist_ok=True)
        checkpoint.write_tensors(file, {"wav": batch.wav}, {"names": "\n".join(batch.names)})
        return f"the batch is in {file}: {', '.join(batch.names)}; the last save is as it was"

    def settle(self) -> Codec:
        """The model to use and to measure: the averaged one, with the buffers of the one that is trained."""
        source = self.codec.state_dict()
        own = dict(self.averaged.named_parameters())
        with torch.no_grad():
            for name, value in self.averaged.state_dict().items():
                if name not in own or not self.recipe.average:
                    value.copy_(source[name])
        return self.averaged

    def save(self, elapsed_s: float) -> None:
        """Write the run; each file appears whole or not at all."""
        counts = {"step": self.step, "discriminator_step": self.discriminator_step}
        state.save(self.config.out, self.players, self.settle(), counts, elapsed_s)

    def resume(self) -> float:
        """Take up the run in `out`; the seconds it has taken so far."""
        numbers = state.load(self.config.out, self.players, self.averaged, COUNTS)
        self.step, self.discriminator_step = int(numbers["step"]), int(numbers["discriminator_step"])
        return numbers["elapsed_s"]


def train(config: TrainConfig, started: float | None = None) -> Path:
    """Train within the budget, resuming if `out` holds a run; returns the folder of the model.

    `started` is the `time.monotonic()` from which minutes count.
    """
    budget = Budget(config.minutes, config.steps, time.monotonic() if started is None else started)
    fabric = _fabric(config)
    first = fabric.is_global_zero
    torch.manual_seed(config.seed)
    codec, discriminators = _starting_point(config)
    trainer = Trainer(codec, config, fabric)
    if discriminators and trainer.opponent:
        state.load_discriminators(discriminators, trainer.opponent.module)
    recipe, rate_hz = trainer.recipe, codec.config.sample_rate_hz
    samples = max(1, round(recipe.seconds * rate_hz / codec.hop)) * codec.hop
    config.out.mkdir(parents=True, exist_ok=True)
    if (config.out / state.STATE).is_file():
        budget.earlier_s = trainer.resume()
    if _spent(fabric, budget, trainer.step) >= 1:
        return config.out / state.MODEL
    clips = [] if config.validate is None or not first else validation_clips(config.validate, rate_hz, codec.hop)
    speech = open_speech(
        config.data,
        rate_hz,
        batch=recipe.batch,
        samples=samples,
        seed=config.seed,
        drawing=recipe.drawing,
        rank=fabric.global_rank,
        world=fabric.world_size,
        cache=config.cache,
    )
    if first:
        write_whole(config.out / "config.json", TypeAdapter(dict).dump_json(asdict(config), indent=1))
    journal = Journal(config.out, config.log_every, recipe.batch * samples / rate_hz, rate_hz, silent=not first)

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

    with closing(journal), Prefetcher(speech, trainer.step, threads=config.workers, pin=_on_gpu(fabric)) as batches:
        finish()  # also: a disk that cannot hold the run is known of now
        saved = time.monotonic()
        while (share := _spent(fabric, budget, trainer.step)) < 1:
            begun = time.monotonic()
            batch = next(batches)
            waited_s = time.monotonic() - begun
            report = trainer.train_step(batch, share)
            budget.step_s = time.monotonic() - begun
            journal.add(trainer.step, share, report | {"wait_s": waited_s})
            if _save_is_due(config, trainer.step, saved):
                finish()
                saved = time.monotonic()
        finish()
        if speech.skipped:
            journal.say(f"{len(speech.skipped)} of {speech.utterances} recordings were skipped")
    return config.out / state.MODEL


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
        return Codec(presets.find(config.preset)), None
    run = Path(config.start)
    if (run / state.MODEL).is_dir():
        return checkpoint.load(run / state.MODEL), run / state.DISCRIMINATORS
    return checkpoint.load(config.start), None


def _on_gpu(fabric: Fabric) -> bool:
    return fabric.device.type == "cuda"


def _bfloat16_pays(device: torch.device) -> bool:
    """Whether matrices multiply faster in bfloat16 here: on GPUs yes; on CPUs it is measured."""
    if device.type == "cuda":
        return True

    def seconds(dtype: torch.dtype) -> float:
        a, b = torch.ones(512, 512, dtype=dtype), torch.ones(512, 1024, dtype=dtype)
        a @ b
        start = time.perf_counter()
        for _ in range(10):
            a @ b
        return time.perf_counter() - start

    return seconds(torch.bfloat16) < 0.7 * seconds(torch.float32)
