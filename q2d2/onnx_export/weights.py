"""Learnt weights in the least room: float16 where that loses nothing, int8 on request, and as they are otherwise.

The weights of a saved model are float16 values already, so a graph that holds them as such and widens them as it is
loaded computes exactly what the model does, at half the size. int8 has one scale for each output of a layer.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn

from q2d2.codec import Codec

_LARGE = 4096  # weights; smaller layers are not worth rounding


class HalfLinear(nn.Module):
    """A linear layer whose weights are float16 values."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.register_buffer("stored", layer.weight.detach().half().T.contiguous())
        self.bias = layer.bias
        self.in_features = layer.in_features

    def forward(self, x: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        y = torch.matmul(x, self.get_buffer("stored").float())
        return y if self.bias is None else y + self.bias


class ByteLinear(nn.Module):
    """A linear layer whose weights are int8, times one scale for each output."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        whole, scale = _bytes(layer.weight.detach())
        self.register_buffer("stored", whole.T.contiguous())
        self.register_buffer("scale", scale.flatten())
        self.bias = layer.bias
        self.in_features = layer.in_features

    def forward(self, x: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        y = torch.matmul(x, self.get_buffer("stored").float() * self.get_buffer("scale"))
        return y if self.bias is None else y + self.bias


def rounded_to_bytes(codec: Codec) -> Codec:
    """The codec that an int8 export is: the same, with the weights of its large linear layers rounded."""
    rounded = copy.deepcopy(codec)
    for layer in _large_layers(rounded):
        whole, scale = _bytes(layer.weight.detach())
        layer.weight.data = whole.float() * scale
    rounded.measure_silence()
    return rounded


def pack(codec: Codec, int8: bool) -> None:
    """Replace the large linear layers of a codec by such as hold their weights in less room."""
    large = set(_large_layers(codec))
    for parent in list(codec.modules()):
        for name, child in list(parent.named_children()):
            if child not in large:
                continue
            if int8:
                setattr(parent, name, ByteLinear(child))
            elif fits_half(child.weight):
                setattr(parent, name, HalfLinear(child))


def fits_half(values: Tensor) -> bool:
    """Whether float16 holds these numbers exactly."""
    return torch.equal(values.half().to(values.dtype), values)


def _large_layers(codec: Codec) -> Iterator[nn.Linear]:
    """Linear layers of the encoder and the decoder; those around the quantizer decide about tokens, and are small."""
    for part in (codec.encoder, codec.decoder):
        for layer in part.modules():
            if isinstance(layer, nn.Linear) and layer.weight.numel() >= _LARGE:
                yield layer


def _bytes(weight: Float[Tensor, "outputs inputs"]) -> tuple[Tensor, Tensor]:
    """int8 and the scale of each output; the scale is such that rounding again changes nothing."""
    scale = (weight.abs().amax(1, keepdim=True) / 127).clamp(min=torch.finfo(torch.float32).tiny)
    return (weight / scale).round().to(torch.int8), scale
