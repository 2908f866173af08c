"""DNSMOS: how listeners would rate the decoded signal by itself, from 1 to 5, as Microsoft's networks predict it.

P.808 (Reddy et al. 2021) is one overall opinion; P.835 (Reddy et al. 2022) asks for the speech (SIG), the background
(BAK) and both (OVRL). The weights come with the package `speechmos`. They learned from noise suppressors, not from
codecs, and do not know what was said or by whom. The reference script's protocol: windows of 9.01 s, one a second,
averaged; a shorter clip is doubled until it fills one. Knows nothing of the original.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from q2d2.evaluate.metrics.base import (
    SAMPLE_RATE_HZ,
    Metric,
    Original,
    Score,
    Signal,
    UndefinedError,
    heard_at,
    needs,
    package,
)

RATE_HZ = 16_000
SHORTEST_S = 0.5  # what is repeated more than 18 times is a buzz


def dnsmos(decoded: Signal) -> dict[str, float]:
    """P.808 and P.835 of a signal, by the names of the scores: 1 to 5 each."""
    if not decoded.any():
        raise UndefinedError("the decoded signal is silent")
    if len(decoded) < SHORTEST_S * SAMPLE_RATE_HZ:
        raise UndefinedError(f"less than {SHORTEST_S} s long")
    found = _networks()(np.clip(heard_at(decoded, RATE_HZ), -1, 1), RATE_HZ, False)  # which refuse what would clip
    return {f"dnsmos_{name}": float(found[f"{name}_mos"]) for name in ("p808", "ovrl", "sig", "bak")}


@lru_cache(maxsize=1)
def _networks() -> Callable[[np.ndarray, int, bool], Mapping[str, Any]]:
    """The package's networks, on one thread: it would start one for each core, in every process of an evaluation."""
    speechmos, onnxruntime = package("speechmos.dnsmos"), package("onnxruntime")
    folder = Path(speechmos.__file__ or "").parent / "dnsmos_models"
    p835, p808 = str(folder / "sig_bak_ovr.onnx"), str(folder / "model_v8.onnx")
    networks = speechmos.DNSMOS(p835, p808)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    networks.onnx_sess = onnxruntime.InferenceSession(p835, options)
    networks.p808_onnx_sess = onnxruntime.InferenceSession(p808, options)
    return networks


def _measure(original: Original, decoded: Signal) -> Mapping[str, float]:
    return dnsmos(decoded)


METRIC = Metric(
    "dnsmos",
    (
        Score("dnsmos_p808", "DNSMOS P.808", 2),
        Score("dnsmos_ovrl", "DNSMOS OVRL", 2),
        Score("dnsmos_sig", "DNSMOS SIG", 2),
        Score("dnsmos_bak", "DNSMOS BAK", 2),
    ),
    _measure,
    "DNSMOS P.808 (Reddy et al. 2021) and P.835 (Reddy et al. 2022) of the decoded signal alone, at 16 kHz.",
    needs("speechmos", "onnxruntime", "librosa", "requests"),
)
