"""Equal loudness within a trial, so that nobody prefers what is only louder; and room below full scale. Arrays only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyloudnorm
from jaxtyping import Float32

PEAK = 10 ** (-1 / 20)  # -1 dBFS: what a stimulus reaches at most once its loudness has been changed
FULL_SCALE = 1.0

_BLOCK_S = 0.4  # of ITU-R BS.1770; what is shorter has no loudness

Sounds = dict[str, Float32[np.ndarray, " samples"]]


class Levelled(NamedTuple):
    """Sounds of equal loudness."""

    sounds: Sounds
    left_alone: dict[str, str]  # name -> why its loudness stayed as it was
    by_rms: bool  # whether they are too short for ITU-R BS.1770, so that their RMS has been made equal instead


def equally_loud(
    reference: Float32[np.ndarray, " samples"],
    sounds: Mapping[str, Float32[np.ndarray, " samples"]],
    sample_rate_hz: int,
) -> Levelled:
    """Every sound with the loudness of the reference (ITU-R BS.1770)."""
    by_rms = len(reference) < _BLOCK_S * sample_rate_hz
    target_db = _level_db(reference, sample_rate_hz, by_rms)
    levelled: Sounds = {}
    left_alone: dict[str, str] = {}
    for name, sound in sounds.items():
        level_db = _level_db(sound, sample_rate_hz, by_rms)
        levelled[name] = sound
        if not np.isfinite(target_db):
            left_alone[name] = "its reference is silent"
        elif not np.isfinite(level_db):
            left_alone[name] = "it is silent"
        else:
            levelled[name] = sound * np.float32(10 ** ((target_db - level_db) / 20))
    return Levelled(levelled, left_alone, by_rms)


def lowered(sounds: Mapping[str, Float32[np.ndarray, " samples"]], peak: float) -> Sounds:
    """All of them by one factor, so that none exceeds `peak`; as they are if none does."""
    highest = max(float(np.abs(sound).max()) for sound in sounds.values())
    factor = np.float32(min(1.0, peak / highest) if highest else 1.0)
    return {name: sound * factor for name, sound in sounds.items()}


def _level_db(wav: Float32[np.ndarray, " samples"], sample_rate_hz: int, by_rms: bool) -> float:
    """LUFS, or dB of the RMS; -inf for silence, which for BS.1770 is all below -70 LUFS."""
    exact = wav.astype(np.float64)
    if not by_rms:
        return float(pyloudnorm.Meter(sample_rate_hz).integrated_loudness(exact))
    power = float(np.mean(exact**2))
    return 10 * np.log10(power) if power else -np.inf
