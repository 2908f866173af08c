"""STOI (Taal et al. 2011, not extended): how much of the original's envelopes is left in 15 third-octave bands, 0 to 1.

Through the package `pystoi`, which goes from our 24 kHz to its 10 kHz by itself (WavTokenizer's protocol).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

from q2d2.evaluate.metrics.base import (
    SAMPLE_RATE_HZ,
    Metric,
    Original,
    Score,
    Signal,
    UndefinedError,
    needs,
    package,
)

SHORTEST_S = 0.4  # its correlations span 30 frames of 25.6 ms, one every 12.8 ms


def stoi(reference: Signal, decoded: Signal) -> float:
    """STOI, not extended: about 0 to 1."""
    pystoi = package("pystoi")
    if not reference.any():
        raise UndefinedError("the original is silent")
    if len(reference) < SHORTEST_S * SAMPLE_RATE_HZ:
        raise UndefinedError(f"less than {SHORTEST_S} s long")
    with warnings.catch_warnings():
        # "Not enough STFT frames", for which it would return 1e-5: too little is left without the pauses
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(pystoi.stoi(reference, decoded, SAMPLE_RATE_HZ, extended=False))
        except RuntimeWarning as warning:
            raise UndefinedError(f"less than {SHORTEST_S} s of speech") from warning


def _measure(original: Original, decoded: Signal) -> Mapping[str, float]:
    return {"stoi": stoi(original.samples, decoded)}


METRIC = Metric(
    "stoi",
    (Score("stoi", "STOI", 3, perfect=1.0),),
    _measure,
    "STOI (Taal et al. 2011), not extended, both signals at 24 kHz.",
    needs("pystoi"),
)
