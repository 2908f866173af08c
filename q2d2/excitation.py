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
    edged = torch.cat([pitch_hz[:, :1], pitch_hz, pitch_hz[:, -1:]], dim=-1).double()
    ramp = (torch.arange(step, device=pitch_hz.device, dtype=torch.float64) + 0.5) / step
    # halves of two steps at a time: from the middle of one step to the middle of the next
    between = torch.lerp(edged[:, :-1, None], edged[:, 1:, None], ramp).flatten(1)
    turns = between[:, step // 2 : step // 2 + samples] / sample_rate_hz
    padded = torch.nn.functional.pad(turns, (0, -samples % block)).unflatten(-1, (-1, block))
    own = padded.cumsum(-1)
    residual = own[..., -1] - own[..., -1].round()
    carried = torch.nn.functional.pad(residual[:, :-1], (1, 0))
    fade = 1 - (torch.arange(block, device=pitch_hz.device, dtype=torch.float64) + 1) / block
    return 2 * math.pi * (own + carried.unsqueeze(-1) * fade).flatten(1)[:, :samples]


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

    def kernel(n: Tensor) -> Tensor:
        exact = torch.sin((2 * n + 1) * half) / torch.where(sine.abs() < 1e-6, torch.ones_like(sine), sine)
        return torch.where(sine.abs() < 1e-6, 2 * n + 1, exact) / 2 - 0.5

    total = torch.lerp(kernel(whole), kernel(whole + 1), count - whole)
    return total * torch.sqrt(2 / count)


def noise_phase(start: Int64[Tensor, " batch"], frames: int, bins: int) -> Float[Tensor, "batch frames bins"]:
    """Uniform phases in radians for the noise of `frames` frames from absolute frame `start`: a hash of position."""
    x = start[:, None] * bins + torch.arange(frames * bins, device=start.device)
    x = (x ^ (x >> 16)) * 0x45D9F3B & 0xFFFFFFFF
    x = (x ^ (x >> 16)) * 0x45D9F3B & 0xFFFFFFFF
    x = x ^ (x >> 16)
    return (x.float() * (2 * math.pi / 2**32)).unflatten(1, (frames, bins))
