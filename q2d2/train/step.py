"""One update of everything, discriminators and generator, on the same generated audio, without waiting for the device.

Whatever differs from one step to the next comes as a tensor on the device (`Turn`), and nothing is read back: so a GPU
is never waited for, and a whole step can be captured in a CUDA graph. A step whose loss or gradient is no number leaves
the weights as they were and says so in what it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from lightning_fabric import Fabric
from torch import Tensor, nn

from q2d2.codec import Codec, CodecOutput
from q2d2.train.adversary import Adversary, split_all
from q2d2.train.objective import RECONSTRUCTION, reconstruction_losses
from q2d2.train.recipes import Recipe


@dataclass(frozen=True)
class Player:
    """A network and its optimisers: AdamW, and maybe Muon. `wrapped` is what to call; `module` the network itself."""

    module: Any
    wrapped: nn.Module
    optimizers: Sequence[torch.optim.Optimizer]


class Turn(NamedTuple):
    """What differs from step to step, on the device."""

    learning_rate: Float[Tensor, ""]
    discriminator_learning_rate: Float[Tensor, ""]
    say: Float[Tensor, ""]  # the share of the discriminators' say in the generator's loss
    judged_from: Int64[Tensor, ""]  # the first sample of every row that discriminators see
    num_pairs: Int64[Tensor, " batch"]
    start_frame: Int64[Tensor, " batch"]


class Outcome(NamedTuple):
    """Losses and gradient norms of a step, and whether all of them are numbers."""

    names: tuple[str, ...]
    values: Float[Tensor, " names"]
    finite: Bool[Tensor, ""]


@dataclass(frozen=True)
class Update:
    """How both players are updated: all that stays as it is from step to step."""

    fabric: Fabric
    recipe: Recipe
    generator: Player
    opponent: Player | None
    generate: Callable[..., CodecOutput]  # the generator, as it is called in a step
    judged_samples: int  # of every row, that discriminators see
    autocast: torch.autocast

    def __call__(self, wav: Float[Tensor, "batch samples"], turn: Turn, plays: bool) -> Outcome:
        """One update, with or without the discriminators. The generator runs once for both players.

        Where the recipe says `one_pass`, discriminators judge once as well: the generator learns from what they are
        before their own update. Otherwise, as in WavTokenizer, from what they have become.
        """
        codec: Codec = self.generator.module
        with self.autocast:
            output = self.generate(wav, turn.num_pairs, turn.start_frame)
        made = output.decoded.wav
        report: dict[str, Tensor] = {}
        wanted = [name for name in RECONSTRUCTION if self.recipe.weights.get(name)]
        losses = reconstruction_losses(wanted, output, wav, codec)
        total = _weighted(losses, self.recipe.weights)
        if plays and self.opponent is not None:
            real, fake = self._judged(wav, turn), self._judged(made.detach(), turn)
            pull = self._adversarial(self.opponent, real, fake, turn, report)
            # the gradient of what discriminators say, which has been taken down to the decoded samples
            total = total + (self._judged(made, turn) * pull).sum()
        report |= losses
        report["grad_norm"], values, finite = self._descend(self.generator, total, turn.learning_rate, report)
        return Outcome(tuple(report), values, finite)

    def _judged(self, wav: Tensor, turn: Turn) -> Float[Tensor, "batch judged_samples"]:
        if wav.shape[1] == self.judged_samples:
            return wav
        return wav.index_select(1, turn.judged_from + torch.arange(self.judged_samples, device=wav.device))

    def _adversarial(
        self, opponent: Player, real: Tensor, fake: Tensor, turn: Turn, report: dict[str, Tensor]
    ) -> Float[Tensor, "batch judged_samples"]:
        """Update the discriminators; the gradient of the generator's adversarial losses to the decoded samples."""
        adversary: Adversary = opponent.module
        fake.requires_grad_()
        with self.autocast:
            if real.device.type == "cpu":  # no gradient has to pass through real rows to the decoded ones
                truth, lie = opponent.wrapped(real), opponent.wrapped(fake)
            else:  # half as many kernels
                truth, lie = split_all(opponent.wrapped(torch.cat([real, fake])), len(real))
            losses = adversary.discriminator_losses(truth, lie)
        opinions: dict[str, Tensor] = {}
        pulls = []
        if self.recipe.one_pass:
            opinions = adversary.generator_losses(truth, lie)
            pulls.append(self._pull(opinions, fake, turn, retain_graph=True))
        weights = {name: self.recipe.weights.get(name, 1.0) for name in losses}
        norm, _, _ = self._descend(opponent, _weighted(losses, weights), turn.discriminator_learning_rate, losses)
        if left := adversary.frozen if self.recipe.one_pass else list(adversary.sets):
            with self.autocast:
                rest = adversary.generator_losses(*adversary.still(real, fake, left))
            pulls.append(self._pull(rest, fake, turn))
            opinions |= rest
        report |= losses | {"discriminator_norm": norm} | opinions
        return sum(pulls[1:], pulls[0])

    def _pull(self, opinions: dict[str, Tensor], fake: Tensor, turn: Turn, retain_graph: bool = False) -> Tensor:
        weights = {name: self.recipe.weights.get(name, 0.0) for name in opinions}
        return torch.autograd.grad(turn.say * _weighted(opinions, weights), fake, retain_graph=retain_graph)[0]

    def _descend(
        self, player: Player, loss: Tensor, learning_rate: Tensor, report: Mapping[str, Tensor]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, " names"], Bool[Tensor, ""]]:
        """One step of the player's optimisers, unless something is no number.

        The gradient's norm before clipping, the values of the report and that norm, and whether all are numbers.
        """
        parameters = [p for p in player.module.parameters() if p.requires_grad]
        for p in parameters:
            p.grad = None
        self.fabric.backward(loss, inputs=parameters)
        parameters = [p for p in parameters if p.grad is not None]
        many = True if loss.device.type == "cuda" else None  # one kernel for many tensors
        norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None], foreach=many)
        if self.recipe.clip is not None:
            nn.utils.clip_grads_with_norm_(parameters, self.recipe.clip, norm, foreach=many)
        values = torch.stack([value.detach().float() for value in (*report.values(), norm)])
        finite = values.sum().isfinite()
        adamw, *muon = player.optimizers
        for group in adamw.param_groups:
            group["lr"] = learning_rate
        # what PyTorch's own loss scaling sets: a fused optimiser leaves everything as it is where this is 1
        adamw.found_inf = (~finite).float()  # type: ignore[attr-defined]
        for group in (group for optimizer in muon for group in optimizer.param_groups):
            for p in group["params"]:
                p.grad = None if p.grad is None else torch.where(finite, p.grad, 0.0)
        for optimizer in player.optimizers:
            optimizer.step()
        return norm, values, finite


def _weighted(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> Float[Tensor, ""]:
    values = torch.stack(list(losses.values()))
    return (values * _constant(tuple(weights[name] for name in losses), values.device)).sum()


@cache
def _constant(numbers: tuple[float, ...], device: torch.device) -> Tensor:
    return torch.tensor(numbers, device=device)
