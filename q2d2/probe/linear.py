"""The probe: one linear layer from an embedding to labels, trained as ARCH trains it. Knows tensors only.

Cross-entropy (or binary, where a clip has several labels), AdamW at 1e-3 with torch's default weight decay, batches of
32, 200 epochs, and the weights of the last one. Embeddings enter as they are: nothing is standardised, so a
representation whose numbers are small is at a disadvantage, as it is in the published tables.

All seeds train at once, each with its own start and its own order of the clips: they share nothing but the loop.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor
from torch.nn import functional

WARMUP = 0.1  # share of the steps


@dataclass(frozen=True)
class Training:
    """How the probe is trained."""

    epochs: int = 200
    batch: int = 32
    learning_rate: float = 1e-3


class Probes(NamedTuple):
    """A trained linear layer per seed."""

    weight: Float32[Tensor, "seeds dim labels"]
    bias: Float32[Tensor, "seeds 1 labels"]

    def __call__(self, inputs: Float32[Tensor, "clips dim"]) -> Float32[Tensor, "seeds clips labels"]:
        """Logits."""
        return torch.baddbmm(self.bias, inputs.expand(len(self.weight), -1, -1), self.weight)


def schedule(step: int, steps: int) -> float:
    """Share of the learning rate at this step of so many: up a line over the first tenth, down a line to 0, and 0."""
    warmup = int(WARMUP * steps)
    if step < warmup:
        return step / warmup
    return max(0.0, 1 - (step - warmup) / (steps - warmup))


def position(epoch: int, batch: int, batches: int) -> int:
    """The step at which the schedule stands. The reference takes one more at each epoch's end, so it stops early."""
    return epoch * (batches + 1) + batch


def train(
    inputs: Float32[Tensor, "clips dim"],
    targets: Float32[Tensor, "clips labels"],
    multi_label: bool,
    seeds: Sequence[int],
    training: Training = Training(),
) -> Probes:
    """A probe for each seed. Targets are 1 for a clip's labels and 0 elsewhere: one 1 in a row, or `multi_label`."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    probes = _initial(inputs.shape[1], targets.shape[1], generators)
    optimizer = torch.optim.AdamW(probes, lr=training.learning_rate, fused=True)
    batches = math.ceil(len(inputs) / training.batch)
    for epoch in range(training.epochs):
        order = torch.stack([torch.randperm(len(inputs), generator=generator) for generator in generators])
        for number, chosen in enumerate(order.split(training.batch, dim=1)):
            share = schedule(position(epoch, number, batches), training.epochs * batches)
            optimizer.param_groups[0]["lr"] = share * training.learning_rate
            optimizer.zero_grad()
            _loss(probes, inputs, targets, chosen, multi_label).backward()
            optimizer.step()
    return Probes(*(parameter.detach() for parameter in probes))


def _initial(dim: int, labels: int, generators: Sequence[torch.Generator]) -> Probes:
    """As `torch.nn.Linear` begins: uniform within 1 / sqrt(dim)."""
    bound = dim**-0.5
    start = [bound * (2 * torch.rand(dim + 1, labels, generator=generator) - 1) for generator in generators]
    weight, bias = torch.stack(start).split((dim, 1), dim=1)
    return Probes(weight.clone().requires_grad_(), bias.clone().requires_grad_())


def _loss(
    probes: Probes,
    inputs: Float32[Tensor, "clips dim"],
    targets: Float32[Tensor, "clips labels"],
    chosen: Int64[Tensor, "seeds batch"],
    multi_label: bool,
) -> Float[Tensor, ""]:
    """The sum of the seeds' losses, each the mean over its batch: so none sees another's gradient."""
    logits = torch.baddbmm(probes.bias, inputs[chosen], probes.weight).flatten(0, 1)
    wanted = targets[chosen].flatten(0, 1)
    if multi_label:
        return len(chosen) * functional.binary_cross_entropy_with_logits(logits, wanted)
    return len(chosen) * functional.cross_entropy(logits, wanted)
