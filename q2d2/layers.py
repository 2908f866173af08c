"""What the `speech` encoder and decoder are made of: blocks whose frames see their neighbours, and ways around them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class ConvNeXtBlock(nn.Module):
    """[batch frames dim] -> the same: depthwise convolution over time, norm and pointwise MLP, added to the input.

    The convolution sees zeros beyond the ends. It runs as a two-dimensional one, because [batch frames dim] is then
    already the channels-last layout, for which CPUs have a kernel twice as fast as the one-dimensional.
    """

    def __init__(self, dim: int, kernel: int, expansion: int = 3, layer_scale: float = 0.2) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(dim, dim, (1, kernel), padding=(0, kernel // 2), groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.expand = nn.Linear(dim, expansion * dim)
        self.activation = nn.GELU(approximate="tanh")
        self.reduce = nn.Linear(expansion * dim, dim)
        self.gamma = nn.Parameter(torch.full((dim,), layer_scale))

    def forward(self, x: Float[Tensor, "batch frames dim"]) -> Float[Tensor, "batch frames dim"]:
        mixed = self.depthwise(x.transpose(1, 2).unsqueeze(2)).squeeze(2).transpose(1, 2)
        return x + self.gamma * self.reduce(self.activation(self.expand(self.norm(mixed))))


class Bypass(nn.Module):
    """[batch frames inputs] -> [batch frames outputs]: a linear map of low rank, faint at first, around other layers.

    What is (nearly) linear in speech, above all its spectrum's envelope, need not be learnt through many layers, which
    takes long and may stop halfway.
    """

    def __init__(self, inputs: int, outputs: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Linear(inputs, rank, bias=False)
        self.up = nn.Linear(rank, outputs)
        nn.init.normal_(self.down.weight)
        nn.init.normal_(self.up.weight, std=0.02)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Float[Tensor, "batch frames inputs"]) -> Float[Tensor, "batch frames outputs"]:
        # inputs that move together would move the sum by far more than a step of the optimiser does elsewhere
        return self.up(self.down(x * self.down.in_features**-0.5))
