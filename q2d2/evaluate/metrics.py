"""Two signals -> how alike they are: PESQ and STOI by WavTokenizer's protocol. Knows arrays, not files or codecs.

Original and decoded signal come at `SAMPLE_RATE_HZ`, aligned and equally long. PESQ (ITU-T P.862, P.862.2) hears both
at 16 kHz: wide band what P.862.2 says, narrow band as over a telephone, and the two are not comparable. STOI (Taal et
al. 2011, not extended) hears them as they are; the package `pystoi` goes to 10 kHz by itself. A score that a clip does
not have is no number: -1 for a silent clip would enter the mean.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Literal

import numpy as np
from jaxtyping import Float32

from q2d2 import audio

SAMPLE_RATE_HZ = 24_000
PESQ_RATE_HZ = 16_000

_STOI_S = 0.4  # its correlations span 30 frames of 25.6 ms, one every 12.8 ms

Signal = Float32[np.ndarray, " samples"]


class MissingExtraError(ImportError):
    """A package of the extra `evaluate` that is not installed."""


class UndefinedError(ValueError):
    """This clip has no such score: why, in a few words."""


@dataclass(frozen=True)
class Metric:
    """A score by its name in files and in tables, and the function that gives it."""

    name: str
    heading: str
    decimals: int
    measure: Callable[[Signal, Signal], float]  # original and decoded


def pesq_wb(reference: Signal, decoded: Signal) -> float:
    """PESQ, wide band (P.862.2), as MOS-LQO: 1.04 to 4.64."""
    return _pesq(reference, decoded, "wb")


def pesq_nb(reference: Signal, decoded: Signal) -> float:
    """PESQ, narrow band (P.862 with the mapping of P.862.1), as MOS-LQO: 1.02 to 4.55."""
    return _pesq(reference, decoded, "nb")


def stoi(reference: Signal, decoded: Signal) -> float:
    """STOI, not extended: about 0 to 1."""
    package = _package("pystoi")
    if not reference.any():
        raise UndefinedError("the original is silent")
    if len(reference) < _STOI_S * SAMPLE_RATE_HZ:
        raise UndefinedError(f"less than {_STOI_S} s long")
    with warnings.catch_warnings():
        # "Not enough STFT frames", for which it would return 1e-5: too little is left without the pauses
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(package.stoi(reference, decoded, SAMPLE_RATE_HZ, extended=False))
        except RuntimeWarning as warning:
            raise UndefinedError(f"less than {_STOI_S} s of speech") from warning


METRICS = (
    Metric("pesq_wb", "PESQ-WB", 2, pesq_wb),
    Metric("pesq_nb", "PESQ-NB", 2, pesq_nb),
    Metric("stoi", "STOI", 3, stoi),
)


def require_packages() -> None:
    """MissingExtraError now, and not after an hour of coding."""
    for name in ("pesq", "pystoi"):
        _package(name)


def _pesq(reference: Signal, decoded: Signal, band: Literal["wb", "nb"]) -> float:
    package = _package("pesq")
    # The package scales by the larger peak, and PESQ sets the levels itself: neither has one for silence.
    for name, signal in (("original", reference), ("decoded signal", decoded)):
        if not signal.any():
            raise UndefinedError(f"the {name} is silent")
    pair = (audio.resample(signal, SAMPLE_RATE_HZ, PESQ_RATE_HZ) for signal in (reference, decoded))
    try:
        return float(package.pesq(PESQ_RATE_HZ, *pair, band))
    except package.NoUtterancesError as error:
        raise UndefinedError("no speech found in it") from error
    except package.BufferTooShortError as error:
        raise UndefinedError("less than 0.25 s long") from error


def _package(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtraError(
            f"the package {name} is not installed: pip install 'q2d2[evaluate]' brings what scores need"
        ) from error
