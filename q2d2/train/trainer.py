"""The players of a run and one step of it: a codec, its discriminators, optimisers and averaged weights.

Every random number of a step depends on (seed, step) only, so that a resumed run does what an uninterrupted one would
have done, on a CPU to the last bit; and on several processes each takes its rows of the same batch, so that they do
together what one would have done alone. What an update is, is in `step`; the loop around it in `run`.
"""

from __future__ import annotations

import copy
import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from q2d2 import checkpoint
from q2d2.baselines import RVQ, VQ
from q2d2.codec import Codec
from q2d2.layers import ConvNeXtBlock
from q2d2.train import state
from q2d2.train.adversary import Adversary
from q2d2.train.budget import rate_factor
from q2d2.train.captured import Captured
from q2d2.train.config import TrainConfig
from q2d2.train.data import Batch
from q2d2.train.narrowed import Narrowed
from q2d2.train.objective import draw_pairs, draw_starts
from q2d2.train.optimizers import make_optimizers
from q2d2.train.recipes import row_samples
from q2d2.train.step import Player, Turn, Update
from q2d2.vocos import ConvNeXt, ResNetBlock

COMPILED = (ConvNeXtBlock, ConvNeXt, ResNetBlock)  # where a codec spends its time, and alike: compiled once each
AHEAD = 4  # steps that a GPU may have before it: never idle, and the clock of a budget is not far behind
COUNTS = {"generator": "step", "discriminators": "discriminator_step"}


class NotFiniteError(FloatingPointError):
    """A loss or a gradient that is no number."""


@dataclass(frozen=True)
class Strength:
    """Of one step: learning rates, and the share of the discriminators' say in the generator's loss."""

    learning_rate: float
    discriminator_learning_rate: float = 0.0
    adversarial: float | None = None  # None: the discriminators do not play


