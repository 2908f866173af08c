"""PESQ (ITU-T P.862): how a listener would rate the decoded signal beside the original, from 1 to about 4.6.

Through the package `pesq`, at 16 kHz, as WavTokenizer's evaluation does. Wide band is P.862.2; narrow band hears both
as over a telephone (P.862 with the mapping of P.862.1). The two are not comparable.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from q2d2.evaluate.metrics.base import (
    Metric,
    Original,
    Score,
    Signal,
    UndefinedError,
    heard_at,
    needs,
    package,
    require_sound,
)

RATE_HZ = 16_000


def pesq_wb(reference: Signal, decoded: Signal) -> float:
    """PESQ, wide band, as MOS-LQO: 1.04 to 4.64."""
    return _pesq(reference, decoded, "wb")


def pesq_nb(reference: Signal, decoded: Signal) -> float:
    """PESQ, narrow band, as MOS-LQO: 1.02 to 4.55."""
    return _pesq(reference, decoded, "nb")


def _pesq(reference: Signal, decoded: Signal, band: Literal["wb", "nb"]) -> float:
    pesq = package("pesq")
    # The package scales by the larger peak, and PESQ sets the levels itself: neither has one for silence.
    require_sound(reference, decoded)
    try:
        return float(pesq.pesq(RATE_HZ, heard_at(reference, RATE_HZ), heard_at(decoded, RATE_HZ), band))
    except pesq.NoUtterancesError as error:
        raise UndefinedError("no speech found in it") from error
    except pesq.BufferTooShortError as error:
        raise UndefinedError("less than 0.25 s long") from error


def _measure_wb(original: Original, decoded: Signal) -> Mapping[str, float]:
    return {"pesq_wb": pesq_wb(original.samples, decoded)}


def _measure_nb(original: Original, decoded: Signal) -> Mapping[str, float]:
    return {"pesq_nb": pesq_nb(original.samples, decoded)}


WIDE_BAND = Metric(
    "pesq_wb",
    (Score("pesq_wb", "PESQ-WB", 2, perfect=4.644),),
    _measure_wb,
    "PESQ, wide band (ITU-T P.862.2), both signals at 16 kHz.",
    needs("pesq"),
)
NARROW_BAND = Metric(
    "pesq_nb",
    (Score("pesq_nb", "PESQ-NB", 2, perfect=4.549),),
    _measure_nb,
    "PESQ, narrow band (ITU-T P.862 with P.862.1), both signals at 16 kHz.",
    needs("pesq"),
)
