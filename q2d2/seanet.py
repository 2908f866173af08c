"""wav [batch samples] -> latent [batch frames dim]: EnCodec's SEANet encoder, for the paper's presets.

Weight-normed convolutions in stages: each stage is a residual block and a strided convolution that shortens
the signal and doubles the channels. Then an LSTM beside a shortcut, then a last convolution. It is neither
causal (the convolutions look ahead) nor local (the LSTM remembers everything), so a file cannot be encoded
exactly in pieces, and padding at the end of a row changes its last frames.

Layers, padding and sizes follow the released WavTokenizer, on which the paper builds (Appendix A); parameter
counts are tests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import weight_norm

from q2d2.encoder import Encoder


@dataclass(frozen=True)
class SEANetConfig:
    """A `SEANetEncoder` as data. `strides` in the order of application; their product is the hop."""

    dim: int = 512
    width: int = 32
    strides: tuple[int, ...] = (3, 5, 5, 6)
    kernel: int = 7
    lstm_layers: int = 2
    kind: Literal["seanet"] = "seanet"

    def __post_init__(self) -> None:
        if not self.strides or min(self.strides) < 1:
            raise ValueError(f"SEANet needs strides of at least 1, got {self.strides}")
        if self.width < 2 or self.width % 2:
            raise ValueError(f"the SEANet width is halved inside residual blocks: it must be even, got {self.width}")
        if min(self.dim, self.kernel, self.lstm_layers) < 1:
            raise ValueError(f"dim, kernel and lstm_layers must be at least 1, got {self}")

    @property
    def hop(self) -> int:
        """Samples per frame."""
        return math.prod(self.strides)


class SameConv(nn.Module):
    """[batch channels samples] -> [batch outputs frames], frames = ceil(samples / stride) exactly.

    Weight-normed. Reflect padding of `kernel - stride` samples, the larger half on the left, and on the right
    what the last window lacks. A signal not longer than its padding is first extended by zeros, so that there
    is something to reflect.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = weight_norm(nn.Conv1d(inputs, outputs, kernel, stride))
        self.stride = stride
        self.right = (kernel - stride) // 2
        self.left = kernel - stride - self.right

    def forward(self, x: Float[Tensor, "batch inputs samples"]) -> Float[Tensor, "batch outputs frames"]:
        samples = x.shape[-1]
        right = self.right + -samples % self.stride
        missing = max(0, max(self.left, right) - samples + 1)
        padded = nn.functional.pad(nn.functional.pad(x, (0, missing)), (self.left, right), mode="reflect")
        return self.conv(padded[..., : padded.shape[-1] - missing])


class ResidualBlock(nn.Module):
    """[batch channels samples] -> the same: a kernel of 3 at half the width, and a learned shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.ELU(),
            SameConv(channels, channels // 2, kernel=3),
            nn.ELU(),
            SameConv(channels // 2, channels, kernel=1),
        )
        self.shortcut = SameConv(channels, channels, kernel=1)

    def forward(self, x: Float[Tensor, "batch channels samples"]) -> Float[Tensor, "batch channels samples"]:
        return self.shortcut(x) + self.branch(x)


def _downsample(channels: int, stride: int) -> nn.Sequential:
    """One stage: a residual block, then `stride` times shorter and twice as wide."""
    return nn.Sequential(
        ResidualBlock(channels), nn.ELU(), SameConv(channels, 2 * channels, kernel=2 * stride, stride=stride)
    )


class SEANetEncoder(Encoder):
    """wav [batch samples] -> latent [batch frames dim], frames = ceil(samples / hop) exactly.

    Initialised as PyTorch does. It works down to one sample. Untrained, it answers noise at -20 dBFS with
    a latent of standard deviation 0.03, so that a bounded quantizer starts in its central cells.
    """

    def __init__(self, config: SEANetConfig) -> None:
        super().__init__()
        self.config = config
        self.hop = config.hop
        widths = [config.width * 2**stage for stage in range(len(config.strides) + 1)]
        self.first = SameConv(1, config.width, config.kernel)
        self.stages = nn.Sequential(
            *(_downsample(width, stride) for width, stride in zip(widths[:-1], config.strides, strict=True))
        )
        self.lstm = nn.LSTM(widths[-1], widths[-1], config.lstm_layers, batch_first=True)
        self.last = nn.Sequential(nn.ELU(), SameConv(widths[-1], config.dim, config.kernel))

    @property
    def context(self) -> None:
        return None

    def forward(self, wav: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch frames dim"]:
        if wav.shape[-1] == 0:
            raise ValueError("the encoder needs at least one sample")
        x = self.stages(self.first(wav.unsqueeze(1))).transpose(1, 2)
        x = x + self.lstm(x)[0]
        return self.last(x.transpose(1, 2)).transpose(1, 2)

    def fold_weight_norm(self) -> None:
        """Replace every weight norm by the weight it stands for, in place: the same outputs, for inference.

        The state dict then holds `weight` where it held the norm's two factors. Nothing happens the second
        time.
        """
        for module in list(self.modules()):
            if parametrize.is_parametrized(module, "weight"):
                parametrize.remove_parametrizations(module, "weight")
