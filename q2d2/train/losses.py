"""Reconstruction losses: pure functions of waveforms and predictions, each a scalar under the name the log uses.

Each is a mean over the rows of a batch (and over time), so that a batch split over processes sums to the same. What
discriminators say is in `adversarial`.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from q2d2.spectral import centred_stfts, hann, magnitudes, mel_filters
from q2d2.train.pitch import Pitch

# window length -> mel bands; hop is a quarter of the window
SCALES = {2048: 160, 1024: 100, 512: 64, 256: 40, 128: 20}
FLOOR = 1e-3  # amplitudes below about -60 dBFS hardly count: they are noise, and most of a recording
PHASE_WINDOWS = (1024, 320)
MELS = ("log_mel", "root_mel")
SPECTRAL = (*MELS, "phase")


def spectral_losses(
    wav: Float[Tensor, "batch samples"],
    target: Float[Tensor, "batch samples"],
    sample_rate_hz: int,
    names: Collection[str] = MELS,
) -> dict[str, Tensor]:
    """The named of `log_mel`, `root_mel` and `phase`, of one set of Hann-windowed spectra.

    `log_mel` and `root_mel`, multi-scale mel distances: L1 of logs and L1 of square roots, means over the scales. The
    logarithm weighs all levels alike, as the ear does above its threshold; the root keeps the loud parts, on which
    intelligibility rests, from being traded for quiet ones.

    `phase`: distance of two complex STFTs with square-rooted magnitudes, mean over two windows. Magnitudes do not tell
    how a waveform lies in time; this does. Where phases are not met it weighs the loud parts and prefers too quiet to
    too loud, which PESQ likes at every rate (docs/log.md, 2026-11-25).
    """
    windows = {*(SCALES if {*MELS} & {*names} else ()), *(PHASE_WINDOWS if "phase" in names else ())}
    losses: dict[str, Tensor] = {}
    with torch.autocast(wav.device.type, enabled=False):
        made = _spectra(wav, windows)
        with torch.no_grad():
            true = _spectra(target, windows)
        if {*MELS} & {*names}:
            mels = _mels(made, sample_rate_hz)
            with torch.no_grad():
                true_mels = _mels(true, sample_rate_hz)
            log, true_log = (torch.log(x + FLOOR) for x in (mels, true_mels))
            root, true_root = (torch.sqrt(x + 1e-5) for x in (mels, true_mels))
            shares = shares_of(tuple(true[n].shape[1] * bands for n, bands in SCALES.items()), wav.device)
            losses["log_mel"] = ((log - true_log).abs() @ shares).mean()
            losses["root_mel"] = ((root - true_root).abs() @ shares).mean()
        if "phase" in names:
            sides = (torch.cat([x[n].flatten(1) for n in PHASE_WINDOWS], dim=1) for x in (made, true))
            shares = shares_of(tuple(true[n][0].numel() for n in PHASE_WINDOWS), wav.device)
            losses["phase"] = _RootedDistance.apply(*sides, shares)
    return {name: loss for name, loss in losses.items() if name in names}


def _spectra(
    wav: Float[Tensor, "batch samples"], windows: Collection[int]
) -> dict[int, Complex[Tensor, "batch _frames _bins"]]:
    """Centred STFTs by window length; a sine of amplitude 1 on a bin has magnitude 1."""
    lengths = sorted(windows)
    scaled = [_unit_hann(n, wav.device) for n in lengths]
    return dict(zip(lengths, centred_stfts(wav, scaled, [n // 4 for n in lengths]), strict=True))


@cache
@torch.inference_mode(False)
def _unit_hann(length: int, device: torch.device) -> Float[Tensor, " length"]:
    return hann(length, device) * (4 / length)


def _mels(
    spectra: dict[int, Complex[Tensor, "batch _frames _bins"]], sample_rate_hz: int
) -> Float[Tensor, "batch values"]:
    """Mel magnitudes of all scales, one after the other, for as few operations after this as one scale would take."""
    scales = [
        magnitudes(spectra[n]) @ _level_filters(sample_rate_hz, n, bands, spectra[n].device)
        for n, bands in SCALES.items()
    ]
    return torch.cat([x.flatten(1) for x in scales], dim=1)


@cache
@torch.inference_mode(False)
def _level_filters(sample_rate_hz: int, n_fft: int, bands: int, device: torch.device) -> Float[Tensor, "bins bands"]:
    """Filters after which noise has about the same level in all bands, however wide."""
    filters = mel_filters(sample_rate_hz, n_fft, bands, device=device)
    return filters / filters.sum(0).clamp(min=1.0).sqrt()


@cache
@torch.inference_mode(False)
def shares_of(sizes: tuple[int, ...], device: torch.device) -> Float[Tensor, " values"]:
    """The weight of each value in the mean over parts of so many values, each part's mean weighing alike."""
    return torch.cat([torch.full((size,), 1 / (len(sizes) * size), device=device) for size in sizes])


