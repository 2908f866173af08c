"""Pitch targets for the `speech` decoder: normalised cross-correlation and a Viterbi path, batched, in plain torch.

Two windows of the signal, one lag apart, are compared at every lag (Talkin 1995, RAPT). The best local maxima of each
step are its candidates; the best path through them is the one that stays correlated and does not jump. Good enough to
supervise with; evaluation uses a real pitch tracker.

A GPU takes longer to start a kernel than to run one of these, so none of them works on a single step.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

LOWEST_HZ, HIGHEST_HZ = 65.0, 480.0
WINDOW_S = 0.02
SILENCE = 1e-6  # mean square of windows that count as unvoiced: -60 dBFS
CANDIDATES = 6
DECIMATION = 3  # correlations need the band of the lower harmonics only, and cost three times less there
REACH = 8 * DECIMATION  # samples to either side that the low-pass before decimation sees
BLOCK = 16  # decimated samples in a row of its matrix product
LAG_COST = 0.028  # per octave: at equal correlation the shorter of two lags (the pitch, not its octave below) wins
JUMP_COST = 1.2  # per octave and step
NO_MAXIMUM = -2.0  # stands for the correlation of other lags; less than that of any maximum, cost included


class Pitch(NamedTuple):
    log2_hz: Float[Tensor, "batch steps"]  # log2 of the pitch in Hz; defined everywhere, meaningful where voiced
    voicing: Float[Tensor, "batch steps"]  # 0 (unvoiced) to 1 (clearly voiced): weight of the pitch loss


@lru_cache(maxsize=8)
@torch.inference_mode(False)  # made there, a cached tensor would be of no use to training afterwards
def _low_pass(device: torch.device) -> Float[Tensor, "inputs outputs"]:
    """`BLOCK` outputs of the decimation as a matrix product: cuDNN's convolutions round to TF32."""
    inputs = torch.arange((BLOCK - 1) * DECIMATION + 2 * REACH + 1, device=device)
    at = inputs[:, None] - REACH - torch.arange(0, BLOCK * DECIMATION, DECIMATION, device=device)
    taps = torch.sinc(0.8 / DECIMATION * at) * torch.cos(math.pi / 2 / REACH * at).square() * (at.abs() <= REACH)
    return taps / taps.sum(0)


