"""What the `speech` encoder and decoder are made of: blocks whose frames see their neighbours, and ways around them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Reach(NamedTuple):
    """How many steps before and after its own one an output depends on."""

    before: int
    after: int


def kernel_reach(kernel: int, causal: bool) -> Reach:
    """The reach of a convolution whose kernel has a middle, or ends with its own step."""
    return Reach(kernel - 1, 0) if causal else Reach(kernel // 2, kernel // 2)


class ConvNeXtBlock(nn.Module):
    """[batch frames dim] -> the same: depthwise convolution over time, norm and pointwise MLP, added to the input.

    The convolution sees zeros beyond the ends, and as many frames before as after its own, or none after it if causal.
    It runs as a two-dimensional one, because [batch frames dim] is then already the channels-last layout, for which
    CPUs have a kernel twice as fast as the one-dimensional.
    """

    def __init__(
        self, dim: int, kernel: int, expansion: int = 3, layer_scale: float = 0.2, causal: bool = False
    ) -> None:
        super().__init__()
        self.reach = kernel_reach(kernel, causal)
        self.depthwise = nn.Conv2d(dim, dim, (1, kernel), groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.expand = nn.Linear(dim, expansion * dim)
        self.activation = nn.GELU(approximate="tanh")
        self.reduce = nn.Linear(expansion * dim, dim)
        self.gamma = nn.Parameter(torch.full((dim,), layer_scale))

    def forward(self, x: Float[Tensor, "batch frames dim"]) -> Float[Tensor, "batch frames dim"]:
        if self.reach.before == self.reach.after:  # the convolution pads by itself
            return self._added(x, x, self.reach.before)
        return self.inner(nn.functional.pad(x, (0, 0, *self.reach)))

    def inner(self, x: Float[Tensor, "batch frames dim"]) -> Float[Tensor, "batch inner_frames dim"]:
        """The same without padding: as many frames fewer as the reach, at either end."""
        return self._added(x[:, self.reach.before : x.shape[1] - self.reach.after], x, 0)

    def _added(
        self, own: Float[Tensor, "batch inner_frames dim"], x: Float[Tensor, "batch frames dim"], padding: int
    ) -> Float[Tensor, "batch inner_frames dim"]:
        """`own` and what the layers make of `x`, of which each frame sees its neighbours."""
        weight, bias = self.depthwise.weight, self.depthwise.bias
        image = x.transpose(1, 2).unsqueeze(2)
        mixed = nn.functional.conv2d(image, weight, bias, padding=(0, padding), groups=len(weight))
        normed = self.norm(mixed.squeeze(2).transpose(1, 2))
        return torch.addcmul(own, self.gamma, self.reduce(self.activation(self.expand(normed))))


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
