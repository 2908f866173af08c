"""Reconstruction losses: pure functions of waveforms and predictions, each a scalar under the name the log uses.

Each is a mean over the rows of a batch (and over time), so that a batch split over processes sums to the same. What
discriminators say is in `adversarial`.
"""

from __future__ import annotations

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from q2d2.spectral import mel_filters
from q2d2.train.pitch import Pitch

# window length -> mel bands; hop is a quarter of the window
SCALES = {2048: 160, 1024: 100, 512: 64, 256: 40, 128: 20}
FLOOR = 1e-3  # amplitudes below about -60 dBFS hardly count: they are noise, and most of a recording
PHASE_WINDOWS = (1024, 320)


def _spectrum(
    wav: Float[Tensor, "batch samples"], n_fft: int, hop: int, pad_mode: str = "constant"
) -> Complex[Tensor, "batch frames bins"]:
    """Centred Hann STFT in float32."""
    window = torch.hann_window(n_fft, device=wav.device)
    return torch.stft(wav.float(), n_fft, hop, window=window, pad_mode=pad_mode, return_complex=True).transpose(1, 2)


def spectral_losses(
    wav: Float[Tensor, "batch samples"],
    target: Float[Tensor, "batch samples"],
    sample_rate_hz: int,
) -> dict[str, Tensor]:
    """Multi-scale mel distances: L1 of logs (`log_mel`) and L1 of square roots (`root_mel`), means over the scales.

    The logarithm weighs all levels alike, as the ear does above its threshold; the root keeps the loud parts, on which
    intelligibility rests, from being traded for quiet ones.
    """
    log_mel = root_mel = torch.zeros((), device=wav.device)
    with torch.autocast(wav.device.type, enabled=False):
        for n_fft, mels in SCALES.items():
            filters = mel_filters(sample_rate_hz, n_fft, mels).to(wav.device)
            width = filters.sum(0).clamp(min=1.0).sqrt() * (n_fft / 4)
            made = _spectrum(wav, n_fft, n_fft // 4).abs() @ filters / width
            with torch.no_grad():
                true = _spectrum(target, n_fft, n_fft // 4).abs() @ filters / width
            log_mel = log_mel + (torch.log(made + FLOOR) - torch.log(true + FLOOR)).abs().mean()
            root_mel = root_mel + (torch.sqrt(made + 1e-5) - torch.sqrt(true + 1e-5)).abs().mean()
    return {"log_mel": log_mel / len(SCALES), "root_mel": root_mel / len(SCALES)}


def mel_loss(
    wav: Float[Tensor, "batch samples"], target: Float[Tensor, "batch samples"], sample_rate_hz: int
) -> Float[Tensor, ""]:
    """WavTokenizer's reconstruction term: L1 of log-mel magnitudes at one scale (100 bands, window 1024, hop 256)."""
    with torch.autocast(wav.device.type, enabled=False):
        filters = mel_filters(sample_rate_hz, 1024, 100).to(wav.device)
        made, true = (
            torch.log((_spectrum(w, 1024, 256, "reflect").abs() @ filters).clamp(min=1e-7)) for w in (wav, target)
        )
        return (made - true).abs().mean()


def phase_loss(wav: Float[Tensor, "batch samples"], target: Float[Tensor, "batch samples"]) -> Float[Tensor, ""]:
    """Distance of two complex STFTs with square-rooted magnitudes, mean over two windows.

    Magnitudes do not tell how a waveform lies in time; this does. Where phases are not met it weighs the loud parts and
    prefers too quiet to too loud, which PESQ likes at every rate (docs/log.md, 2026-11-25).
    """

    def rooted(x: Tensor, n_fft: int) -> Tensor:
        parts = torch.view_as_real(_spectrum(x, n_fft, n_fft // 4)) / (n_fft / 4)
        return parts * (parts.square().sum(-1, keepdim=True) + 1e-8).pow(-0.25)

    with torch.autocast(wav.device.type, enabled=False):
        total = torch.zeros((), device=wav.device)
        for n_fft in PHASE_WINDOWS:
            error = (rooted(wav, n_fft) - rooted(target, n_fft)).square().sum(-1)
            total = total + (error + 1e-10).sqrt().mean()
        return total / len(PHASE_WINDOWS)


def pitch_loss(log2_pitch: Float[Tensor, "batch steps"], target: Pitch) -> Float[Tensor, ""]:
    """L1 in octaves, weighted by voicing; unvoiced steps count as met."""
    return ((log2_pitch - target.log2_hz).abs() * target.voicing).mean().float()


def commitment_loss(
    latent: Float[Tensor, "batch frames dim"], features: Float[Tensor, "batch frames dim"]
) -> Float[Tensor, ""]:
    """Mean squared distance of a latent to the codes it was given (van den Oord et al. 2017): pulls the latent only."""
    return (latent.float() - features.detach().float()).square().mean()
