"""Weights in the dtype that autocast wants, all at once: one by one, their casts are many of a GPU's kernels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from q2d2.codec import Codec, CodecOutput
from q2d2.decoder import PitchHead


class Narrowed:
    """A codec, called as it is, whose linear layers and convolutions find their weights cast already.

    The quantizer, which is exact whatever the autocast dtype, keeps its own; the pitch is decoded in float64. For one
    process: what stands for a codec where there are many must be called itself.
    """

    def __init__(self, codec: Codec, dtype: torch.dtype) -> None:
        parts = (*codec.encoder.modules(), *codec.decoder.modules())
        layers = [part for part in parts if isinstance(part, nn.Linear | nn.Conv2d)]
        heads = [part for head in parts if isinstance(head, PitchHead) for part in head.convs]
        names = {p: name for name, p in codec.named_parameters() if p.requires_grad}
        self._codec = codec
        self._weights = {
            wanted: {names[p]: p for layer in own for p in layer.parameters(recurse=False) if p in names}
            for wanted, own in ((dtype, layers), (torch.float64, heads))
        }

    def __call__(self, *arguments: Any) -> CodecOutput:
        cast: dict[str, Tensor] = {}
        for dtype, weights in self._weights.items():
            if weights:
                cast |= zip(weights, _Cast.apply(dtype, *weights.values()), strict=True)
        return functional_call(self._codec, cast, arguments)


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
