"""ViSQOL in speech mode (Hines et al. 2015, Chinen et al. 2020): how alike two gammatone spectrograms are, 1 to 5.

Through the package `visqol-python`, at 16 kHz. It compares patches of 0.4 s, and looks for each where it fits best, so
a delay does not lower it. Of its two mappings from similarity to opinion this is the exponential one, which the C++
program calls --use_lattice_model=false and by which the identity has 5.0 whatever the clip. The other, a lattice
network and the program's default, needs a further runtime, gives a clip against itself 3.9 to 4.6, and coded speech 0.4
to 2 points less than this one: compare with published numbers only if they say which it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

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
    require_sound,
)

RATE_HZ = 16_000
SHORTEST_S = 0.64  # a window of 80 ms at the last of 29 frames, 20 ms apart: nine are skipped, twenty make a patch


def visqol(reference: Signal, decoded: Signal) -> float:
    """ViSQOL, speech mode, as MOS-LQO: 1 to 5."""
    require_sound(reference, decoded)
    if len(reference) < SHORTEST_S * SAMPLE_RATE_HZ:
        raise UndefinedError(f"less than {SHORTEST_S} s long")
    found = _api().measure_from_arrays(heard_at(reference, RATE_HZ), heard_at(decoded, RATE_HZ), RATE_HZ)
    return float(found.moslqo)


@lru_cache(maxsize=1)
def _api() -> Any:
    api = package("visqol").VisqolApi()
    api.create(mode="speech", use_lattice_model=False)  # said, or it would depend on what is installed
    return api


def _measure(original: Original, decoded: Signal) -> Mapping[str, float]:
    return {"visqol": visqol(original.samples, decoded)}


METRIC = Metric(
    "visqol",
    (Score("visqol", "ViSQOL", 2, perfect=5.0),),
    _measure,
    "ViSQOL v3 (Chinen et al. 2020), speech mode with the exponential mapping, both signals at 16 kHz.",
    needs("visqol"),
)
