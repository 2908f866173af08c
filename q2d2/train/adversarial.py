"""Adversarial losses: pure functions of judgements, each a float32 scalar and a mean over the rows of the batch.

Two conventions, those of WavTokenizer's two kinds of sets. Hinge (HiFi-GAN by way of Vocos): means over the
sub-discriminators, and the logits count as one more map to match. Least squares (DAC): sums over them, and only the
maps before the logits are matched. `real` judgements are of recordings, `fake` ones of what the codec made of them.
Knows nothing of networks or of weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from q2d2.train.discriminators import Judgement
from q2d2.train.losses import shares_of


def split(judgements: list[Judgement], rows: int) -> tuple[list[Judgement], list[Judgement]]:
    """Judgements of one batch -> those of its first `rows` rows (the real ones) and those of the rest (the fake)."""
    halves = iter(_Split.apply(rows, *(x for features, logits in judgements for x in (*features, logits))))
    first, rest = [], []
    for features, _ in judgements:
        pairs = [(next(halves), next(halves)) for _ in (*features, None)]
        first.append(Judgement([x for x, _ in pairs[:-1]], pairs[-1][0]))
        rest.append(Judgement([x for _, x in pairs[:-1]], pairs[-1][1]))
    return first, rest


class _Split(torch.autograd.Function):
    """Each tensor -> its first rows, its other rows. Backwards all at once: slices would be filled up one by one."""

    @staticmethod
    def forward(ctx: Any, rows: int, *wholes: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.rows = rows
        ctx.save_for_backward(*wholes)
        return tuple(half for x in wholes for half in (x[:rows], x[rows:]))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        wholes: list[Tensor | None] = []
        halves, known = [], []  # where gradients go, and those
        for x, *pair in zip(ctx.saved_tensors, gradients[::2], gradients[1::2], strict=True):
            if pair == [None, None]:
                wholes.append(None)
                continue
            whole = torch.empty_like(x)
            wholes.append(whole)
            for half, gradient in zip((whole[: ctx.rows], whole[ctx.rows :]), pair, strict=True):
                if gradient is not None:
                    halves.append(half)
                    known.append(gradient)
        torch._foreach_zero_([x for x in wholes if x is not None])
        torch._foreach_copy_(halves, known)
        return None, *wholes


def hinge_discriminator(real: list[Judgement], fake: list[Judgement]) -> Float[Tensor, ""]:
    """relu(1 - real) + relu(1 + fake): 0 once each is beyond its side's margin, 2 for the undecided."""
    _check_alike(real, fake)
    return _mean((1 - _logits(real)).relu(), real) + _mean((1 + _logits(fake)).relu(), fake)


def hinge_generator(fake: list[Judgement]) -> Float[Tensor, ""]:
    """relu(1 - fake): nothing to gain beyond the margin, unlike with the more usual -fake."""
    return _mean((1 - _logits(fake)).relu(), fake)


def hinge_features(real: list[Judgement], fake: list[Judgement]) -> Float[Tensor, ""]:
    """L1 distance to the maps of the real rows, logits included: summed over maps, mean over sub-discriminators."""
    return _distance(real, fake, logits=True) / len(real)


def lsgan_discriminator(real: list[Judgement], fake: list[Judgement]) -> Float[Tensor, ""]:
    """(1 - real)^2 + fake^2, summed over sub-discriminators: 1 each for the undecided."""
    _check_alike(real, fake)
    return len(fake) * (_mean((1 - _logits(real)).square(), real) + _mean(_logits(fake).square(), fake))


def lsgan_generator(fake: list[Judgement]) -> Float[Tensor, ""]:
    """(1 - fake)^2, summed over sub-discriminators."""
    return len(fake) * _mean((1 - _logits(fake)).square(), fake)


def _check_alike(real: list[Judgement], fake: list[Judgement]) -> None:
    """ValueError for judgements of two different sets."""
    if len(real) != len(fake):
        raise ValueError(f"judgements of {len(real)} and of {len(fake)} sub-discriminators are not of one set")


def _logits(judgements: list[Judgement]) -> Float[Tensor, " logits"]:
    """Those of all sub-discriminators, one after the other, for as few operations as one of them would take."""
    return torch.cat([judgement.logits.flatten() for judgement in judgements]).float()


def _mean(values: Float[Tensor, " logits"], judgements: list[Judgement]) -> Float[Tensor, ""]:
    """The mean over sub-discriminators of the means over what their logits have become."""
    sizes = tuple(judgement.logits.numel() for judgement in judgements)
    return (values * shares_of(sizes, values.device)).sum()  # a product of vectors is rounded under autocast


def lsgan_features(real: list[Judgement], fake: list[Judgement]) -> Float[Tensor, ""]:
    """L1 distance to the maps of the real rows, logits excluded, summed over maps and sub-discriminators."""
    return _distance(real, fake, logits=False)


def _distance(real: list[Judgement], fake: list[Judgement], logits: bool) -> Float[Tensor, ""]:
    """Sum of mean absolute differences over maps, with the logits or without, of which only the fake side learns."""
    truth, made = ([x for j in side for x in (*j.features, *[j.logits] * logits)] for side in (real, fake))
    if len(truth) != len(made):
        raise ValueError(f"{len(made)} maps cannot be compared with {len(truth)}")
    return _Distance.apply(*(x.detach() for x in truth), *made)


class _Distance(torch.autograd.Function):
    """Maps of both sides -> their distance. In few launches, which one pair after the other would take hundreds of."""

    @staticmethod
    def forward(ctx: Any, *maps: Tensor) -> Tensor:
        real, fake = maps[: len(maps) // 2], maps[len(maps) // 2 :]
        differences = torch._foreach_sub(_cast(fake, torch.float32), _cast(real, torch.float32))
        ctx.dtype, ctx.shares = fake[0].dtype, [1 / x.numel() for x in fake]
        distances = torch._foreach_mul(torch._foreach_norm(differences, 1), ctx.shares)
        ctx.save_for_backward(*torch._foreach_sign(differences))
        return torch.stack(distances).sum()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        by_fake = torch._foreach_mul(torch._foreach_mul(ctx.saved_tensors, ctx.shares), gradient)
        return *[None] * len(by_fake), *_cast(by_fake, ctx.dtype)


def _cast(maps: Sequence[Tensor], dtype: torch.dtype) -> list[Tensor]:
    if maps[0].dtype == dtype:
        return [*maps]
    copies = [torch.empty_like(x, dtype=dtype) for x in maps]
    torch._foreach_copy_(copies, [*maps])
    return copies
