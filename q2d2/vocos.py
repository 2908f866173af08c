"""features [batch frames dim] -> wav [batch samples]: WavTokenizer's Vocos, for the paper's presets.

Everything happens at the frame rate: an embedding, two residual blocks, self-attention, two more, twelve
ConvNeXt blocks; then one linear layer writes a spectrum per frame, and an inverse STFT with a window of four
hops makes the waveform. Group norm and attention look at all frames at once, so neither chunks nor
zero-padded batches decode as the whole does: one clip at a time, or clips of equal length.

The reference conditions its layer norms on a "bandwidth id" drawn at random in training and constant
afterwards. It has no meaning, so the norms here are plain; all other sizes are the reference's, and tests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from q2d2.decoder import Decoded, Decoder
from q2d2.spectral import istft_same

GROUPS = 32  # of the group norms
MAX_MAGNITUDE = 100.0  # of a spectral bin: keeps the exponential from running away early in training


@dataclass(frozen=True)
class VocosConfig:
    """A `VocosDecoder` as data: `dim` channels in, one frame every `hop` samples out."""

    dim: int = 512
    width: int = 768
    inner: int = 2304
    layers: int = 12
    hop: int = 450
    dropout: float = 0.1
    kind: Literal["vocos"] = "vocos"

    def __post_init__(self) -> None:
        if min(self.dim, self.inner, self.layers, self.hop) < 1:
            raise ValueError(f"dim, inner, layers and hop must be at least 1, got {self}")
        if self.width < 1 or self.width % GROUPS:
            raise ValueError(f"the Vocos width must be a multiple of its {GROUPS} norm groups, got {self.width}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is a probability below 1, got {self.dropout}")

    @property
    def n_fft(self) -> int:
        """Window of the inverse STFT, in samples: four hops, as in both released models."""
        return 4 * self.hop


def _group_norm(width: int) -> nn.GroupNorm:
    return nn.GroupNorm(GROUPS, width, eps=1e-6)


class ResNetBlock(nn.Module):
    """[batch width frames] -> the same: twice norm, SiLU and a convolution over 3 frames, residual."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            _group_norm(width),
            nn.SiLU(),
            nn.Conv1d(width, width, 3, padding=1),
            _group_norm(width),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Conv1d(width, width, 3, padding=1),
        )

    def forward(self, x: Float[Tensor, "batch width frames"]) -> Float[Tensor, "batch width frames"]:
        return x + self.branch(x)


class AttentionBlock(nn.Module):
    """[batch width frames] -> the same: every frame attends to all, residual.

    One head as wide as the features, no mask and no positions: the convolutions around it tell frames apart.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = _group_norm(width)
        self.query = nn.Conv1d(width, width, 1)
        self.key = nn.Conv1d(width, width, 1)
        self.value = nn.Conv1d(width, width, 1)
        self.out = nn.Conv1d(width, width, 1)

    def forward(self, x: Float[Tensor, "batch width frames"]) -> Float[Tensor, "batch width frames"]:
        normed = self.norm(x)
        query, key, value = (conv(normed).transpose(1, 2) for conv in (self.query, self.key, self.value))
        mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        return x + self.out(mixed.transpose(1, 2))


class ConvNeXt(nn.Module):
    """[batch frames width] -> the same: depthwise convolution over 7 frames, norm and MLP, residual."""

    def __init__(self, width: int, inner: int, layer_scale: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width))
        self.gamma = nn.Parameter(torch.full((width,), layer_scale))

    def forward(self, x: Float[Tensor, "batch frames width"]) -> Float[Tensor, "batch frames width"]:
        mixed = self.depthwise(x.transpose(1, 2)).transpose(1, 2)
        return x + self.gamma * self.mlp(self.norm(mixed))


class ISTFTHead(nn.Module):
    """[batch frames width] -> wav [batch samples], samples = frames * hop.

    A linear layer gives log magnitude and phase of every bin. The spectrum and its inverse are float32 under
    any autocast.
    """

    def __init__(self, width: int, n_fft: int, hop: int) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.hop = hop
        self.project = nn.Linear(width, n_fft + 2)

    def forward(self, x: Float[Tensor, "batch frames width"]) -> Float[Tensor, "batch samples"]:
        log_magnitude, phase = self.project(x).float().chunk(2, dim=-1)
        with torch.autocast(x.device.type, enabled=False):
            # clamped before the exponential, which gives the same values and no inf * 0 in the gradient
            magnitude = torch.exp(log_magnitude.clamp(max=math.log(MAX_MAGNITUDE)))
            return istft_same(torch.polar(magnitude, phase), self.n_fft, self.hop)


class VocosDecoder(Decoder):
    """features [batch frames dim] -> wav [batch samples], samples = frames * hop."""

    def __init__(self, config: VocosConfig) -> None:
        super().__init__()
        self.config = config
        self.hop = config.hop
        width = config.width
        self.embed = nn.Conv1d(config.dim, width, 7, padding=3)
        self.pos_net = nn.Sequential(
            ResNetBlock(width, config.dropout),
            ResNetBlock(width, config.dropout),
            AttentionBlock(width),
            ResNetBlock(width, config.dropout),
            ResNetBlock(width, config.dropout),
            _group_norm(width),
        )
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.blocks = nn.Sequential(*(ConvNeXt(width, config.inner, 1 / config.layers) for _ in range(config.layers)))
        self.final_norm = nn.LayerNorm(width, eps=1e-6)
        self.head = ISTFTHead(width, config.n_fft, config.hop)
        # as in the reference: `pos_net` and `head` keep PyTorch's own initialisation
        self.embed.apply(_truncated_normal)
        self.blocks.apply(_truncated_normal)

    @property
    def context(self) -> None:
        return None

    def forward(
        self,
        features: Float[Tensor, "batch frames dim"],
        num_pairs: Int64[Tensor, " batch"] | None = None,
        start_frame: Int64[Tensor, " batch"] | None = None,
        skip: int = 0,
    ) -> Decoded:
        """Decode; it is not told the rate, and position means nothing to it."""
        x = self.pos_net(self.embed(features.transpose(1, 2))).transpose(1, 2)
        wav = self.head(self.final_norm(self.blocks(self.norm(x))))
        return Decoded(wav[:, skip * self.hop :], None)


def _truncated_normal(module: nn.Module) -> None:
    """Weights of standard deviation 0.02 within two units, zero biases (Vocos)."""
    if isinstance(module, nn.Conv1d | nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
