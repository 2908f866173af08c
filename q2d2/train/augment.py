"""Recordings -> as if others had made them: other voices, microphones, rooms and noises, for a corpus that has few.

Each row of a batch is changed at random: its speed (pitch and formants move together, as a taller speaker's would), the
response of its microphone, its upper band limit, the room around it and steady noise behind it. The codec must then
reproduce what it heard, noise included: nothing here is to be removed.

A few random numbers a row say what happens (`draw`, in any thread); `changed` does it to all rows at once, on the
device that trains. All filters are one product of spectra of the recording; the speed is an interpolation of their
inverse transform. White noise is a hash of the row's key, so that the same numbers give the same rows everywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Complex, Float, Float32
from torch import Tensor

from q2d2.excitation import hashed

OCTAVES_FROM_HZ = 60.0  # the response bends at octaves of this
QUIET = 1e-4  # a crop whose peak lies below is left as it is
TAPS, PHASES = 8, 256  # of the interpolation between samples at twice the rate: errors 50 dB below at 8 kHz
# What is drawn for a row: how much faster; the room's tail beside what it follows (0: none) and the time in which it
# falls by 60 dB; the noise beside the speech (0: none) and its slope, from white (0) to brown (1); where the band ends;
# what white noise follows from.
NUMBERS = ("speed", "echo", "decay_s", "noise", "tilt", "top_hz", "key")


@dataclass(frozen=True)
class Augment:
    """How much, and how often. What is 0 does not happen."""

    speed: float = 0.15  # at most so much faster or slower, as a share
    response_db: float = 3.0  # standard deviation of the microphone's response, octave by octave
    noise: float = 0.5  # how often
    noise_db: tuple[float, float] = (8.0, 40.0)  # below the speech, uniform between these
    room: float = 0.25  # how often
    narrow: float = 0.1  # how often the band ends somewhere from 3.4 to 8 kHz


def source_samples(augment: Augment, samples: int) -> int:
    """How many samples of a recording `changed` wants for `samples`: enough for the fastest, and quick to transform."""
    needed = math.ceil(samples * (1 + augment.speed)) + (TAPS if augment.speed else 0)
    return next(n for n in range(needed + needed % 2, 2 * needed + 2, 2) if _is_smooth(n))


def draw(augment: Augment, rng: np.random.Generator, rows: int, sample_rate_hz: int) -> Float32[np.ndarray, "rows _"]:
    """What happens to each row: `NUMBERS`, and two responses in decibels, octave by octave."""

    def sometimes(often: float, value: np.ndarray, otherwise: float) -> np.ndarray:
        return np.where(rng.random(rows) < often, value, otherwise)

    numbers = [
        (1 + augment.speed) ** rng.uniform(-1, 1, rows),
        sometimes(augment.room, 10 ** (-rng.uniform(3, 15, rows) / 20), 0.0),
        rng.uniform(0.15, 0.6, rows),
        sometimes(augment.noise, 10 ** (-rng.uniform(*augment.noise_db, rows) / 20), 0.0),
        rng.uniform(0, 1, rows),
        sometimes(augment.narrow, rng.uniform(3400, 8000, rows), float(sample_rate_hz)),
        rng.random(rows),
    ]
    responses = rng.normal(0, augment.response_db, (rows, 2 * _knots(sample_rate_hz)))
    return np.concatenate([np.stack(numbers, axis=1), responses], axis=1).astype(np.float32)


@torch.no_grad()
def changed(
    augment: Augment,
    wav: Float[Tensor, "batch source_samples"],
    drawn: Float[Tensor, "batch _"],
    samples: int,
    sample_rate_hz: int,
) -> Float[Tensor, "batch samples"]:
    """The crops at their new speeds, through microphones and in rooms, with their peaks as they were."""
    if wav.device.type == "cpu":  # one row stays in the cache, and is the same with any others
        rows = zip(wav.split(1), drawn.split(1), strict=True)
        return torch.cat([_all_at_once(augment, *row, samples, sample_rate_hz) for row in rows])
    return _all_at_once(augment, wav, drawn, samples, sample_rate_hz)


def _all_at_once(augment: Augment, wav: Tensor, drawn: Tensor, samples: int, sample_rate_hz: int) -> Tensor:
    speed, echo, decay_s, noise, tilt, top_hz, key = drawn[:, : len(NUMBERS), None].unbind(1)
    microphone, other = drawn[:, len(NUMBERS) :].unflatten(1, (2, -1)).unbind(1)
    # frequencies as they will be heard
    hertz = torch.fft.rfftfreq(wav.shape[1], 1 / sample_rate_hz, device=wav.device) * speed
    response = _Response(hertz, microphone.shape[1])
    spectrum = _spectrum(wav) * response(microphone)
    white = _white(key, 2 * hertz.shape[1]) if _is_worth_it(echo + noise) else None
    if white is not None and _is_worth_it(echo):
        tail = _tail(white[:, : wav.shape[1]], decay_s, sample_rate_hz * speed)
        spectrum = spectrum * (1 + _spectrum(echo * tail))
    if white is not None and _is_worth_it(noise):
        norm = torch.linalg.vector_norm(torch.view_as_real(spectrum), dim=(1, 2)).unsqueeze(1)
        shape = response(other) * hertz.clamp(min=OCTAVES_FROM_HZ) ** -tilt
        spectrum = spectrum + _noise(white, noise * norm, shape)
    band = ((1.05 * top_hz - hertz) / (0.05 * top_hz)).clamp(0, 1)
    spectrum = spectrum * (band * (hertz <= sample_rate_hz / 2))
    if augment.speed:
        made = _faster(spectrum, wav.shape[1], speed, samples)
    else:
        made = _wave(spectrum, wav.shape[1])[:, :samples]
    before, after = (torch.linalg.vector_norm(x, torch.inf, dim=1, keepdim=True) for x in (wav, made))
    return made * torch.where(torch.minimum(before, after) > QUIET, before / after, 1.0)


def _spectrum(wav: Float[Tensor, "batch samples"]) -> Complex[Tensor, "batch bins"]:
    """Its Fourier transform. On CPUs by numpy, which takes half of what MKL takes on AMD's."""
    if wav.device.type == "cpu":
        return torch.from_numpy(np.fft.rfft(wav.numpy())).to(torch.complex64)
    return torch.fft.rfft(wav)


