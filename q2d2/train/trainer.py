"""The players of a run and one step of it: a codec, its discriminators, optimisers and averaged weights.

Every random number of a step depends on (seed, step) only, so that a resumed run does what an uninterrupted one would
have done, on a CPU to the last bit; and on several processes each takes its rows of the same batch, so that they do
together what one would have done alone. What an update is, is in `step`; the loop around it in `run`.
"""

from __future__ import annotations

import copy
import time
from typing import cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from q2d2 import checkpoint
from q2d2.codec import Codec
from q2d2.layers import ConvNeXtBlock
from q2d2.train import state
from q2d2.train.adversary import Adversary
from q2d2.train.budget import rate_factor
from q2d2.train.config import TrainConfig
from q2d2.train.data import Batch
from q2d2.train.objective import draw_pairs, draw_starts
from q2d2.train.step import NotFiniteError, Player, Strength, train_step
from q2d2.vocos import ConvNeXt, ResNetBlock

COMPILED = (ConvNeXtBlock, ConvNeXt, ResNetBlock)  # where a codec spends its time, and alike: compiled once each
COUNTS = {"generator": "step", "discriminators": "discriminator_step"}


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
