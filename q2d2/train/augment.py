"""Recordings -> as if others had made them: other voices, microphones, rooms and noises, for a corpus that has few.

Each row of a batch is changed at random: its speed (pitch and formants move together, as a taller speaker's would), the
response of its microphone, its upper band limit, the room around it and steady noise behind it. The codec must then
reproduce what it heard, noise included: nothing here is to be removed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

OCTAVES_FROM_HZ = 60.0  # the response bends at octaves of this
QUIET = 1e-4  # a crop whose peak lies below is left as it is


@dataclass(frozen=True)
class Augment:
    """How much, and how often. What is 0 does not happen."""

    speed: float = 0.15  # at most so much faster or slower, as a share
    response_db: float = 3.0  # standard deviation of the microphone's response, octave by octave
    noise: float = 0.5  # how often
    noise_db: tuple[float, float] = (8.0, 40.0)  # below the speech, uniform between these
    room: float = 0.25  # how often
    narrow: float = 0.1  # how often the band ends somewhere from 3.4 to 8 kHz


def source_samples(augment: Augment, rng: np.random.Generator, samples: int) -> int:
    """Draw how many samples of a recording become `samples`: the speed, the first of what is drawn for a row."""
    return round(samples * (1 + augment.speed) ** rng.uniform(-1, 1))


def changed(
    augment: Augment, rng: np.random.Generator, wav: Float32[np.ndarray, " _"], samples: int, sample_rate_hz: int
) -> Float32[np.ndarray, " samples"]:
    """The crop at its new speed, through a microphone and in a room, with its peak as it was."""
    peak = float(np.abs(wav).max(initial=0.0))
    hertz = np.fft.rfftfreq(samples, 1 / sample_rate_hz)
    spectrum = np.zeros(len(hertz), np.complex128)
    whole = np.fft.rfft(wav)
    shared = min(len(whole), len(spectrum))
    spectrum[:shared] = whole[:shared] * (samples / len(wav))
    spectrum *= _response(augment, rng, hertz)
    if rng.random() < augment.room:
        spectrum *= np.fft.rfft(_room(rng, samples, sample_rate_hz))
    if rng.random() < augment.noise:
        share = 10 ** (-rng.uniform(*augment.noise_db) / 20)
        spectrum += share * np.linalg.norm(spectrum) * _noise(augment, rng, hertz)
    if rng.random() < augment.narrow:
        top_hz = rng.uniform(3400, 8000)
        spectrum *= np.clip((1.05 * top_hz - hertz) / (0.05 * top_hz), 0, 1)
    made = np.fft.irfft(spectrum, n=samples)
    loudest = float(np.abs(made).max(initial=0.0))
    return (made * (peak / loudest if min(peak, loudest) > QUIET else 1.0)).astype(np.float32)


def _response(augment: Augment, rng: np.random.Generator, hertz: np.ndarray) -> np.ndarray:
    """A random gain at every octave, and straight lines in decibels between."""
    octaves = np.log2(np.maximum(hertz, OCTAVES_FROM_HZ) / OCTAVES_FROM_HZ)
    knots = np.arange(np.ceil(octaves[-1]) + 1)
    return 10 ** (np.interp(octaves, knots, rng.normal(0, augment.response_db, len(knots))) / 20)


def _noise(augment: Augment, rng: np.random.Generator, hertz: np.ndarray) -> np.ndarray:
    """The spectrum of steady noise of unit norm, between white and brown, as some microphone hears it."""
    tilt = np.maximum(hertz, OCTAVES_FROM_HZ) ** -rng.uniform(0, 1)
    spectrum = (rng.normal(size=len(hertz)) + 1j * rng.normal(size=len(hertz))) * tilt * _response(augment, rng, hertz)
    return spectrum / np.linalg.norm(spectrum)


def _room(rng: np.random.Generator, samples: int, sample_rate_hz: int) -> np.ndarray:
    """An impulse, and a tail of noise that falls by 60 dB in 0.15 to 0.6 s, 3 to 15 dB below it in energy."""
    decay_s, below_db = rng.uniform(0.15, 0.6), rng.uniform(3, 15)
    at_s = np.arange(samples) / sample_rate_hz
    tail = rng.normal(size=samples) * 10 ** (-3 * at_s / decay_s)
    tail[: int(0.002 * sample_rate_hz)] = 0
    tail *= 10 ** (-below_db / 20) / np.linalg.norm(tail)
    tail[0] = 1
    return tail
