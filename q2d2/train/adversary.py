"""The opponents of a run: sets of discriminators, their optimiser, their losses and the generator's, by name.

A set S gives `S_discriminator`, which it is trained on, and `S_adversarial` and `S_features`, which the generator is.
A frozen set is never trained, as WavTokenizer's DAC set never was (no optimiser held it): a random network whose
features are compared, and a nearly constant term.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from q2d2.train import adversarial
from q2d2.train.adversarial import split
from q2d2.train.discriminators import (
    LIGHT_MPD,
    LIGHT_MRD,
    DacSet,
    Discriminator,
    Judgement,
    MultiPeriod,
    MultiPeriodConfig,
    MultiResolution,
    MultiResolutionConfig,
)

Judge = Callable[[list[Judgement], list[Judgement]], Tensor]


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

    def forward(self, wav: Float[Tensor, "batch samples"]) -> dict[str, list[Judgement]]:
        """What each trained set makes of each row."""
        return {name: self.sets[name](wav) for name in self.trained}

    def discriminator_losses(
        self,
        judge: Callable[[Tensor], dict[str, list[Judgement]]],
        real: Float[Tensor, "batch samples"],
        made: Float[Tensor, "batch samples"],
    ) -> dict[str, Tensor]:
        """Losses of the trained sets. `judge` is this module, or what stands for it where there are many processes."""
        both = judge(torch.cat([real, made.detach()]))
        return {
            f"{name}_discriminator": SETS[name].style.discriminator(*split(judgements, len(real)))
            for name, judgements in both.items()
        }

    def generator_losses(
        self, real: Float[Tensor, "batch samples"], made: Float[Tensor, "batch samples"]
    ) -> dict[str, Tensor]:
        """Losses of whoever made `made`; the gradient passes through the discriminators and stays out of them."""
        losses: dict[str, Tensor] = {}
        with self._still():
            for name, judge in self.sets.items():
                style = SETS[name].style
                with torch.no_grad():
                    truth = judge(real)
                judgements = judge(made)
                losses[f"{name}_adversarial"] = style.generator(judgements)
                losses[f"{name}_features"] = style.features(truth, judgements)
        return losses

    @contextmanager
    def _still(self) -> Iterator[None]:
        """No gradients for the discriminators' own parameters: they would be computed and thrown away."""
        for name in self.trained:
            self.sets[name].requires_grad_(False)
        try:
            yield
        finally:
            for name in self.trained:
                self.sets[name].requires_grad_(True)
