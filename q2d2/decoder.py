"""features [batch frames dim] -> wav [batch samples]: what a decoder is, and that of the `speech` preset.

Convolutions at 53.3 frames a second, upsampled by 5, decide how to filter a source (`excitation`): for every bin of a
short inverse STFT a gain and a phase shift for the harmonics, and a gain for the noise. The pitch of the source is
decoded from the same features, in float64 so that rounding does not add up along the phase. Local in time, see
`context`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Complex, Float, Int64
from torch import Tensor, nn

from q2d2 import excitation
from q2d2.layers import Bypass, ConvNeXtBlock, kernel_reach
from q2d2.spectral import istft_same, mel_filters, stft_same


class Decoded(NamedTuple):
    """The waveform, and the pitch behind it where the decoder has one, which the trainer supervises."""

    wav: Float[Tensor, "batch samples"]  # at the codec's sample rate
    log2_pitch: Float[Tensor, "batch steps"] | None  # log2 Hz, float64; meaningful in voiced speech


class Context(NamedTuple):
    """Frames around a frame that its samples depend on: `before` and `after` through the network.

    `lead` frames in all come before, of which the first `lead - before` matter for the source's phase only.
    """

    lead: int
    before: int
    after: int


class Decoder(nn.Module, ABC):
    """features [batch frames dim] -> wav [batch samples], samples = frames * hop."""

    hop: int  # samples per frame

    @property
    @abstractmethod
    def context(self) -> Context | None:
        """What decoding in pieces must see around each piece; None if it must see the whole signal."""

    @abstractmethod
    def forward(
        self,
        features: Float[Tensor, "batch frames dim"],
        num_pairs: Int64[Tensor, " batch"],
        start_frame: Int64[Tensor, " batch"] | None = None,
        skip: int = 0,
    ) -> Decoded:
        """Decode features that hold the first `num_pairs` pairs of each row.

        `start_frame` is the absolute position of each row's first frame (default 0); the samples of the first `skip`
        frames are left out.
        """


@dataclass(frozen=True)
class HarmonicDecoderConfig:
    """A `HarmonicDecoder` as data. One frame is `upsample * hop_fine` samples; `num_pairs` is the largest rate."""

    features: int = 320
    dim: int = 384
    layers: int = 5
    kernel: int = 7
    fine_dim: int = 256
    fine_layers: int = 3
    upsample: int = 5
    hop_fine: int = 90
    n_fft: int = 360
    num_pairs: int = 18
    pitch_dim: int = 96
    pitch_steps: int = 3
    sample_rate_hz: int = 24000
    bypass: int = 0  # rank of a linear way from the coarse stage straight to the gains, by mel bands; 0: none
    causal: bool = False  # kernels end with their own frame; windows still reach 3/4 of `n_fft` further
    kind: Literal["harmonic"] = "harmonic"

    def __post_init__(self) -> None:
        sizes = (self.features, self.dim, self.fine_dim, self.upsample, self.hop_fine, self.num_pairs, self.pitch_dim)
        if min(sizes) < 1 or min(self.layers, self.fine_layers, self.bypass) < 0:
            raise ValueError(f"all sizes must be at least 1, layers and bypass at least 0, got {self}")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError(f"the kernel must be odd, so that a frame has a middle, got {self.kernel}")
        if self.n_fft % self.hop_fine or self.n_fft < 2 * self.hop_fine:
            raise ValueError(f"n_fft must be a multiple of hop_fine, at least twice, got {self.n_fft}, {self.hop_fine}")
        if self.pitch_steps < 1 or self.upsample * self.hop_fine % self.pitch_steps:
            raise ValueError(f"a frame does not divide into {self.pitch_steps} steps of the pitch")


class PitchHead(nn.Module):
    """features [batch frames dim] -> log2 of the pitch in Hz [batch steps]; three short convolutions in float64."""

    kernel = 5
    depth = 3

    def __init__(self, dim: int, hidden: int, steps: int, causal: bool = False) -> None:
        super().__init__()
        widths = [dim, hidden, hidden, steps]
        self.reach = kernel_reach(self.kernel, causal)  # of each convolution
        self.convs = nn.ModuleList(nn.Conv1d(widths[i], widths[i + 1], self.kernel) for i in range(self.depth))

    def forward(self, features: Float[Tensor, "batch frames dim"]) -> Float[Tensor, "batch steps"]:
        x = features.double()
        for layer in range(self.depth):
            x = self.inner(layer, nn.functional.pad(x, (0, 0, *self.reach)))
        return x.flatten(1)

    def inner(self, layer: int, x: Float[Tensor, "batch frames inputs"]) -> Float[Tensor, "batch inner_frames outputs"]:
        """One convolution without padding, and what comes after it; the last layer gives the pitch."""
        conv = self.convs[layer]
        assert isinstance(conv, nn.Conv1d) and conv.bias is not None
        weight, bias = conv.weight.double(), conv.bias.double()
        # as a product of matrices, for which processors have float64 kernels; for convolutions few have
        y = nn.functional.linear(x.unfold(1, self.kernel, 1).flatten(2), weight.flatten(1), bias)
        if layer < self.depth - 1:
            return nn.functional.silu(y)
        # between 43 and 520 Hz, and 150 Hz when the head says nothing
        return math.log2(150) + (math.log2(520 / 150)) * torch.tanh(y / 2)


class HarmonicDecoder(Decoder):
    """features [batch frames dim] and pairs kept [batch] -> wav [batch samples]. Starts at multiples of `BLOCK`."""

    bands = 80  # of the envelope in the bypass
    spread: Tensor  # [bands bins]: from bands to the bins of the inverse STFT

    def __init__(self, config: HarmonicDecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.hop = config.upsample * config.hop_fine
        bins = config.n_fft // 2 + 1
        self.pitch = PitchHead(config.features, config.pitch_dim, config.pitch_steps, config.causal)
        self.embed = nn.Linear(config.features, config.dim)
        self.rate = nn.Embedding(config.num_pairs + 1, config.dim)
        self.blocks = nn.Sequential(*(self._block(config.dim) for _ in range(config.layers)))
        self.up = nn.Linear(config.dim, config.upsample * config.fine_dim)
        self.source = nn.Linear(3 * bins, config.fine_dim)
        self.fine = nn.Sequential(*(self._block(config.fine_dim) for _ in range(config.fine_layers)))
        self.norm = nn.LayerNorm(config.fine_dim)
        self.head = nn.Linear(config.fine_dim, 3 * bins)
        self.bypass = Bypass(config.dim, config.upsample * self.bands, config.bypass) if config.bypass else None
        tents = mel_filters(config.sample_rate_hz, config.n_fft, self.bands)
        self.register_buffer("spread", (tents / tents.sum(1, keepdim=True).clamp(min=1e-6)).T, persistent=False)
        nn.init.normal_(self.rate.weight, std=0.02)
        nn.init.normal_(self.head.weight, std=0.02)
        with torch.no_grad():  # start as a quiet vocoder: the source's own phase, more tone than noise
            self.head.bias.copy_(torch.tensor([-3.0, 0.0, -5.0]).repeat_interleave(bins))

    def _block(self, dim: int) -> ConvNeXtBlock:
        return ConvNeXtBlock(dim, self.config.kernel, causal=self.config.causal)

    @property
    def context(self) -> Context:
        config, kernel = self.config, kernel_reach(self.config.kernel, self.config.causal)
        windows = math.ceil(config.n_fft / config.hop_fine)
        fine = math.ceil((config.fine_layers * kernel.before + windows) / config.upsample)
        network = config.layers * kernel.before + fine
        pitch = PitchHead.depth * self.pitch.reach.before + 1 + fine
        # the phase in a block rests on the pitch since the start of the block before it
        lead = network + 2 * excitation.BLOCK + pitch
        after = math.ceil(self.look_ahead_samples / self.hop)
        return Context(-(-lead // excitation.BLOCK) * excitation.BLOCK, network, after)

    @property
    def look_ahead_samples(self) -> int:
        """Samples after itself that must have been decoded to features before a sample is final."""
        config, after = self.config, kernel_reach(self.config.kernel, self.config.causal).after
        window = (config.n_fft - config.hop_fine) // 2
        coarse = config.layers * after * self.hop
        # the source is interpolated between the middles of steps, and its spectrum comes in whole fine frames
        source = PitchHead.depth * self.pitch.reach.after * self.hop + self.hop // config.pitch_steps // 2 + window
        source = -(-source // config.hop_fine) * config.hop_fine
        return max(coarse, source) + config.fine_layers * after * config.hop_fine + window

    def forward(
        self,
        features: Float[Tensor, "batch frames dim"],
        num_pairs: Int64[Tensor, " batch"],
        start_frame: Int64[Tensor, " batch"] | None = None,
        skip: int = 0,
    ) -> Decoded:
        log2_pitch = self.pitch(features)
        with torch.no_grad():
            source = self._source(log2_pitch)[:, skip * self.config.upsample :]
        x = self.coarse(features[:, skip:], num_pairs)
        stacked = self.per_fine_frame(self.up(x)) + self.seen(source)
        fine = self.fine(stacked.to(self.norm.weight.dtype))  # not in autocast's: what blocks add to stays exact
        start = torch.zeros_like(num_pairs) if start_frame is None else start_frame
        spectrum = self.filtered(fine, self.envelope(x), source, (start + skip) * self.config.upsample)
        return Decoded(istft_same(spectrum, self.config.n_fft, self.config.hop_fine), log2_pitch)

    def coarse(
        self, features: Float[Tensor, "batch frames dim"], num_pairs: Int64[Tensor, " batch"]
    ) -> Float[Tensor, "batch frames width"]:
        """The stage at one step a frame, which all later ones take what they know of the features from."""
        return self.blocks(self.conditioned(features, num_pairs))

    def conditioned(
        self, features: Float[Tensor, "batch frames dim"], num_pairs: Int64[Tensor, " batch"]
    ) -> Float[Tensor, "batch frames width"]:
        """What the coarse stage begins with: the features, and how many pairs they are made of."""
        return self.embed(features) + self.rate(num_pairs).unsqueeze(1)

    def per_fine_frame(self, x: Float[Tensor, "batch frames stacked"]) -> Float[Tensor, "batch fine_frames channels"]:
        """The fine frames of each frame, one after the other."""
        return x.unflatten(-1, (self.config.upsample, -1)).flatten(1, 2)

    def _source(self, log2_pitch: Tensor) -> Tensor:
        """STFT of the harmonic source [batch fine_frames bins]."""
        config = self.config
        pitch_hz = torch.exp2(log2_pitch)
        step = self.hop // config.pitch_steps
        turning = excitation.phase(pitch_hz, step, excitation.BLOCK * self.hop, config.sample_rate_hz)
        wave = excitation.harmonics(turning, pitch_hz.repeat_interleave(step, dim=-1))
        return stft_same(wave.float(), config.n_fft, config.hop_fine) / math.sqrt(config.n_fft)

    def seen(self, source: Complex[Tensor, "batch fine_frames bins"]) -> Float[Tensor, "batch fine_frames fine_width"]:
        """The source as the fine stage sees it: level and direction of each bin; no gradient goes to the pitch."""
        with torch.no_grad():
            level = torch.log(source.abs() + 1e-3)
            direction = source / (source.abs() + 1e-6)
            channels = torch.cat([level, direction.real, direction.imag], dim=-1)
        return self.source(channels)

    def envelope(self, x: Float[Tensor, "batch frames width"]) -> Float[Tensor, "batch fine_frames bins"] | None:
        """One envelope for harmonics and noise, linear between the middles of the bands, from the coarse stage."""
        return None if self.bypass is None else self.per_fine_frame(self.bypass(x)).float() @ self.spread

    def filtered(
        self,
        fine: Float[Tensor, "batch fine_frames fine_width"],
        envelope: Float[Tensor, "batch fine_frames bins"] | None,
        source: Complex[Tensor, "batch fine_frames bins"],
        start: Int64[Tensor, " batch"],
    ) -> Complex[Tensor, "batch fine_frames bins"]:
        """Gains and phase shifts applied to harmonics and noise, from fine frame `start`; always in float32."""
        parameters = self.head(self.norm(fine)).float()
        with torch.autocast(parameters.device.type, enabled=False):
            tone, shift, breath = parameters.chunk(3, dim=-1)
            if envelope is not None:
                tone, breath = tone + envelope, breath + envelope
            phases = excitation.noise_phase(start, source.shape[1], source.shape[2])
            scale = math.sqrt(self.config.n_fft)
            gain, loudness = (scale * torch.exp(x.clamp(max=6)) for x in (tone, breath))
            # in real numbers: complex ones take a CPU several times as long, and compilers have no code for them
            along, across = gain * shift.cos(), gain * shift.sin()
            real = torch.addcmul(loudness * phases.cos(), source.real, along).addcmul(source.imag, across, value=-1)
            imag = torch.addcmul(loudness * phases.sin(), source.real, across).addcmul(source.imag, along)
            return torch.complex(real, imag)
