"""One update of everything: the discriminators, then the generator, on the same generated audio."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from q2d2.codec import Codec
from q2d2.train.adversary import Adversary
from q2d2.train.data import Batch
from q2d2.train.objective import RECONSTRUCTION, reconstruction_losses
from q2d2.train.recipes import Recipe


class NotFiniteError(FloatingPointError):
    """A loss or a gradient that is no number."""


@dataclass(frozen=True)
class Player:
    """A network and its optimiser. `wrapped` is what to call in training; `module` the network itself."""

    module: Any
    wrapped: nn.Module
    optimizer: torch.optim.Optimizer


@dataclass(frozen=True)
class Strength:
    """Of this step: learning rates, and the share of the discriminators' say in the generator's loss."""

    learning_rate: float
    discriminator_learning_rate: float = 0.0
    adversarial: float | None = None  # None: the discriminators do not play


def train_step(
    fabric: Fabric,
    recipe: Recipe,
    generator: Player,
    opponent: Player | None,
    batch: Batch,
    num_pairs: Tensor,
    start_frame: Tensor,
    strength: Strength,
    judged: slice,
    autocast: torch.autocast,
) -> dict[str, float]:
    """Update both players; losses and gradient norms by name.

    NotFiniteError, with the generator as it was, if one of them is no number. The generator runs once: the
    discriminators see its output detached, then it is judged by what they have become; both on the samples `judged`.
    """
    codec: Codec = generator.module
    adversary: Adversary | None = opponent.module if opponent and strength.adversarial is not None else None
    with autocast:
        output = generator.wrapped(batch.wav, num_pairs, start_frame)
    made = output.decoded.wav
    report: dict[str, Tensor] = {}

    if adversary and opponent:
        with autocast:
            losses = adversary.discriminator_losses(opponent.wrapped, batch.wav[:, judged], made[:, judged])
        report |= losses
        weights = {name: recipe.weights.get(name, 1.0) for name in losses}
        norm = _descend(fabric, opponent, losses, weights, strength.discriminator_learning_rate, recipe.clip)
        report["discriminator_norm"] = norm
        _check(report)
        opponent.optimizer.step()

    wanted = [name for name in RECONSTRUCTION if recipe.weights.get(name)]
    losses = reconstruction_losses(wanted, output, batch.wav, codec)
    weights = {name: recipe.weights[name] for name in losses}
    if adversary and strength.adversarial is not None:
        with autocast:
            opinions = adversary.generator_losses(batch.wav[:, judged], made[:, judged])
        losses |= opinions
        weights |= {name: strength.adversarial * recipe.weights.get(name, 0.0) for name in opinions}
    report |= losses
    report["grad_norm"] = _descend(fabric, generator, losses, weights, strength.learning_rate, recipe.clip)
    numbers = _check(report)
    generator.optimizer.step()
    return numbers


def _descend(
    fabric: Fabric,
    player: Player,
    losses: Mapping[str, Tensor],
    weights: Mapping[str, float],
    learning_rate: float,
    clip: float | None,
) -> Tensor:
    """Gradients of the weighted sum, clipped, ready for the optimiser; their norm before clipping."""
    for group in player.optimizer.param_groups:
        group["lr"] = learning_rate
    player.optimizer.zero_grad(set_to_none=True)
    fabric.backward(torch.stack([weights[name] * value for name, value in losses.items()]).sum())
    parameters = [p for p in player.module.parameters() if p.grad is not None]
    if clip is None:
        return torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    return torch.nn.utils.clip_grad_norm_(parameters, clip)


def _check(report: Mapping[str, Tensor]) -> dict[str, float]:
    """The report as numbers (one wait for the device); NotFiniteError if one is none."""
    numbers = dict(zip(report, torch.stack([v.detach().float() for v in report.values()]).tolist(), strict=True))
    if wrong := [name for name, value in numbers.items() if not torch.isfinite(torch.tensor(value))]:
        raise NotFiniteError(f"{', '.join(wrong)} not finite")
    return numbers
