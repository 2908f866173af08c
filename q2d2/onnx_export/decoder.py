"""indices [batch frames pairs] -> wav [batch samples]: dequantisation and the decoder as one graph.

The codec's own layers and its own excitation, joined by real numbers in the place of complex ones. What lies before
and after the frames, the indices of silence, is put around them here.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from q2d2 import excitation
from q2d2.decoder import HarmonicDecoder, PitchHead
from q2d2.onnx_export.transforms import Spectrum, frames_of, hann, inverse, overlap_added, spectrum
from q2d2.onnx_export.weights import fits_half
from q2d2.quantizer import Q2D2


class PitchByProducts(nn.Module):
    """What `PitchHead` computes, as products of matrices: runtimes convolve in float32 only, and this is float64."""

    def __init__(self, head: PitchHead) -> None:
        super().__init__()
        self.kernel, self.depth, self.reach = head.kernel, head.depth, head.reach
        for layer, conv in enumerate(head.convs):
            weight = conv.get_parameter("weight").detach()  # [outputs, inputs, kernel]
            taps = weight.permute(2, 1, 0).flatten(0, 1).contiguous()
            self.register_buffer(f"taps{layer}", taps.half() if fits_half(taps) else taps)
            self.register_buffer(f"bias{layer}", conv.get_parameter("bias").detach())

    def forward(self, features: Float[Tensor, "batch frames dim"]) -> Float[Tensor, "batch steps"]:
        x = features.double()
        frames = x.shape[1]
        for layer in range(self.depth):
            # SiLU, spelt out: some runtimes fuse the usual spelling to an operation that they lack in float64
            active = x if layer == 0 else x / (1 + torch.exp(-x))
            around = nn.functional.pad(active, (0, 0, *self.reach))
            stacked = torch.cat([around[:, tap : tap + frames] for tap in range(self.kernel)], dim=-1)
            weight, bias = self.get_buffer(f"taps{layer}"), self.get_buffer(f"bias{layer}")
            x = torch.matmul(stacked, weight.double()) + bias.double()
        return math.log2(150) + (math.log2(520 / 150)) * torch.tanh(x / 2).flatten(1)


class DecoderGraph(nn.Module):
    """indices [batch frames pairs], of which the first `num_pairs` of a row count -> wav [batch samples]."""

    silence: Tensor
    codes: Tensor
    points: Tensor
    firsts: Tensor

    def __init__(self, quantizer: Q2D2, decoder: HarmonicDecoder, silence: Int64[Tensor, " pairs"]) -> None:
        super().__init__()
        self.decoder, self.project_out = decoder, quantizer.project_out
        self.pitch = PitchByProducts(decoder.pitch)
        self.register_buffer("silence", silence.clone())
        # one table of all pairs' codes, one after the other, each with a NaN behind it for what is no index
        most = max(quantizer.points)
        table = quantizer.indices_to_codes(torch.arange(most).view(1, most, 1).expand(-1, -1, quantizer.num_pairs))
        table = nn.functional.pad(table[0].transpose(0, 1), (0, 0, 0, 1), value=math.nan)
        self.register_buffer("codes", table.flatten(0, 1).contiguous())
        self.register_buffer("points", torch.tensor(quantizer.points))
        self.register_buffer("firsts", (most + 1) * torch.arange(quantizer.num_pairs))

    def forward(
        self, indices: Int64[Tensor, "batch frames pairs"], num_pairs: Int64[Tensor, " batch"]
    ) -> Float[Tensor, "batch samples"]:
        decoder = self.decoder
        lead, before, after = decoder.context
        upsample, hop, n_fft = decoder.config.upsample, decoder.config.hop_fine, decoder.config.n_fft
        batch, frames, pairs = indices.shape
        silent = self.silence.expand(batch, lead + after, pairs)
        around = torch.cat([silent[:, :lead], indices, silent[:, lead:]], dim=1)
        features = self._features(around, num_pairs)

        source = self._source(self.pitch(features))
        source = Spectrum(*(part[:, (lead - before) * upsample :] for part in source))
        x = decoder.coarse(features[:, lead - before :], num_pairs)
        level = source.magnitude()
        seen = torch.cat([torch.log(level + 1e-3), *(part / (level + 1e-6) for part in source)], dim=-1)
        fine = decoder.fine(decoder.per_fine_frame(decoder.up(x)) + decoder.source(seen))
        filtered = self._filtered(decoder.head(decoder.norm(fine)), decoder.envelope(x), source, -before * upsample)

        squares = hann(n_fft).square().float().expand(1, filtered.real.shape[1], n_fft)
        side = (n_fft - hop) // 2 + before * decoder.hop
        total = overlap_added(inverse(filtered, n_fft), hop)[:, side : side + frames * decoder.hop]
        return total / overlap_added(squares, hop)[:, side : side + frames * decoder.hop]

    def _features(self, indices: Tensor, num_pairs: Tensor) -> Tensor:
        """Features of the pairs that count, whatever stands in the others' columns."""
        counts = torch.arange(indices.shape[-1]) < num_pairs[:, None, None]
        is_index = (indices >= 0) & (indices < self.points)
        codes = self.codes[torch.where(is_index, indices, self.points) + self.firsts]
        return self.project_out(torch.where(counts.unsqueeze(-1), codes, 0.0).flatten(-2))

    def _source(self, log2_pitch: Tensor) -> Spectrum:
        """STFT of the harmonic source."""
        config, decoder = self.decoder.config, self.decoder
        frames = log2_pitch.shape[1] // config.pitch_steps
        # whole blocks, with the last pitch until the end: a phase that the exporter can tell the length of
        blocks = (frames + excitation.BLOCK - 1) // excitation.BLOCK
        missing = (blocks * excitation.BLOCK - frames) * config.pitch_steps
        last = log2_pitch[:, -1:].expand(-1, missing)
        pitch_hz = torch.exp2(torch.cat([log2_pitch, last], dim=1))
        step = decoder.hop // config.pitch_steps
        turning = excitation.phase(pitch_hz, step, excitation.BLOCK * decoder.hop, config.sample_rate_hz)
        wave = excitation.harmonics(turning, pitch_hz.repeat_interleave(step, dim=-1))
        side = (config.n_fft - config.hop_fine) // 2
        inner = wave[:, : frames * decoder.hop].float()
        padded = nn.functional.pad(inner, (side, config.n_fft - config.hop_fine - side))
        windowed = frames_of(padded, config.n_fft, config.hop_fine) * hann(config.n_fft).float()
        whole = spectrum(windowed, config.n_fft, config.n_fft // 2 + 1)
        return Spectrum(*(part / math.sqrt(config.n_fft) for part in whole))

    def _filtered(self, parameters: Tensor, envelope: Tensor | None, source: Spectrum, start: int) -> Spectrum:
        """Gains and phase shifts applied to harmonics and noise, from fine frame `start`."""
        tone, shift, breath = parameters.chunk(3, dim=-1)
        if envelope is not None:
            tone, breath = tone + envelope, breath + envelope
        frames, bins = source.real.shape[1:]
        phases = excitation.noise_phase(start + torch.arange(frames), 1, bins).squeeze(1)  # as if each began a row
        gain, noise = torch.exp(tone.clamp(max=6)), torch.exp(breath.clamp(max=6))
        cos, sin = gain * torch.cos(shift), gain * torch.sin(shift)
        scale = math.sqrt(self.decoder.config.n_fft)
        return Spectrum(
            (source.real * cos - source.imag * sin + noise * torch.cos(phases)) * scale,
            (source.real * sin + source.imag * cos + noise * torch.sin(phases)) * scale,
        )
