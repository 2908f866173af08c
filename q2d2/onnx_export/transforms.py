"""Frames, Fourier transforms and their inverse without complex numbers: matrix products, slices and sums.

ONNX runtimes have no complex tensors, and few have a fast DFT of 360 or 2400 points. The tables of cosines and sines
are computed in float64 by the graph itself, from whole numbers: a runtime does that once, as it loads the graph, and
the file does not carry them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Spectrum(NamedTuple):
    """Complex numbers as two tensors."""

    real: Float[Tensor, "batch frames bins"]
    imag: Float[Tensor, "batch frames bins"]

    def magnitude(self) -> Float[Tensor, "batch frames bins"]:
        return torch.sqrt(self.real.square() + self.imag.square())


def frames_of(wav: Float[Tensor, "batch samples"], width: int, hop: int) -> Float[Tensor, "batch frames width"]:
    """All frames of `width` samples, one per `hop`; samples = (frames - 1) * hop + width."""
    parts = -(-width // hop)
    pieces = torch.nn.functional.pad(wav, (0, parts * hop - width)).unflatten(1, (-1, hop))
    count = pieces.shape[1] - parts + 1
    return torch.cat([pieces[:, part : part + count] for part in range(parts)], dim=-1)[..., :width]


def overlap_added(frames: Float[Tensor, "batch frames width"], hop: int) -> Float[Tensor, "batch samples"]:
    """The sum of frames that begin `hop` samples apart; the width is a multiple of the hop."""
    parts = frames.shape[-1] // hop
    pieces = frames.unflatten(-1, (parts, hop))
    shifted = [torch.nn.functional.pad(pieces[:, :, part], (0, 0, part, parts - 1 - part)) for part in range(parts)]
    return torch.stack(shifted).sum(0).flatten(1)


def hann(width: int) -> Float[Tensor, " width"]:
    """The periodic Hann window in float64."""
    return 0.5 - 0.5 * torch.cos(torch.arange(width).double() * (2 * math.pi / width))


def spectrum(frames: Float[Tensor, "batch frames width"], n_fft: int, bins: int) -> Spectrum:
    """The first bins of the transform of frames that zeros are added to, up to `n_fft` samples."""
    angle = _angles(frames.shape[-1], bins, n_fft)
    table = torch.cat([torch.cos(angle), -torch.sin(angle)], dim=1).float()
    return Spectrum(*torch.matmul(frames, table).chunk(2, dim=-1))


def inverse(values: Spectrum, n_fft: int) -> Float[Tensor, "batch frames width"]:
    """Windowed frames of `n_fft` samples: the inverse of a whole spectrum, n_fft / 2 + 1 bins, times the window."""
    bins = n_fft // 2 + 1
    angle = _angles(bins, n_fft, n_fft)
    # all bins but the first, and the last if n_fft is even, stand for their mirror images, too
    bin_number = torch.arange(bins).unsqueeze(1)
    twice = 2.0 - ((bin_number == 0) | (2 * bin_number == n_fft)).double()
    scale = twice * hann(n_fft) / n_fft
    table = torch.cat([torch.cos(angle) * scale, -torch.sin(angle) * scale], dim=0).float()
    return torch.matmul(torch.cat(values, dim=-1), table)


def _angles(rows: int, columns: int, period: int) -> Float[Tensor, "rows columns"]:
    """2 pi row column / period, reduced to one turn while it is still a whole number."""
    product = torch.arange(rows).unsqueeze(1) * torch.arange(columns)
    return (product % period).double() * (2 * math.pi / period)
