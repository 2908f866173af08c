"""Adversarial losses: pure functions of judgements, each a float32 scalar and a mean over the rows of the batch.

Two conventions, those of WavTokenizer's two kinds of sets. Hinge (HiFi-GAN by way of Vocos): means over the
sub-discriminators, and the logits count as one more map to match. Least squares (DAC): sums over them, and only the
maps before the logits are matched. `real` judgements are of recordings, `fake` ones of what the codec made of them.
Knows nothing of networks or of weights.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import l1_loss

from q2d2.train.discriminators import Judgement


def split(judgements: list[Judgement], rows: int) -> tuple[list[Judgement], list[Judgement]]:
    """Judgements of one batch -> those of its first `rows` rows (the real ones) and those of the rest (the fake)."""
    first = [Judgement([x[:rows] for x in features], logits[:rows]) for features, logits in judgements]
    rest = [Judgement([x[rows:] for x in features], logits[rows:]) for features, logits in judgements]
    return first, rest


def hinge_discriminator(real: list[Judgement], fake: list[Judgement]) -> Float[Tensor, ""]:
    """relu(1 - real) + relu(1 + fake): 0 once each is beyond its side's margin, 2 for the undecided."""
    terms = [
        (1 - of_real.logits.float()).relu().mean() + (1 + of_fake.logits.float()).relu().mean()
        for of_real, of_fake in zip(real, fake, strict=True)
    ]
    return torch.stack(terms).mean()


def hinge_generator(fake: list[Judgement]) -> Float[Tensor, ""]:
    """relu(1 - fake): nothing to gain beyond the margin, unlike with the more usual -fake."""
    return torch.stack([(1 - judgement.logits.float()).relu().mean() for judgement in fake]).mean()


def hinge_features(real: list[Judgement], fake: list[Judgement]) -> Float[Tensor, ""]:
    """L1 distance to the maps of the real rows, logits included: summed over maps, mean over sub-discriminators."""
    terms = [
        _distance([*of_real.features, of_real.logits], [*of_fake.features, of_fake.logits])
        for of_real, of_fake in zip(real, fake, strict=True)
    ]
    return torch.stack(terms).mean()


def lsgan_discriminator(real: list[Judgement], fake: list[Judgement]) -> Float[Tensor, ""]:
    """(1 - real)^2 + fake^2, summed over sub-discriminators: 1 each for the undecided."""
    terms = [
        (1 - of_real.logits.float()).square().mean() + of_fake.logits.float().square().mean()
        for of_real, of_fake in zip(real, fake, strict=True)
    ]
    return torch.stack(terms).sum()


def lsgan_generator(fake: list[Judgement]) -> Float[Tensor, ""]:
    """(1 - fake)^2, summed over sub-discriminators."""
    return torch.stack([(1 - judgement.logits.float()).square().mean() for judgement in fake]).sum()


def lsgan_features(real: list[Judgement], fake: list[Judgement]) -> Float[Tensor, ""]:
    """L1 distance to the maps of the real rows, logits excluded, summed over maps and sub-discriminators."""
    terms = [_distance(of_real.features, of_fake.features) for of_real, of_fake in zip(real, fake, strict=True)]
    return torch.stack(terms).sum()


def _distance(real: list[Tensor], fake: list[Tensor]) -> Float[Tensor, ""]:
    """Sum of mean absolute differences, of which only the fake side learns."""
    pairs = zip(real, fake, strict=True)
    return torch.stack([l1_loss(of_fake.float(), of_real.detach().float()) for of_real, of_fake in pairs]).sum()
