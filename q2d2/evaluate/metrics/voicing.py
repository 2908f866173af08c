"""Voicing and pitch of the decoded signal beside the original's, as CREPE hears them: V/UV F1, periodicity, cents.

WavTokenizer's and Vocos' protocol, which is CARGAN's (Morrison et al. 2022): 16 kHz, frames of 64 ms every 10 ms inside
the signal, pitches of 50 to 550 Hz. A frame is silent, of periodicity 0, where its A-weighted spectrum (librosa's, not
more than 80 dB below the clip's loudest bin) averages less than -40 dB; it is voiced where its periodicity is 0.21 or
more. Differences: no noise is added to the pitch (see `crepe`), and a decoded signal that has lost all voicing, or
found it only where there is none, has an F1 of 0, where theirs leaves out the clip.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float32

from q2d2.evaluate.metrics import crepe
from q2d2.evaluate.metrics.base import Metric, Original, Score, Signal, UndefinedError, heard_at, needs, package

FMIN_HZ, FMAX_HZ = 50.0, 550.0
SILENCE_DB = -60.0  # of loudness less REFERENCE_DB
REFERENCE_DB = 20.0
LEAST_PERIODICITY = 0.21


class VoicingErrors(NamedTuple):
    """How the decoded signal's voice differs from the original's."""

    vuv_f1: float  # of "this frame is voiced"; NaN if none is in either
    periodicity_rmse: float  # over all frames
    pitch_rmse_cents: float  # over the frames that are voiced in both; NaN if there is none


class Voice(NamedTuple):
    """One signal, frame by frame."""

    pitch_cents: Float32[np.ndarray, " frames"]
    periodicity: Float32[np.ndarray, " frames"]
    voiced: Bool[np.ndarray, " frames"]


def voicing_errors(reference: Signal, decoded: Signal) -> VoicingErrors:
    """Compare the voices of two signals; UndefinedError if they are shorter than a frame."""
    original, other = (_voice(signal.tobytes()) for signal in (reference, decoded))
    both = original.voiced & other.voiced
    either = np.count_nonzero(original.voiced) + np.count_nonzero(other.voiced)
    return VoicingErrors(
        float(2 * np.count_nonzero(both) / either) if either else float("nan"),
        _rms(original.periodicity - other.periodicity),
        _rms((original.pitch_cents - other.pitch_cents)[both]) if both.any() else float("nan"),
    )


def _rms(difference: Float32[np.ndarray, " frames"]) -> float:
    return float(np.sqrt(np.mean(difference.astype(np.float64) ** 2)))


@lru_cache(maxsize=4)  # an original comes back with every codec
def _voice(samples: bytes) -> Voice:
    return voice(heard_at(np.frombuffer(samples, np.float32), crepe.RATE_HZ))


def voice(signal: Signal) -> Voice:
    """Pitch, periodicity and voicing of a signal at 16 kHz; UndefinedError if it is shorter than a frame."""
    if len(signal) < crepe.FRAME:
        raise UndefinedError(f"less than {crepe.FRAME / crepe.RATE_HZ} s long")
    cents, periodicity = crepe.pitch(signal, FMIN_HZ, FMAX_HZ)
    periodicity = np.where(loudness_db(signal) - REFERENCE_DB < SILENCE_DB, np.float32(0), periodicity)
    return Voice(cents, periodicity, periodicity >= LEAST_PERIODICITY)


def loudness_db(signal: Signal) -> Float32[np.ndarray, " frames"]:
    """The mean over frequency of each frame's A-weighted power spectrum in dB, of a signal at 16 kHz."""
    librosa = package("librosa")
    frames = torch.from_numpy(signal).unfold(0, crepe.FRAME, crepe.HOP) * torch.hann_window(crepe.FRAME)
    power = torch.fft.rfft(frames).abs().square().T.numpy()
    frequencies_hz = librosa.fft_frequencies(sr=crepe.RATE_HZ, n_fft=crepe.FRAME)
    with np.errstate(divide="ignore"):  # the weight at 0 Hz, which is then set to -80 dB
        return librosa.perceptual_weighting(power, frequencies_hz).mean(0).astype(np.float32)


def _missing() -> str | None:
    return needs("librosa")() or crepe.missing()


def _measure(original: Original, decoded: Signal) -> Mapping[str, float]:
    return voicing_errors(original.samples, decoded)._asdict()


METRIC = Metric(
    "voicing",
    (
        Score("vuv_f1", "V/UV F1", 3, perfect=1.0),
        Score("periodicity_rmse", "Periodicity RMSE", 3, best="lowest", perfect=0.0),
        Score("pitch_rmse_cents", "Pitch RMSE, cents", 1, best="lowest", perfect=0.0),
    ),
    _measure,
    "F1 of voiced frames, error of periodicity, and error of pitch where both are voiced, by CREPE (Kim et al. 2018) "
    "with the thresholds of CARGAN (Morrison et al. 2022), both signals at 16 kHz.",
    _missing,
)
