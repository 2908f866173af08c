"""Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019): how much of the decoded signal is a multiple
of the original, against everything else in it.

Sample by sample, so a phase that no ear minds costs as much as noise: codecs that resynthesise score low, even below
0 dB, and sound better than the number. Both signals lose their mean first, as is usual: a constant offset is not heard.
Capped at +-CAP_DB, since an exact copy has no distortion to divide by.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from q2d2.evaluate.metrics.base import Metric, Original, Score, Signal, UndefinedError

CAP_DB = 100.0


def si_sdr(reference: Signal, decoded: Signal) -> float:
    """10 log10(|a s|^2 / |d - a s|^2), s the original, d the decoded signal, a = <d, s> / <s, s>."""
    original, other = _centred(reference, "original"), _centred(decoded, "decoded signal")
    target = np.dot(other, original) / np.dot(original, original) * original
    kept, lost = np.sum(target**2), np.sum((other - target) ** 2)
    least = 10 ** (-CAP_DB / 10)
    return float(10 * np.log10(max(kept, least * lost) / max(lost, least * kept)))


def _centred(signal: Signal, name: str) -> np.ndarray:
    if len(signal) == 0 or signal.min() == signal.max():
        raise UndefinedError(f"the {name} is silent")
    return signal.astype(np.float64) - signal.mean(dtype=np.float64)


def _measure(original: Original, decoded: Signal) -> Mapping[str, float]:
    return {"si_sdr": si_sdr(original.samples, decoded)}


METRIC = Metric(
    "si_sdr",
    (Score("si_sdr", "SI-SDR, dB", 1, perfect=CAP_DB),),
    _measure,
    f"Scale-invariant SDR (Le Roux et al. 2019) without the means, both signals at 24 kHz, capped at {CAP_DB:g} dB.",
)
