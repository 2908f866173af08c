"""The opponents of a run: sets of discriminators, their optimiser, their losses and the generator's, by name.

A set S gives `S_discriminator`, which it is trained on, and `S_adversarial` and `S_features`, which the generator is.
A frozen set is never trained, as WavTokenizer's DAC set never was (no optimiser held it): a random network whose
features are compared, and a nearly constant term.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from q2d2.train import adversarial
from q2d2.train.adversarial import split
from q2d2.train.discriminators import (
    LIGHT_MPD,
    LIGHT_MRD,
    MIDDLE_MRD,
    DacSet,
    Discriminator,
    Judgement,
    MultiPeriod,
    MultiPeriodConfig,
    MultiResolution,
    MultiResolutionConfig,
)

Judge = Callable[[list[Judgement], list[Judgement]], Tensor]
Judgements = dict[str, list[Judgement]]  # by the name of the set


@dataclass(frozen=True)
class Style:
    """The three losses of a set."""

    discriminator: Judge
    generator: Callable[[list[Judgement]], Tensor]
    features: Judge


HINGE = Style(adversarial.hinge_discriminator, adversarial.hinge_generator, adversarial.hinge_features)
LSGAN = Style(adversarial.lsgan_discriminator, adversarial.lsgan_generator, adversarial.lsgan_features)


@dataclass(frozen=True)
class SetConfig:
    """How a set is made, what it is trained on, and whether it is."""

    make: Callable[[], Discriminator]
    style: Style = HINGE
    trained: bool = True


SETS = {
    "mpd": SetConfig(lambda: MultiPeriod(MultiPeriodConfig())),
    "mrd": SetConfig(lambda: MultiResolution(MultiResolutionConfig())),
    "dac": SetConfig(DacSet, LSGAN),
    "frozen_dac": SetConfig(DacSet, LSGAN, trained=False),
    "light": SetConfig(lambda: DacSet(LIGHT_MPD, LIGHT_MRD, floor=0.05)),
    "middle": SetConfig(lambda: DacSet(LIGHT_MPD, MIDDLE_MRD, floor=0.05)),
}


class Adversary(nn.Module):
    """The sets of one run, of which some are trained."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        if unknown := set(names) - set(SETS):
            raise ValueError(f"there are no discriminators {', '.join(unknown)}: choose from {', '.join(SETS)}")
        self.sets = nn.ModuleDict({name: SETS[name].make() for name in names})
        self.trained = [name for name in names if SETS[name].trained]
        for name in names:
            self.sets[name].requires_grad_(name in self.trained)

    @property
    def frozen(self) -> list[str]:
        return [name for name in self.sets if name not in self.trained]

    def forward(self, wav: Float[Tensor, "batch samples"], names: Sequence[str] | None = None) -> Judgements:
        """What each of the named sets, by default the trained ones, makes of each row."""
        return {name: self.sets[name](wav) for name in (self.trained if names is None else names)}

    def still(
        self, real: Float[Tensor, "batch samples"], fake: Float[Tensor, "batch samples"], names: Sequence[str]
    ) -> tuple[Judgements, Judgements]:
        """What the named sets make of real and fake rows, with gradients to the fake rows and to nothing else."""
        detached = {name: p.detach() for name, p in self.named_parameters()}
        with torch.no_grad():
            truth = functional_call(self, detached, (real, names))
        return truth, functional_call(self, detached, (fake, names))

    def discriminator_losses(self, truth: Judgements, made: Judgements) -> dict[str, Tensor]:
        """Losses of sets, from what they make of real rows and of decoded ones."""
        return {f"{name}_discriminator": SETS[name].style.discriminator(truth[name], made[name]) for name in made}

    def generator_losses(self, truth: Judgements, made: Judgements) -> dict[str, Tensor]:
        """Losses of whoever decoded the rows."""
        losses: dict[str, Tensor] = {}
        for name in made:
            losses[f"{name}_adversarial"] = SETS[name].style.generator(made[name])
            losses[f"{name}_features"] = SETS[name].style.features(truth[name], made[name])
        return losses


def split_all(judgements: Judgements, rows: int) -> tuple[Judgements, Judgements]:
    """Judgements of one batch -> those of its first `rows` rows, and those of the rest."""
    halves = {name: split(own, rows) for name, own in judgements.items()}
    return {name: first for name, (first, _) in halves.items()}, {name: rest for name, (_, rest) in halves.items()}