def _wave(spectrum: Complex[Tensor, "batch bins"], samples: int) -> Float[Tensor, "batch samples"]:
    """The inverse."""
    if spectrum.device.type == "cpu":
        return torch.from_numpy(np.fft.irfft(spectrum.numpy(), n=samples)).float()
    return torch.fft.irfft(spectrum, n=samples)


def _is_smooth(n: int) -> bool:
    """Whether it has no prime factor above 5."""
    for prime in (2, 3, 5):
        while n % prime == 0:
            n //= prime
    return n == 1


def _knots(sample_rate_hz: int) -> int:
    return math.ceil(math.log2(sample_rate_hz / 2 / OCTAVES_FROM_HZ)) + 1


def _is_worth_it(amount: Tensor) -> bool:
    """Whether to compute what some rows have none of; where the look would be a wait for the device, always."""
    return amount.device.type != "cpu" or bool(amount.any())


class _Response:
    """Gains whose decibels are given at the octaves, with straight lines between: where each frequency lies."""

    def __init__(self, hertz: Float[Tensor, "batch bins"], knots: int) -> None:
        octaves = torch.log2(hertz / OCTAVES_FROM_HZ).clamp(0, knots - 1.001)
        self._lower = octaves.long()
        self._upper, self._beyond = self._lower + 1, octaves - self._lower

    def __call__(self, knots: Float[Tensor, "batch octaves"]) -> Float[Tensor, "batch bins"]:
        decibels = torch.lerp(knots.gather(1, self._lower), knots.gather(1, self._upper), self._beyond)
        return torch.exp(decibels * (math.log(10) / 20))


def _noise(
    white: Float[Tensor, "batch parts"], norm: Float[Tensor, "batch 1"], shape: Float[Tensor, "batch bins"]
) -> Complex[Tensor, "batch bins"]:
    """The spectrum of steady noise of this norm and shape."""
    noise = white.unflatten(1, (-1, 2)) * shape.unsqueeze(-1)
    of_noise = torch.linalg.vector_norm(noise, dim=(1, 2), keepdim=True)
    return torch.view_as_complex(noise * (norm.unsqueeze(-1) / of_noise))


def _tail(
    white: Float[Tensor, "batch samples"],
    decay_s: Float[Tensor, "batch 1"],
    sample_rate_hz: Float[Tensor, "batch 1"],
) -> Float[Tensor, "batch samples"]:
    """Noise of unit norm that begins after 2 ms and falls by 60 dB in `decay_s`: what a room adds to an impulse."""
    at_s = torch.arange(white.shape[1], device=white.device) / sample_rate_hz
    tail = white * torch.exp(at_s * (-3 * math.log(10) / decay_s)) * (at_s >= 0.002)
    return tail / torch.linalg.vector_norm(tail, dim=1, keepdim=True)


def _white(key: Float[Tensor, "batch 1"], count: int) -> Float[Tensor, "batch count"]:
    """Independent numbers around 0, uniform, that follow from the row's key: of a room's tail, and of spectra."""
    return hashed((key.double() * 2**48).long() + torch.arange(count, device=key.device)) - 0.5


def _faster(
    spectrum: Complex[Tensor, "batch bins"], period: int, speed: Float[Tensor, "batch 1"], samples: int
) -> Float[Tensor, "batch samples"]:
    """The signal with this spectrum, read at `speed`: interpolated between its samples at twice the rate."""
    wave = 2 * _wave(spectrum, 2 * period)
    wave = torch.cat([wave[:, 1 - TAPS // 2 :], wave, wave[:, : TAPS // 2]], dim=1)  # it is periodic
    # float64: a float32 holds the whole part of a position and no more than 7 bits behind the point
    at = torch.arange(samples, device=wave.device, dtype=torch.float64) * (2 * speed)
    whole = at.floor()
    phase = ((at - whole) * PHASES).round().long()
    row = wave.shape[1] * torch.arange(len(wave), device=wave.device).unsqueeze(1)
    near = wave.flatten().unfold(0, TAPS, 1).index_select(0, (whole.long() + row).flatten())
    weights = _interpolator(wave.device).index_select(0, phase.flatten())
    return torch.linalg.vecdot(near, weights).unflatten(0, (len(wave), samples))


@lru_cache(maxsize=8)
def _interpolator(device: torch.device) -> Float[Tensor, "phases taps"]:
    """Weights of the neighbours of a place between two samples: a windowed sinc, one row a place."""
    place = np.arange(PHASES + 1)[:, None] / PHASES - np.arange(1 - TAPS // 2, TAPS // 2 + 1)
    weights = np.sinc(place) * np.i0(6.0 * np.sqrt(np.maximum(0, 1 - (place / (TAPS / 2)) ** 2)))
    return torch.from_numpy(weights / weights.sum(1, keepdims=True)).float().to(device)