def _decimated(wav: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch decimated"]:
    """Every `DECIMATION`-th sample after a low-pass at 80 % of the new Nyquist frequency."""
    filters = _low_pass(wav.device)
    count = wav.shape[1] // DECIMATION
    stride = BLOCK * DECIMATION
    before = REACH - (DECIMATION - 1) // 2  # keeps sample i of the output in the middle of its DECIMATION inputs
    after = (math.ceil(count / BLOCK) - 1) * stride + len(filters) - before - wav.shape[1]
    rows = torch.nn.functional.pad(wav, (before, after)).unfold(1, len(filters), stride)
    return (rows @ filters).flatten(1)[:, :count]


def _correlation(
    wav: Float[Tensor, "batch samples"], hop: int, width: int, shortest: int, longest: int
) -> Float[Tensor, "batch steps lags"]:
    """Normalised cross-correlation of two windows around the middle of every hop, from lag `shortest` to `longest`."""
    size = 32 * math.ceil((width + longest) / 32)  # both windows fit in: circular correlation is linear up to `longest`
    side = (width + longest - hop) // 2
    frames = torch.nn.functional.pad(wav, (side, size - hop - side)).unfold(1, size, hop)
    frames = frames - frames.mean(-1, keepdim=True)
    spectrum = torch.fft.rfft(frames[..., :width], n=size).conj() * torch.fft.rfft(frames)
    cross = torch.fft.irfft(spectrum, n=size)[..., shortest : longest + 1]
    energy = (frames.square() + SILENCE).cumsum(-1)
    first = energy[..., width - 1 : width]
    second = energy[..., shortest + width - 1 : longest + width] - energy[..., shortest - 1 : longest]
    return cross * torch.rsqrt(first * second)


def _best_path(
    score: Float[Tensor, "batch steps candidates"], log2_lag: Float[Tensor, "batch steps candidates"]
) -> Int[Tensor, "batch steps"]:
    """Viterbi: the candidates of the path whose scores less its jumps add up to most.

    The best way from one candidate to another over 2n steps is the best, over the candidates half-way, of two ways over
    n steps each: a matrix product in (max, +). So n is doubled until one way spans all steps, and halved again: a
    way with known ends has a known middle, and its halves have known ends.
    """
    steps, candidates = score.shape[1:]
    levels = max(1, (steps - 1).bit_length())
    rest = 2**levels - steps
    score, log2_lag = score.permute(2, 1, 0), log2_lag.permute(2, 1, 0)
    octaves = (log2_lag[:, None, :-1] - log2_lag[:, 1:]).abs().clamp(max=0.5)
    pad = torch.nn.functional.pad  # moves to the first step and to those after the last are free
    way = pad(score, (0, 0, 0, rest)).sub(pad(octaves, (0, 0, 1, rest)), alpha=JUMP_COST)  # from, to, steps, batch
    # steps are ordered by their reversed bits: neighbours in time lie in the two halves of a tensor, each in one piece
    bits, reverse = (2,) * levels, range(levels - 1, -1, -1)
    way = way.unflatten(2, bits).permute(0, 1, *(2 + bit for bit in reverse), -1).flatten(2, -2)
    halfway = []
    for _ in range(levels):
        before, after = way.chunk(2, dim=2)
        way, middle = (before[:, :, None] + after).max(dim=1)
        halfway.append(middle.flatten(0, 1))
    end = way[0].argmax(0)
    start = torch.zeros_like(end)  # as good as any other: the first move is free
    for middles in reversed(halfway):
        middle = middles.gather(0, torch.add(end, start, alpha=candidates).unsqueeze(0))[0]
        start, end = torch.cat([start, middle, middle, end]).chunk(2)
    return end.unflatten(0, bits).permute(-1, *reverse).flatten(1)[:, :steps]


@torch.no_grad()
def track_pitch(wav: Float[Tensor, "batch samples"], hop: int, sample_rate_hz: int) -> Pitch:
    """Pitch at the middle of every `hop` samples of mono audio; `hop` is a multiple of `DECIMATION`."""
    wav, hop, sample_rate_hz = _decimated(wav.float()), hop // DECIMATION, sample_rate_hz // DECIMATION
    shortest, longest = int(sample_rate_hz / HIGHEST_HZ), int(sample_rate_hz / LOWEST_HZ) + 1
    correlation = _correlation(wav, hop, int(WINDOW_S * sample_rate_hz), shortest, longest)
    left, middle, right = correlation[..., :-2], correlation[..., 1:-1], correlation[..., 2:]
    log2_lag = torch.log2(torch.arange(shortest + 1, longest, device=wav.device))  # of those in the middle
    maxima = middle.masked_fill(middle < torch.maximum(left, right), NO_MAXIMUM)
    score, candidates = torch.sub(maxima, log2_lag, alpha=LAG_COST).topk(CANDIDATES, dim=-1)
    peak = candidates.gather(-1, _best_path(score, log2_lag[candidates]).unsqueeze(-1))
    around = correlation.unfold(-1, 3, 1).gather(2, peak.unsqueeze(-1).expand(-1, -1, -1, 3))
    left, middle, right = around.squeeze(2).unbind(-1)
    voicing = ((maxima.gather(-1, peak).squeeze(-1) - 0.5) / 0.3).clamp(0, 1)
    curve = torch.sub(left + right, middle, alpha=2).clamp(max=-1e-6)
    vertex = ((left - right) / curve).clamp(-1, 1)
    period = (peak.squeeze(-1) + (shortest + 1)).add(vertex, alpha=0.5)
    found = torch.stack([math.log2(sample_rate_hz) - torch.log2(period), voicing])
    # the frames have room for the longest lag: the two windows of a shorter one lie around an earlier moment
    late = ((longest - period) / (2 * hop)).clamp(max=1)
    after = torch.cat([found[..., 1:], found[..., -1:]], dim=-1)
    return Pitch(*torch.lerp(found, after, late))
