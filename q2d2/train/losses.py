"""Reconstruction losses: pure functions of waveforms and predictions, each a scalar under the name the log uses."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from q2d2.spectral import mel_filters
from q2d2.train.pitch import Pitch

# window length -> mel bands; hop is a quarter of the window
SCALES = {2048: 160, 1024: 100, 512: 64, 256: 40, 128: 20}
FLOOR = 1e-3  # amplitudes below about -60 dBFS hardly count: they are noise, and most of a recording


def _magnitude(wav: Tensor, n_fft: int) -> Tensor:
    window = torch.hann_window(n_fft, device=wav.device)
    spectrum = torch.stft(wav, n_fft, n_fft // 4, window=window, pad_mode="constant", return_complex=True)
    return spectrum.abs().transpose(1, 2) / (n_fft / 4)


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
            width = filters.sum(0).clamp(min=1.0).sqrt()
            made = _magnitude(wav.float(), n_fft) @ filters / width
            with torch.no_grad():
                true = _magnitude(target.float(), n_fft) @ filters / width
            log_mel = log_mel + (torch.log(made + FLOOR) - torch.log(true + FLOOR)).abs().mean()
            root_mel = root_mel + (torch.sqrt(made + 1e-5) - torch.sqrt(true + 1e-5)).abs().mean()
    return {"log_mel": log_mel / len(SCALES), "root_mel": root_mel / len(SCALES)}


def pitch_loss(log2_pitch: Float[Tensor, "batch steps"], target: Pitch) -> Float[Tensor, ""]:
    """Voicing-weighted L1 in octaves."""
    error = (log2_pitch - target.log2_hz).abs()
    return ((error * target.voicing).sum() / (target.voicing.sum() + 1.0)).float()
