"""wav [batch samples] -> latent [batch frames dim]: what an encoder is, and that of the `speech` preset.

It looks at what the ear and a pitch tracker look at: a log-mel spectrum with a short window, the resolved harmonics
below 1.2 kHz, the normalised autocorrelation at 64 lags, and the windowed samples themselves, for what magnitudes do
not say; if the config says so, after a high-pass. From there small convolutions go from 160 to 53.3 frames a second.
Everything has a finite reach (`context` frames), so encoding a file whole, in pieces or in a batch is the same
arithmetic.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from q2d2.high_pass import HighPass
from q2d2.layers import Bypass, ConvNeXtBlock, Reach, kernel_reach
from q2d2.spectral import inner_frames, mel_filters


class Encoder(nn.Module, ABC):
    """wav [batch samples] -> latent [batch frames dim], frames = samples / hop rounded up."""

    hop: int  # samples per frame

    @property
    @abstractmethod
    def context(self) -> Reach | None:
        """Frames before and after a frame that its latent depends on; None if it depends on the whole signal."""

    @abstractmethod
    def forward(self, wav: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch frames dim"]:
        """Encode mono audio at the codec's sample rate."""


@dataclass(frozen=True)
class SpectralEncoderConfig:
    """A `SpectralEncoder` as data. hop = feature_hop * stride."""

    dim: int = 320
    fine_dim: int = 256
    fine_layers: int = 2
    layers: int = 3
    kernel: int = 5
    feature_hop: int = 150
    stride: int = 3
    sample_rate_hz: int = 24000
    bypass: int = 0  # rank of a linear way from a frame's features (samples aside) straight to its latent; 0: none
    causal: bool = False  # kernels and analysis windows end with their own frame: nothing after it is looked at
    high_pass_hz: float = 0.0  # what lies below is taken off first: a microphone's offset, rumble; 0: nothing is
    kind: Literal["spectral"] = "spectral"

    def __post_init__(self) -> None:
        sizes, counts = (self.dim, self.fine_dim, self.feature_hop, self.stride), (self.fine_layers, self.layers)
        if min(sizes) < 1 or min(*counts, self.bypass) < 0:
            raise ValueError(f"all sizes must be at least 1, layers and bypass at least 0, got {self}")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError(f"the kernel must be odd, so that a frame has a middle, got {self.kernel}")
        if not isinstance(self.high_pass_hz, int | float) or (self.high_pass_hz and not 10 <= self.high_pass_hz <= 100):
            raise ValueError(f"high_pass_hz is 0, for none, or from 10 to 100, got {self.high_pass_hz}")


