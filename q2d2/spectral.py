"""STFT, "same"-padded inverse STFT and mel filters: the linear algebra between waveforms and spectra.

All of it runs in float32 whatever the autocast dtype. Knows nothing of models or files.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # made there, a cached tensor would be of no use to training afterwards
def _hann(length: int, device: torch.device) -> Tensor:
    return torch.hann_window(length, dtype=torch.float32, device=device)


def windowed_frames(wav: Float[Tensor, "batch samples"], width: int, hop: int) -> Float[Tensor, "batch frames width"]:
    """Hann-windowed frames, one per `hop` samples, frame t centred on sample (t + 1/2) hop; zeros outside the signal.

    frames = floor(samples / hop); a frame reaches (width - hop) / 2 samples beyond its hop on either side.
    """
    side = (width - hop) // 2
    return inner_frames(torch.nn.functional.pad(wav, (side, width - hop - side)), width, hop)


def inner_frames(wav: Float[Tensor, "batch samples"], width: int, hop: int) -> Float[Tensor, "batch frames width"]:
    """All Hann-windowed frames that lie within the signal, from its first sample on."""
    return wav.float().unfold(-1, width, hop) * _hann(width, wav.device)


def stft_same(wav: Float[Tensor, "batch samples"], n_fft: int, hop: int) -> Complex[Tensor, "batch frames bins"]:
    """The discrete Fourier transform of `windowed_frames`."""
    return torch.fft.rfft(windowed_frames(wav, n_fft, hop))


def istft_same(spectrum: Complex[Tensor, "batch frames bins"], n_fft: int, hop: int) -> Float[Tensor, "batch samples"]:
    """Least-squares inverse of `stft_same`: samples = frames * hop. `n_fft` is a multiple of `hop` (at least twice).

    Overlapped Hann-windowed frames over the overlapped squared window, at the edges at least half its inner value.
    """
    frames = synthesis_frames(spectrum, n_fft)
    envelope = (_hann(n_fft, spectrum.device) ** 2).expand(1, frames.shape[1], n_fft)
    side = (n_fft - hop) // 2
    samples = spectrum.shape[1] * hop
    total = overlap_add(frames, hop)[:, side : side + samples]
    return total / overlap_add(envelope, hop)[:, side : side + samples]


def synthesis_frames(spectrum: Complex[Tensor, "batch frames bins"], n_fft: int) -> Float[Tensor, "batch frames width"]:
    """What the inverse STFT adds up."""
    return torch.fft.irfft(spectrum, n=n_fft) * _hann(n_fft, spectrum.device)


def inner_overlap_add(frames: Float[Tensor, "batch frames width"], hop: int) -> Float[Tensor, "batch samples"]:
    """Least-squares sum of `synthesis_frames`, where all frames that reach a sample are there.

    width / hop - 1 hops fewer than frames; the first sample is the first one of the last of so many frames.
    """
    width = frames.shape[-1]
    missing = width // hop - 1
    window = _hann(width, frames.device)
    envelope = (window**2).unflatten(0, (-1, hop)).sum(0)  # the same in every hop
    total = overlap_add(frames, hop)[:, missing * hop : frames.shape[1] * hop]
    return (total.unflatten(-1, (-1, hop)) / envelope).flatten(1)


def overlap_add(frames: Float[Tensor, "batch frames width"], hop: int) -> Float[Tensor, "batch samples"]:
    batch, count, width = frames.shape
    parts = width // hop
    if parts * hop != width:
        raise ValueError(f"overlap-add needs a window that is a multiple of the hop, got {width} and {hop}")
    pieces = frames.reshape(batch, count, parts, hop)
    out = frames.new_zeros(batch, count + parts - 1, hop)
    for part in range(parts):
        out[:, part : part + count] += pieces[:, :, part]
    return out.flatten(1)


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def mel_filters(
    sample_rate_hz: int, n_fft: int, n_mels: int, fmin_hz: float = 0.0, fmax_hz: float | None = None
) -> Float[Tensor, "bins mels"]:
    """Triangular filters of unit height, even on the HTK mel scale: `librosa.filters.mel(htk=True, norm=None).T`."""
    top = sample_rate_hz / 2 if fmax_hz is None else fmax_hz
    lowest, highest = (2595 * np.log10(1 + f / 700) for f in (fmin_hz, top))
    edges_mel = np.linspace(lowest, highest, n_mels + 2)
    edges = 700 * (10 ** (edges_mel / 2595) - 1)
    bins = np.linspace(0, sample_rate_hz / 2, n_fft // 2 + 1)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return torch.from_numpy(np.maximum(0, np.minimum(rising, falling))).float()
