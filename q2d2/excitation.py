"""Pitch [batch steps] -> harmonic source [batch samples], and noise by position: what the `speech` decoder filters.

A network learns the envelope of speech in minutes and the fine structure of its pitch in days, so the decoder is given
a source: a sum of equally strong harmonics of a decoded pitch, and noise. Both depend on the neighbourhood only:

* The phase is accumulated from the pitch in blocks of `BLOCK` frames. What a block's phase lacks to a whole number of
  turns is taken off during the next block (a detuning of at most half a turn in 0.6 s, 0.8 Hz), so the phase is
  continuous and yet depends on the present block and the one before, not on the whole past.
* The noise is a hash of its position: the same whether a file is decoded whole or from its middle.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

BLOCK = 32
TOP_HZ = 10_000


def phase(
    pitch_hz: Float[Tensor, "batch steps"], step: int, block: int, sample_rate_hz: int
) -> Float[Tensor, "batch samples"]:
    """Phase in radians (float64) of a pitch given every `step` samples (at the middle of the step), linear in between.

    `block` is the number of samples after which the phase forgets; the first sample begins a block.
    """
    samples = pitch_hz.shape[-1] * step
    edged = torch.cat([pitch_hz[:, :1], pitch_hz, pitch_hz[:, -1:]], dim=-1)
    turns = _turns(edged, step, sample_rate_hz)[:, step // 2 : step // 2 + samples]
    padded = torch.nn.functional.pad(turns, (0, -samples % block)).unflatten(-1, (-1, block))
    own = padded.cumsum(-1)
    residual = own[..., -1] - own[..., -1].round()
    carried = torch.nn.functional.pad(residual[:, :-1], (1, 0))
    fade = 1 - (torch.arange(block, device=pitch_hz.device, dtype=torch.float64) + 1) / block
    return 2 * math.pi * (own + carried.unsqueeze(-1) * fade).flatten(1)[:, :samples]


def _turns(pitch_hz: Float[Tensor, "batch steps"], step: int, sample_rate_hz: int) -> Float[Tensor, "batch samples"]:
    """Turns per sample (float64) from the middle of the first step to that of the last, linear between two of them."""
    ramp = (torch.arange(step, device=pitch_hz.device, dtype=torch.float64) + 0.5) / step
    pitch_hz = pitch_hz.double()
    return torch.lerp(pitch_hz[:, :-1, None], pitch_hz[:, 1:, None], ramp).flatten(1) / sample_rate_hz


class RunningPhase:
    """`phase` of a pitch that comes in pieces: the samples up to the middle of the last step so far."""

    def __init__(self, step: int, block: int, sample_rate_hz: int) -> None:
        self._step, self._block, self._sample_rate_hz = step, block, sample_rate_hz
        self._last: Tensor | None = None  # the pitch of the last step
        self._at = 0  # samples of the present block so far, what they have turned, and what the one before it carried
        self._own = self._carried = torch.zeros((), dtype=torch.float64)

    def push(self, pitch_hz: Float[Tensor, "batch steps"]) -> Float[Tensor, "batch samples"]:
        begins = self._last is None
        edged = torch.cat([pitch_hz[:, :1] if self._last is None else self._last, pitch_hz], dim=-1)
        self._last = pitch_hz[:, -1:].clone()
        turns = _turns(edged, self._step, self._sample_rate_hz)[:, self._step // 2 if begins else 0 :]
        parts = []
        while turns.shape[-1]:
            own = self._own + turns[:, : self._block - self._at].cumsum(-1)
            turns = turns[:, own.shape[-1] :]
            place = torch.arange(self._at, self._at + own.shape[-1], device=own.device, dtype=torch.float64)
            parts.append(own + self._carried * (1 - (place + 1) / self._block))
            self._at, self._own = self._at + own.shape[-1], own[:, -1:].clone()
            if self._at == self._block:
                self._at, self._own, self._carried = 0, torch.zeros_like(self._own), self._own - self._own.round()
        return 2 * math.pi * torch.cat(parts, dim=-1)


def harmonics(
    phase: Float[Tensor, "batch samples"], pitch_hz: Float[Tensor, "batch samples"]
) -> Float[Tensor, "batch samples"]:
    """Sum of cos(k phase) over all harmonics below `TOP_HZ`, at unit power: a Dirichlet kernel, for the cost of a sine.

    The number of harmonics is blended between its two neighbouring integers, lest one switch on at once as the pitch
    moves.
    """
    count = TOP_HZ / pitch_hz
    whole = count.floor()
    half = torch.remainder(phase, 2 * math.pi) / 2
    sine = torch.sin(half)
    at_peak = sine.abs() < 1e-6
    divisor = torch.where(at_peak, 1.0, sine)

    def kernel(odd: Tensor) -> Tensor:
        return torch.where(at_peak, odd, torch.sin(odd * half) / divisor)

    odd = 2 * whole + 1
    total = torch.lerp(kernel(odd), kernel(odd + 2), count - whole) / 2 - 0.5
    return total * torch.sqrt(2 / count)


def noise_phase(start: Int64[Tensor, " batch"], frames: int, bins: int) -> Float[Tensor, "batch frames bins"]:
    """Uniform phases in radians for the noise of `frames` frames from absolute frame `start`: a hash of position."""
    position = start[:, None] * bins + torch.arange(frames * bins, device=start.device)
    return hashed(position, 2 * math.pi).unflatten(1, (frames, bins))


def hashed(x: Int64[Tensor, "*batch"], to: float = 1.0) -> Float[Tensor, "*batch"]:
    """Numbers that look drawn at random, uniform from 0 to `to`: a hash of each integer, the same on every device."""
    x = (x ^ (x >> 16)) * 0x45D9F3B & 0xFFFFFFFF
    x = (x ^ (x >> 16)) * 0x45D9F3B & 0xFFFFFFFF
    x = x ^ (x >> 16)
    return x.float() * (to / 2**32)
