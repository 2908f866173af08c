"""Pitch targets for the `speech` decoder: normalised cross-correlation and a Viterbi path, batched, in plain torch.

Two windows of the signal, one lag apart, are compared at every lag (Talkin 1995, RAPT); the best path through the lags
is the one that stays correlated and does not jump. Good enough to supervise with; evaluation uses a real pitch
tracker.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

LOWEST_HZ, HIGHEST_HZ = 65.0, 480.0
WINDOW_S = 0.02
CANDIDATES = 80
DECIMATION = 3  # correlations need the band of the lower harmonics only, and cost three times less there
SHORTER_LAG_BONUS = 0.08  # at equal correlation the shorter of two lags (the pitch, not its octave below) wins
JUMP_COST = 1.2  # per octave and step


class Pitch(NamedTuple):
    log2_hz: Float[Tensor, "batch steps"]  # log2 of the pitch in Hz; defined everywhere, meaningful where voiced
    voicing: Float[Tensor, "batch steps"]  # 0 (unvoiced) to 1 (clearly voiced): weight of the pitch loss


def _correlation(wav: Tensor, hop: int, sample_rate_hz: int) -> Tensor:
    """Normalised cross-correlation [batch steps lags] of two windows around the middle of every hop, per lag."""
    longest = int(sample_rate_hz / LOWEST_HZ) + 1
    shortest = int(sample_rate_hz / HIGHEST_HZ)
    width = int(WINDOW_S * sample_rate_hz)
    span = width + longest
    side = (span - hop) // 2
    frames = torch.nn.functional.pad(wav, (side, span - hop - side)).unfold(-1, span, hop)
    frames = frames - frames.mean(-1, keepdim=True)
    size = 2 ** math.ceil(math.log2(span + width))
    first = torch.fft.rfft(frames[..., :width], n=size)
    cross = torch.fft.irfft(first.conj() * torch.fft.rfft(frames, n=size), n=size)[..., : longest + 1]
    energy = torch.nn.functional.pad(frames.square().cumsum(-1), (1, 0))
    energies = energy[..., width:] - energy[..., : longest + 1]
    floor = 1e-4 * width * 0.01  # windows below about -60 dBFS count as unvoiced
    normal = cross / torch.sqrt((energies[..., :1] + floor) * (energies + floor))
    return normal[..., shortest:]


def _decimated(wav: Tensor) -> Tensor:
    """Every `DECIMATION`-th sample after a low-pass at 80 % of the new Nyquist frequency."""
    reach = 8 * DECIMATION
    at = torch.arange(-reach, reach + 1, device=wav.device)
    taps = torch.sinc(0.8 * at / DECIMATION) * torch.hann_window(2 * reach + 1, periodic=False, device=wav.device)
    middle = (DECIMATION - 1) // 2  # keeps sample i of the output in the middle of its DECIMATION inputs
    padded = torch.nn.functional.pad(wav, (reach - middle, reach + middle))
    return torch.nn.functional.conv1d(padded.unsqueeze(1), (taps / taps.sum())[None, None], stride=DECIMATION)[:, 0]


def _path(score: Tensor, log2_lag: Tensor) -> Tensor:
    """Viterbi: indices [batch steps] of the best path through score [batch steps candidates]."""
    jump = JUMP_COST * (log2_lag[:, None] - log2_lag[None, :]).abs().clamp(max=0.5)
    total = score[:, 0]
    back = []
    for step in range(1, score.shape[1]):
        best, origin = (total[:, :, None] - jump).max(dim=1)
        total = best + score[:, step]
        back.append(origin)
    at = total.argmax(-1)
    path = [at]
    for origin in reversed(back):
        at = origin.gather(1, at[:, None]).squeeze(1)
        path.append(at)
    return torch.stack(path[::-1], dim=1)


@torch.no_grad()
def track_pitch(wav: Float[Tensor, "batch samples"], hop: int, sample_rate_hz: int) -> Pitch:
    """Pitch at the middle of every `hop` samples of mono audio; `hop` is a multiple of `DECIMATION`."""
    wav, hop, sample_rate_hz = _decimated(wav.float()), hop // DECIMATION, sample_rate_hz // DECIMATION
    correlation = _correlation(wav, hop, sample_rate_hz)
    shortest = int(sample_rate_hz / HIGHEST_HZ)
    longest = shortest + correlation.shape[-1] - 1
    log2_lag = torch.linspace(math.log2(shortest + 1), math.log2(longest - 1), CANDIDATES, device=wav.device)
    nearest_lag = torch.exp2(log2_lag).round().long() - shortest
    # between candidates lie up to three lags: let each stand for the best of its neighbourhood
    pooled = torch.nn.functional.max_pool1d(correlation.flatten(0, 1).unsqueeze(1), 3, 1, 1).squeeze(1)
    score = pooled[:, nearest_lag].view(*correlation.shape[:2], -1)
    bonus = SHORTER_LAG_BONUS * (log2_lag - log2_lag[0]) / (log2_lag[-1] - log2_lag[0])
    path = _path(score - bonus, log2_lag)
    around = (nearest_lag[path].unsqueeze(-1) + torch.arange(-1, 2, device=wav.device)).clamp(
        1, correlation.shape[-1] - 2
    )
    peak = around.gather(-1, correlation.gather(-1, around).argmax(-1, keepdim=True))
    left, middle, right = (correlation.gather(-1, peak + shift).squeeze(-1) for shift in (-1, 0, 1))
    curve = left - 2 * middle + right
    vertex = torch.where(curve < -1e-6, 0.5 * (left - right) / curve, torch.zeros_like(curve)).clamp(-0.5, 0.5)
    lag = peak.squeeze(-1) + vertex + shortest
    # the frames have room for the longest lag: the two windows of a shorter one lie around an earlier moment
    late = (longest - lag) / (2 * hop)
    voicing = ((middle - 0.5) / 0.3).clamp(0, 1)
    return Pitch(_earlier(torch.log2(sample_rate_hz / lag), late), _earlier(voicing, late))


def _earlier(values: Tensor, steps: Tensor) -> Tensor:
    """values [batch steps], each `steps` (0 to 1) too late, put where they belong."""
    after = torch.nn.functional.pad(values[:, 1:].unsqueeze(1), (0, 1), mode="replicate").squeeze(1)
    return torch.lerp(values, after, steps.clamp(0, 1))
