"""Two signals -> how alike they are, and how good the second one sounds: one family of metrics a file.

`METRICS` is all of them, in the order of the tables. Nothing heavy is imported before a metric measures.
"""

from q2d2.evaluate.metrics import (
    distillmos,
    dnsmos,
    mel_distance,
    pesq,
    si_sdr,
    speaker,
    stoi,
    utmos,
    visqol,
    voicing,
    words,
)
from q2d2.evaluate.metrics.base import (
    SAMPLE_RATE_HZ,
    Metric,
    MissingExtraError,
    Original,
    Score,
    Signal,
    UndefinedError,
)

__all__ = [
    "GROUPED",
    "METRICS",
    "SAMPLE_RATE_HZ",
    "Metric",
    "MissingExtraError",
    "Original",
    "Score",
    "Signal",
    "UndefinedError",
]

# The tables, by their titles.
GROUPED: dict[str, tuple[Metric, ...]] = {
    "Fidelity to the original": (
        pesq.WIDE_BAND,
        pesq.NARROW_BAND,
        stoi.METRIC,
        visqol.METRIC,
        mel_distance.METRIC,
        si_sdr.METRIC,
    ),
    "Pitch, speaker and words": (voicing.METRIC, speaker.METRIC, words.METRIC),
    "Opinion of the decoded signal alone": (distillmos.METRIC, dnsmos.METRIC, utmos.METRIC),
}
METRICS: tuple[Metric, ...] = tuple(metric for group in GROUPED.values() for metric in group)