class Trainer:
    """A codec, its discriminators, its averaged weights and their optimisers, at a certain step of a run."""

    def __init__(self, codec: Codec, config: TrainConfig, fabric: Fabric | None = None) -> None:
        self.config = config
        self.recipe = recipe = config.settled(codec.config)
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
        self.generator = self._player(codec, recipe.betas, _matrices(codec) if recipe.optimizer == "muon" else [])
        self.opponent: Player | None = None
        if recipe.discriminators:
            torch.manual_seed(config.seed + 1)
            self.opponent = self._player(Adversary(recipe.discriminators), recipe.discriminator_betas)
        self.step = self.discriminator_step = 0
        judged_s = recipe.seconds if recipe.judged_seconds is None else recipe.judged_seconds
        narrowed = Narrowed(codec, torch.bfloat16)
        update = Update(
            self.fabric,
            recipe,
            self.generator,
            self.opponent,
            narrowed if self.bfloat16 and self.fabric.world_size == 1 else self.generator.wrapped,
            min(row_samples(recipe, codec.config, codec.hop), round(judged_s * codec.config.sample_rate_hz)),
            torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bfloat16),
        )
        if config.graph:
            self._check_capturable()
        self.update = Captured(update) if config.graph else update
        self.first_bad = torch.tensor(math.inf, device=self.device)  # the first step since the last report that failed
        self._ahead: deque[torch.cuda.Event] = deque()
        self.tally: dict[tuple[str, ...], tuple[Tensor, int]] = {}  # sums of what steps returned, and how many steps

    def _player(self, module: nn.Module, betas: tuple[float, float], matrices: Iterable[Tensor] = ()) -> Player:
        """The module, ready for one process or many, and what moves its weights."""
        module.to(self.device)
        optimizers = make_optimizers(module, matrices, betas, self.config.graph)
        wrapped = self.fabric.setup_module(module) if any(p.requires_grad for p in module.parameters()) else module
        return Player(module, wrapped, optimizers)

    def _check_capturable(self) -> None:
        """ValueError for a step that no CUDA graph can hold."""
        reasons = {
            "needs a GPU": self.device.type != "cuda",
            "is for one process": self.fabric.world_size > 1,
            "cannot hold a learned codebook": isinstance(self.codec.quantizer, VQ | RVQ),
            "cannot hold the optimiser muon": self.recipe.optimizer == "muon",
        }
        if wrong := [reason for reason, applies in reasons.items() if applies]:
            raise ValueError(f"a captured step (--graph) {' and '.join(wrong)}: leave it out")

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

    def train_step(self, batch: Batch, share: float) -> None:
        """One update on this process's rows. What became of it is told by `report`: a GPU is not waited for."""
        seed, rank, world = self.config.seed, self.fabric.global_rank, self.fabric.world_size
        rows = len(batch.wav)
        mine = slice(rank * rows, (rank + 1) * rows)
        rng = np.random.default_rng((seed, self.step, 1))
        pairs, starts = draw_pairs(self.codec, rng, rows * world)[mine], draw_starts(rng, rows * world)[mine]
        judged_from = int(rng.integers(0, batch.wav.shape[1] - self.update.judged_samples + 1))
        # dropout and the replacement of dead codes draw from here
        torch.manual_seed(int(np.random.default_rng((seed, self.step, 2, rank)).integers(2**62)))
        strength = self.strength(share)
        plays = strength.adversarial is not None
        for optimizer in self.generator.optimizers[1:]:  # Muon wants a number, the fused AdamW a place on the device
            for group in optimizer.param_groups:
                group["lr"] = strength.learning_rate
        floats = strength.learning_rate, strength.discriminator_learning_rate, strength.adversarial or 0.0
        places = torch.cat([torch.tensor([judged_from]), pairs, starts])
        judged, pairs, starts = self._on_device(places).split([1, rows, rows])
        rate, opposing_rate, say = self._on_device(torch.tensor(floats)).unbind()
        turn = Turn(rate, opposing_rate, say, judged.squeeze(0), pairs, starts)
        outcome = self.update(batch.wav, turn, plays)
        self.first_bad = torch.minimum(self.first_bad, torch.where(outcome.finite, math.inf, self.step))
        sums, count = self.tally.get(outcome.names, (torch.zeros_like(outcome.values), 0))
        self.tally[outcome.names] = sums + outcome.values, count + 1
        if self.recipe.average:
            decay = min(self.recipe.average, (1 + self.step) / (10 + self.step))
            averages = [p.detach() for p in self.averaged.parameters()]
            own = [p.detach() for p in self.codec.parameters()]
            torch._foreach_lerp_(averages, own, 1 - decay)
        self.step += 1
        self.discriminator_step += plays
        if self.device.type == "cuda":
            self._ahead.append(torch.cuda.current_stream().record_event())
            if len(self._ahead) > AHEAD:
                self._ahead.popleft().synchronize()

    def report(self, batch_at: Callable[[int], Batch]) -> dict[str, float]:
        """Means of losses and gradient norms by name since the last report: the one place where a GPU is waited for.

        NotFiniteError, with the batch from `batch_at(step)` written and named, if something was no number.
        """
        names = [name for own in self.tally for name in own]
        means = torch.cat([sums / count for sums, count in self.tally.values()])
        numbers = torch.cat([means, self.first_bad.unsqueeze(0)]).tolist()
        self.tally.clear()
        if math.isfinite(first_bad := numbers.pop()):
            wrong = ", ".join(name for name, value in zip(names, numbers, strict=True) if not math.isfinite(value))
            raise NotFiniteError(f"step {first_bad:.0f}: {wrong} not finite; {self._keep(int(first_bad), batch_at)}")
        if self.fabric.world_size > 1:
            numbers = cast(torch.Tensor, self.fabric.all_reduce(torch.tensor(numbers, device=self.device))).tolist()
        return dict(zip(names, numbers, strict=True))

    def _on_device(self, values: Tensor) -> Tensor:
        """A copy from pinned memory: a GPU takes it when it gets there."""
        values = values.pin_memory() if self.device.type == "cuda" else values
        return values.to(self.device, non_blocking=True)

    def _keep(self, step: int, batch_at: Callable[[int], Batch]) -> str:
        """Write the batch that did it; a sentence that names it."""
        batch = batch_at(step)
        file = self.config.out / f"bad-batch-{step}-{self.fabric.global_rank}.safetensors"
        self.config.out.mkdir(parents=True, exist_ok=True)
        checkpoint.write_tensors(file, {"wav": batch.wav}, {"names": "\n".join(batch.names)})
        return (
            f"the batch is in {file}: {', '.join(batch.names)}; no weight has seen it, and the last save is as it was"
        )

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


def _matrices(codec: Codec) -> list[Tensor]:
    """The weights of linear layers inside blocks: what Muon is for."""
    blocks = [module for module in codec.modules() if isinstance(module, COMPILED)]
    return [p for block in blocks for p in block.parameters() if p.ndim == 2 and p.requires_grad]


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
