"""Distill-MOS (Stahl and Gamper 2025): how listeners would rate the decoded signal by itself, from 1 to 5.

A small network taught by a large one on XLS-R features: English, from telephones, conferences, noise suppressors and
speech synthesis. The weights come with the package `distillmos`, which names torchaudio and needs it for reading files
only. Windows of 7.68 s, at most one second apart, averaged; a shorter clip is followed by zeros. Knows nothing of the
original.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from functools import lru_cache

import torch
from jaxtyping import Float32
from torch import Tensor

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
from q2d2.evaluate.torchaudio_stub import without_torchaudio

RATE_HZ = 16_000
SHORTEST_S = 0.5  # of 7.68 s, the rest of which would be zeros


def distill_mos(decoded: Signal) -> float:
    """Distill-MOS of a signal: 1 to 5. Its level does not matter, every window is scaled to a peak of 1."""
    if not decoded.any():
        raise UndefinedError("the decoded signal is silent")
    if len(decoded) < SHORTEST_S * SAMPLE_RATE_HZ:
        raise UndefinedError(f"less than {SHORTEST_S} s long")
    with torch.inference_mode():
        return float(_network()(torch.from_numpy(heard_at(decoded, RATE_HZ))[None]))


@lru_cache(maxsize=1)
def _network() -> Callable[[Float32[Tensor, "1 samples"]], Float32[Tensor, "1 1"]]:
    with without_torchaudio():
        sqa = package("distillmos.sqa")
    with redirect_stdout(io.StringIO()):  # it prints the path of its weights
        return sqa.ConvTransformerSQAModel().eval()


def _measure(original: Original, decoded: Signal) -> Mapping[str, float]:
    return {"distill_mos": distill_mos(decoded)}


METRIC = Metric(
    "distill_mos",
    (Score("distill_mos", "Distill-MOS", 2),),
    _measure,
    "Distill-MOS (Stahl and Gamper 2025) of the decoded signal alone, at 16 kHz.",
    needs("distillmos", "xls_r_sqa", how="pip install --no-deps distillmos==0.9.1 xls-r-sqa==0.1.0"),
)