class _RootedDistance(torch.autograd.Function):
    """Weighted distance of z |z|^-1/2 for two complex spectra, mean over rows, and its gradient by the first.

    The gradient is worked out on the way, and in real numbers: autograd's of complex ones takes many times as long.
    """

    @staticmethod
    def forward(
        ctx: Any, made: Complex[Tensor, "batch values"], true: Complex[Tensor, "batch values"], shares: Tensor
    ) -> Float[Tensor, ""]:
        x, y = _planes(made)
        power = torch.addcmul(x * x, y, y).add_(1e-8)
        root = power.sqrt().rsqrt_()
        true_x, true_y = _planes(true)
        true_root = torch.addcmul(true_x * true_x, true_y, true_y).add_(1e-8).sqrt_().rsqrt_()
        error_x = torch.addcmul(x * root, true_x, true_root, value=-1)
        error_y = torch.addcmul(y * root, true_y, true_root, value=-1)
        distance = torch.addcmul(error_x * error_x, error_y, error_y).add_(1e-10).sqrt_()
        by_distance = shares / len(made) / distance
        slope_x, slope_y = error_x.mul_(by_distance), error_y.mul_(by_distance)  # by the rooted spectrum
        radial = torch.addcmul(slope_x * x, slope_y, y).mul_(0.5).div_(power)  # what the root takes from it along z
        slope_x.addcmul_(x, radial, value=-1).mul_(root)
        slope_y.addcmul_(y, radial, value=-1).mul_(root)
        ctx.save_for_backward(torch.complex(slope_x, slope_y))
        return (distance @ shares).mean()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (by_made,) = ctx.saved_tensors
        return by_made * gradient, None, None


def _planes(z: Complex[Tensor, "batch values"]) -> tuple[Float[Tensor, "batch values"], Float[Tensor, "batch values"]]:
    """Real and imaginary parts, each in one piece."""
    return z.real.contiguous(), z.imag.contiguous()


def mel_loss(
    wav: Float[Tensor, "batch samples"], target: Float[Tensor, "batch samples"], sample_rate_hz: int
) -> Float[Tensor, ""]:
    """WavTokenizer's reconstruction term: L1 of log-mel magnitudes at one scale (100 bands, window 1024, hop 256)."""

    def log_mel(x: Tensor) -> Tensor:
        (spectrum,) = centred_stfts(x, [hann(1024, x.device)], [256], pad_mode="reflect")
        filters = mel_filters(sample_rate_hz, 1024, 100, device=x.device)
        return torch.log((magnitudes(spectrum) @ filters).clamp(min=1e-7))

    with torch.autocast(wav.device.type, enabled=False):
        made = log_mel(wav)
        with torch.no_grad():
            true = log_mel(target)
        return (made - true).abs().mean()


def pitch_loss(log2_pitch: Float[Tensor, "batch steps"], target: Pitch) -> Float[Tensor, ""]:
    """L1 in octaves, weighted by voicing; unvoiced steps count as met."""
    return ((log2_pitch - target.log2_hz).abs() * target.voicing).mean().float()


def commitment_loss(
    latent: Float[Tensor, "batch frames dim"], features: Float[Tensor, "batch frames dim"]
) -> Float[Tensor, ""]:
    """Mean squared distance of a latent to the codes it was given (van den Oord et al. 2017): pulls the latent only."""
    return (latent.float() - features.detach().float()).square().mean()