class SpectralFeatures(nn.Module):
    """wav [batch samples] -> features [batch frames channels], one frame every `hop` samples; nothing is learnt.

    The windows are centred on the frame, or end with it if causal. They see what the high-pass leaves of the signal.
    """

    short, long, n_fft = 600, 1200, 2400
    mels, harmonics_hz, lags = 80, 1200, 64
    pitch_hz = (60.0, 500.0)

    def __init__(self, hop: int, sample_rate_hz: int, causal: bool = False, high_pass_hz: float = 0.0) -> None:
        super().__init__()
        self.hop = hop
        before, after = self._around(self.long, causal)
        self.short_offset = before - self._around(self.short, causal).before
        self.high_pass = HighPass(high_pass_hz, sample_rate_hz, math.gcd(hop, self.long)) if high_pass_hz else None
        self.reach = Reach(before + (self.high_pass.reach if self.high_pass else 0), after)  # samples beyond the hop
        spacing = sample_rate_hz / self.n_fft
        self.low_bins = int(self.harmonics_hz / spacing)
        self.channels = self.mels + self.low_bins // 2 + self.lags + self.short
        self.register_buffer("mel", mel_filters(sample_rate_hz, self.short, self.mels), persistent=False)
        # autocorrelation = cosine transform of the power spectrum (below 4 kHz), exact at fractional lags
        self.pitch_bins = int(4000 / spacing)
        lowest, highest = self.pitch_hz
        lag = torch.logspace(math.log10(1 / highest), math.log10(1 / lowest), self.lags, dtype=torch.float64)
        frequency = torch.arange(self.pitch_bins, dtype=torch.float64) * spacing
        window = torch.hann_window(self.long, dtype=torch.float64)
        window_power = torch.fft.rfft(window, n=8 * self.n_fft).abs() ** 2
        at = torch.fft.rfftfreq(8 * self.n_fft, 1 / sample_rate_hz, dtype=torch.float64)
        window_acf = torch.cos(2 * math.pi * lag[:, None] * at) @ window_power / window_power.sum()
        cosines = torch.cos(2 * math.pi * frequency[:, None] * lag) / window_acf.clamp(min=0.05)
        self.register_buffer("cosines", cosines.float(), persistent=False)

    def _around(self, width: int, causal: bool) -> Reach:
        after = 0 if causal else width - self.hop - (width - self.hop) // 2
        return Reach(width - self.hop - after, after)

    def forward(self, wav: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch frames channels"]:
        return self.inner(nn.functional.pad(wav, self.reach))

    @torch.no_grad()
    def inner(self, wav: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch frames channels"]:
        """The same without padding: of all long windows that lie within the signal, a high-pass's reach before them."""
        with torch.autocast(wav.device.type, enabled=False):
            wav = wav.float()
            if self.high_pass is not None:
                wav = self.high_pass(wav)
            count = (wav.shape[-1] - self.long) // self.hop + 1
            short = wav[:, self.short_offset :][:, : (count - 1) * self.hop + self.short]
            frames = inner_frames(short, self.short, self.hop)
            mel = torch.log(torch.fft.rfft(frames).abs() @ self.mel / (self.short / 4) + 1e-4)
            # at one level, and below that of the other features: they are to add to them, not to drown them
            samples = 0.3 * frames / (frames.square().mean(-1, keepdim=True).sqrt() + 1e-3)
            long = torch.fft.rfft(inner_frames(wav, self.long, self.hop), n=self.n_fft)
            power = long[..., : self.pitch_bins].abs().square() / (self.long / 4) ** 2
            low = 0.5 * torch.log(power[..., : self.low_bins].unflatten(-1, (-1, 2)).mean(-1) + 1e-8)
            acf = (power @ self.cosines) / (power.sum(-1, keepdim=True) + 1e-6)
            return torch.cat([(mel + 6) / 2, (low + 6) / 2, 2 * acf, samples], dim=-1)


class SpectralEncoder(Encoder):
    """wav [batch samples] -> latent [batch frames dim], frames = samples / hop; zeros lie outside the signal."""

    def __init__(self, config: SpectralEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.hop = config.feature_hop * config.stride
        self.features = SpectralFeatures(config.feature_hop, config.sample_rate_hz, config.causal, config.high_pass_hz)
        self.embed = nn.Linear(self.features.channels, config.fine_dim)
        self.fine = nn.Sequential(*(self._block(config.fine_dim) for _ in range(config.fine_layers)))
        self.merge = nn.Linear(config.stride * config.fine_dim, config.dim)
        self.blocks = nn.Sequential(*(self._block(config.dim) for _ in range(config.layers)))
        self.norm = nn.LayerNorm(config.dim)
        self.spectral = self.features.channels - self.features.short  # of the features, all but the samples
        self.bypass = Bypass(config.stride * self.spectral, config.dim, config.bypass) if config.bypass else None

    def _block(self, dim: int) -> ConvNeXtBlock:
        return ConvNeXtBlock(dim, self.config.kernel, causal=self.config.causal)

    @property
    def context(self) -> Reach:
        before, after = self.reach_samples
        return Reach(-(-before // self.hop), -(-after // self.hop))

    @property
    def reach_samples(self) -> Reach:
        """Samples before a frame's first and after its last one that its latent depends on."""
        config, kernel = self.config, kernel_reach(self.config.kernel, self.config.causal)
        of_kernels = config.layers * self.hop + config.fine_layers * config.feature_hop
        return Reach(*(ends + of_kernels * steps for ends, steps in zip(self.features.reach, kernel, strict=True)))

    def forward(self, wav: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch frames dim"]:
        if wav.shape[-1] % self.hop:
            raise ValueError(f"the encoder takes whole frames of {self.hop} samples, got {wav.shape[-1]} samples")
        features = self.features(wav)
        exact = self.norm.weight.dtype  # of what blocks add to, also where autocast makes the layers before narrower
        fine = self.per_frame(self.fine(self.embed(features).to(exact)))
        latent = self.norm(self.blocks(self.merge(fine).to(exact)))
        return latent if self.bypass is None else latent + self.bypass(self.spectral_frames(features))

    def spectral_frames(
        self, features: Float[Tensor, "batch fine_frames channels"]
    ) -> Float[Tensor, "batch frames stacked"]:
        """What the bypass sees of `features`."""
        return self.per_frame(features[..., : self.spectral])

    def per_frame(self, fine: Float[Tensor, "batch fine_frames channels"]) -> Float[Tensor, "batch frames stacked"]:
        """The fine frames of each frame, side by side."""
        return fine.unflatten(1, (-1, self.config.stride)).flatten(2)
