"""wav [batch samples] -> indices [batch frames pairs]: the encoder and the quantizer as one graph.

It is the codec's own encoder with other features in the place of its own: the same numbers, made of what ONNX has.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from q2d2.encoder import SpectralEncoder, SpectralFeatures
from q2d2.onnx_export.transforms import frames_of, hann, spectrum
from q2d2.quantizer import Q2D2
from q2d2.refinement import run_stages


class RealFeatures(nn.Module):
    """What `SpectralFeatures` computes, without complex numbers and strides."""

    mel: Tensor
    cosines: Tensor

    def __init__(self, features: SpectralFeatures) -> None:
        super().__init__()
        self.hop, self.reach, self.short_offset = features.hop, features.reach, features.short_offset
        self.short, self.long, self.n_fft = features.short, features.long, features.n_fft
        self.high_pass = features.high_pass
        self.low_bins, self.pitch_bins = features.low_bins, features.pitch_bins
        self.register_buffer("mel", features.get_buffer("mel"))
        self.register_buffer("cosines", features.get_buffer("cosines"))

    def forward(self, wav: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch frames channels"]:
        wav = nn.functional.pad(wav, tuple(self.reach))
        if self.high_pass is not None:
            wav = self.high_pass(wav)
        long = frames_of(wav, self.long, self.hop)
        frames = long[..., self.short_offset : self.short_offset + self.short] * hann(self.short).float()
        magnitude = spectrum(frames, self.short, self.short // 2 + 1).magnitude()
        mel = torch.log(magnitude @ self.mel / (self.short / 4) + 1e-4)
        samples = 0.3 * frames / (frames.square().mean(-1, keepdim=True).sqrt() + 1e-3)
        real, imag = spectrum(long * hann(self.long).float(), self.n_fft, self.pitch_bins)
        power = (real.square() + imag.square()) / (self.long / 4) ** 2
        low = 0.5 * torch.log(power[..., : self.low_bins].unflatten(-1, (-1, 2)).mean(-1) + 1e-8)
        acf = (power @ self.cosines) / (power.sum(-1, keepdim=True) + 1e-6)
        return torch.cat([(mel + 6) / 2, (low + 6) / 2, 2 * acf, samples], dim=-1)


class EncoderGraph(nn.Module):
    """wav [batch samples] -> indices [batch frames pairs], frames = samples / hop rounded up; silence lies around."""

    stage_table: Tensor
    parents: Tensor
    places: Tensor

    def __init__(self, encoder: SpectralEncoder, quantizer: Q2D2) -> None:
        super().__init__()
        self.encoder, self.quantizer = encoder, quantizer
        self.before, self.after = encoder.context
        self.hop = encoder.hop
        self.encoder.features = RealFeatures(encoder.features)  # type: ignore[assignment]
        for name, table in quantizer.tables().items():
            self.register_buffer(name, table.clone())

    def forward(self, wav: Float[Tensor, "batch samples"]) -> Int64[Tensor, "batch frames pairs"]:
        frames = (wav.shape[1] + self.hop - 1) // self.hop
        missing = frames * self.hop - wav.shape[1]
        padded = nn.functional.pad(wav, (self.before * self.hop, missing + self.after * self.hop))
        latent = self.encoder(padded)[:, self.before : self.before + frames]
        columns = [axis.flatten(0, 1).T for axis in self.quantizer.project(latent).unbind(-1)]
        stages = run_stages(columns, self.quantizer.stages, self.parents, self.stage_table)
        found = torch.cat([stage.indices for stage in stages])
        return found.index_select(0, self.places).T.unflatten(0, (wav.shape[0], frames)).to(torch.int64)
