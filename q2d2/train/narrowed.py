"""Weights in the dtype that autocast wants, all at once: one by one, their casts are many of a GPU's kernels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from q2d2.codec import Codec, CodecOutput


class Narrowed:
    """A codec, called as it is, whose linear layers and convolutions find their weights cast already.

    The quantizer and the pitch, which are exact whatever the autocast dtype, keep theirs. For one process: what stands
    for a codec where there are many must be called itself.
    """

    def __init__(self, codec: Codec, dtype: torch.dtype) -> None:
        parts = (*codec.encoder.modules(), *codec.decoder.modules())
        layers = [part for part in parts if isinstance(part, nn.Linear | nn.Conv2d)]
        own = {p for layer in layers for p in layer.parameters(recurse=False) if p.requires_grad}
        self._weights = {name: p for name, p in codec.named_parameters() if p in own}
        self._codec, self._dtype = codec, dtype

    def __call__(self, *arguments: Any) -> CodecOutput:
        cast: tuple[Tensor, ...] = _Cast.apply(self._dtype, *self._weights.values())
        weights = dict(zip(self._weights, cast, strict=True))
        return functional_call(self._codec, weights, arguments)


class _Cast(torch.autograd.Function):
    """Tensors in another dtype, and their gradients back in their own."""

    @staticmethod
    def forward(ctx: Any, dtype: torch.dtype, *wide: Tensor) -> tuple[Tensor, ...]:
        ctx.dtype = wide[0].dtype
        return tuple(_copies(wide, dtype))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return None, *_copies(gradients, ctx.dtype)


def _copies(tensors: tuple[Tensor, ...], dtype: torch.dtype) -> list[Tensor]:
    copies = [torch.empty_like(x, dtype=dtype) for x in tensors]
    torch._foreach_copy_(copies, list(tensors))
    return copies
