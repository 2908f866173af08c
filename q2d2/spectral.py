"""STFT, "same"-padded inverse STFT and mel filters: the linear algebra between waveforms and spectra.

All of it runs in float32 whatever the autocast dtype. Knows nothing of models or files.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor


# Constants are never dropped, as captured CUDA graphs go on reading them.
@cache
@torch.inference_mode(False)  # made there, a cached tensor would be of no use to training afterwards
def hann(length: int, device: torch.device) -> Float[Tensor, " length"]:
    """The periodic Hann window."""
    return torch.hann_window(length, dtype=torch.float32, device=device)


@cache
@torch.inference_mode(False)
def ones(length: int, device: torch.device) -> Float[Tensor, " length"]:
    """The rectangular window."""
    return torch.ones(length, device=device)


def windowed_frames(wav: Float[Tensor, "batch samples"], width: int, hop: int) -> Float[Tensor, "batch frames width"]:
    """Hann-windowed frames, one per `hop` samples, frame t centred on sample (t + 1/2) hop; zeros outside the signal.

    frames = floor(samples / hop); a frame reaches (width - hop) / 2 samples beyond its hop on either side.
    """
    side = (width - hop) // 2
    return inner_frames(torch.nn.functional.pad(wav, (side, width - hop - side)), width, hop)


def inner_frames(wav: Float[Tensor, "batch samples"], width: int, hop: int) -> Float[Tensor, "batch frames width"]:
    """All Hann-windowed frames that lie within the signal, from its first sample on."""
    return wav.float().unfold(-1, width, hop) * hann(width, wav.device)


def stft_same(wav: Float[Tensor, "batch samples"], n_fft: int, hop: int) -> Complex[Tensor, "batch frames bins"]:
    """The discrete Fourier transform of `windowed_frames`."""
    return torch.fft.rfft(windowed_frames(wav, n_fft, hop))


def istft_same(spectrum: Complex[Tensor, "batch frames bins"], n_fft: int, hop: int) -> Float[Tensor, "batch samples"]:
    """Least-squares inverse of `stft_same`: samples = frames * hop. `n_fft` is a multiple of `hop` (at least twice).

    Overlapped Hann-windowed frames over the overlapped squared window, at the edges at least half its inner value.
    """
    frames = synthesis_frames(spectrum, n_fft)
    envelope = (hann(n_fft, spectrum.device) ** 2).expand(1, frames.shape[1], n_fft)
    side = (n_fft - hop) // 2
    samples = spectrum.shape[1] * hop
    total = overlap_add(frames, hop)[:, side : side + samples]
    return total / overlap_add(envelope, hop)[:, side : side + samples]


def synthesis_frames(spectrum: Complex[Tensor, "batch frames bins"], n_fft: int) -> Float[Tensor, "batch frames width"]:
    """What the inverse STFT adds up."""
    return torch.fft.irfft(spectrum, n=n_fft) * hann(n_fft, spectrum.device)


def inner_overlap_add(frames: Float[Tensor, "batch frames width"], hop: int) -> Float[Tensor, "batch samples"]:
    """Least-squares sum of `synthesis_frames`, where all frames that reach a sample are there.

    width / hop - 1 hops fewer than frames; the first sample is the first one of the last of so many frames.
    """
    width = frames.shape[-1]
    missing = width // hop - 1
    window = hann(width, frames.device)
    envelope = (window**2).unflatten(0, (-1, hop)).sum(0)  # the same in every hop
    total = overlap_add(frames, hop)[:, missing * hop : frames.shape[1] * hop]
    return (total.unflatten(-1, (-1, hop)) / envelope).flatten(1)


def overlap_add(frames: Float[Tensor, "batch frames width"], hop: int) -> Float[Tensor, "batch samples"]:
    width = frames.shape[-1]
    parts = width // hop
    if parts * hop != width:
        raise ValueError(f"overlap-add needs a window that is a multiple of the hop, got {width} and {hop}")
    # added to each other whole: sums into slices would cost twice as many operations, and backwards four times
    pieces = frames.unflatten(-1, (parts, hop)).unbind(2)
    shifted = [torch.nn.functional.pad(own, (0, 0, part, parts - 1 - part)) for part, own in enumerate(pieces)]
    return sum(shifted[1:], shifted[0]).flatten(1)


def centred_stfts(
    wav: Float[Tensor, "batch samples"],
    windows: Sequence[Float[Tensor, " _width"]],
    hops: Sequence[int],
    pad_mode: str = "constant",
) -> tuple[Complex[Tensor, "batch _frames _bins"], ...]:
    """`torch.stft` under several windows, transposed: frame t centred on sample t * hop, the ends padded.

    Windows are multiples of their hops. All at once, for their gradients to be added up in place.
    """
    side = max(len(window) for window in windows) // 2
    padded = torch.nn.functional.pad(wav.float(), (side, side), mode=pad_mode)
    return _CentredStfts.apply(padded, side, tuple(hops), *windows)


class _CentredStfts(torch.autograd.Function):
    """Frames under each window -> rfft. Backwards irfft and overlap-add: cheaper than autograd's full-length inverse
    transform and its scattered sums, and in an order that does not change."""

    @staticmethod
    def forward(ctx: Any, padded: Tensor, side: int, hops: tuple[int, ...], *windows: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.shape, ctx.side, ctx.hops, ctx.windows = padded.shape, side, hops, windows
        samples = padded.shape[1] - 2 * side
        spectra = []
        for window, hop in zip(windows, hops, strict=True):
            start = side - len(window) // 2
            reached = padded[:, start : start + samples // hop * hop + len(window)]
            spectra.append(torch.fft.rfft(reached.unfold(1, len(window), hop) * window))
        return tuple(spectra)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        total = None
        for gradient, window, hop in zip(gradients, ctx.windows, ctx.hops, strict=True):
            if gradient is None:
                continue
            if total is None:
                total = window.new_zeros(ctx.shape)
            # irfft takes each inner bin for two, itself and its mirror image; here it stands for itself alone
            halved = gradient * _inner_half(gradient.shape[-1], gradient.device)
            pieces = torch.fft.irfft(halved, n=len(window), norm="forward").unflatten(-1, (-1, hop))
            frames, parts = pieces.shape[1:3]
            start = ctx.side - len(window) // 2
            hops = total[:, start : start + (frames + parts - 1) * hop].unflatten(1, (-1, hop))
            for part in range(parts):
                hops[:, part : part + frames].addcmul_(pieces[:, :, part], window[part * hop : (part + 1) * hop])
        return total, None, None, *[None] * len(ctx.windows)


@cache
@torch.inference_mode(False)
def _inner_half(bins: int, device: torch.device) -> Float[Tensor, " bins"]:
    factors = torch.full((bins,), 0.5, device=device)
    factors[0] = factors[-1] = 1.0
    return factors


def magnitudes(spectrum: Complex[Tensor, "batch frames bins"]) -> Float[Tensor, "batch frames bins"]:
    """`spectrum.abs()`, in half the time with its gradient, which is 0 for 0."""
    return _Magnitudes.apply(spectrum)


class _Magnitudes(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, spectrum: Tensor) -> Tensor:
        real, imag = spectrum.real, spectrum.imag
        size = torch.addcmul(real * real, imag, imag).sqrt_()
        ctx.save_for_backward(spectrum, size)
        return size

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        spectrum, size = ctx.saved_tensors
        return spectrum * (gradient / size.clamp(min=1e-20))


@cache
@torch.inference_mode(False)
def mel_filters(
    sample_rate_hz: int,
    n_fft: int,
    n_mels: int,
    fmin_hz: float = 0.0,
    fmax_hz: float | None = None,
    device: torch.device | None = None,
) -> Float[Tensor, "bins mels"]:
    """Triangular filters of unit height, even on the HTK mel scale: `librosa.filters.mel(htk=True, norm=None).T`."""
    top = sample_rate_hz / 2 if fmax_hz is None else fmax_hz
    lowest, highest = (2595 * np.log10(1 + f / 700) for f in (fmin_hz, top))
    edges_mel = np.linspace(lowest, highest, n_mels + 2)
    edges = 700 * (10 ** (edges_mel / 2595) - 1)
    bins = np.linspace(0, sample_rate_hz / 2, n_fft // 2 + 1)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return torch.from_numpy(np.maximum(0, np.minimum(rising, falling))).float().to(device)
