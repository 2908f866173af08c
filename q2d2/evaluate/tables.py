"""Rows -> CSV, and rows -> a Markdown table of means with 95 % intervals. Knows no audio.

A number that does not exist is an empty cell in the one and a dash with a footnote in the other, never a zero.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from q2d2.analyze import utilization
from q2d2.evaluate.metrics import METRICS

RESAMPLES = 5000
DASH = "–"


@dataclass(frozen=True)
class Row:
    """One utterance through one system; None is what could not be had, and `note` says why."""

    clip: str
    system: str
    duration_s: float
    sample_rate_hz: int  # of the original
    file_bytes: int | None
    payload_bytes: int | None
    delay_ms: float | None  # of the decoded signal, as measured
    scores: Mapping[str, float | None]  # by the names of METRICS
    note: str = ""


class _Footnotes:
    """Texts by the order in which they were first used."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def mark(self, text: str) -> str:
        if text not in self._texts:
            self._texts.append(text)
        return f"[^{self._texts.index(text) + 1}]"

    def lines(self) -> list[str]:
        return [f"[^{i}]: {text}" for i, text in enumerate(self._texts, start=1)]


def rows_csv(rows: Sequence[Row]) -> str:
    """All rows, one column for each metric; an empty cell for what could not be had."""
    fixed = ("clip", "system", "duration_s", "sample_rate_hz", "file_bytes", "payload_bytes", "delay_ms")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*fixed, *(metric.name for metric in METRICS), "note"])
    for row in rows:
        # None is written as an empty cell
        writer.writerow(
            [*(getattr(row, name) for name in fixed), *(row.scores[metric.name] for metric in METRICS), row.note]
        )
    return text.getvalue()


def tokens_csv(counts: Sequence[Int64[np.ndarray, " _"]]) -> str:
    """How often each point of each pair occurred."""
    lines = [f"{pair},{point},{n}" for pair, column in enumerate(counts) for point, n in enumerate(column.tolist())]
    return "\n".join(["pair,point,count", *lines]) + "\n"


def bootstrap_interval(values: Float[np.ndarray, " n"], seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean: percentiles of the means of samples drawn with replacement (Efron 1979).

    Over utterances, so it says how another such set of clips might score. It takes them as independent, and is
    too narrow where many come from the same speaker. For fewer than about 20 it is too narrow in any case.
    """
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(len(values), size=len(values))].mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def systems_table(rows: Sequence[Row]) -> str:
    """One line per system, in the order of the rows: kbit/s, means with 95 % intervals, and the number of clips."""
    notes = _Footnotes()
    headings = ["system", "kbps, file", "kbps, payload", *(metric.heading for metric in METRICS), "n"]
    lines = [_line(headings), _line(["---", *["---:"] * (len(headings) - 1)])]
    for system in dict.fromkeys(row.system for row in rows):
        own = [row for row in rows if row.system == system]
        coded = [row for row in own if row.file_bytes is not None]
        if not coded:
            dashes = [DASH + notes.mark(own[0].note)] * (len(headings) - 2)
            lines.append(_line([system, *dashes, "0"]))
            continue
        rates = [_kbps(coded, "file_bytes"), _kbps(coded, "payload_bytes")]
        means = [_mean(coded, metric.name, metric.decimals, notes) for metric in METRICS]
        lines.append(_line([system, *rates, *means, str(len(coded))]))
    footnotes = notes.lines()
    return "\n".join([*lines, "", *footnotes] if footnotes else lines)


def tokens_table(uses: Sequence[utilization.Use]) -> str:
    """One line per pair, and their sum: what the alphabets cost against what the tokens are worth."""
    lines = [_line(["pair", "points", "used", "entropy, bits", "log2(points)"]), _line(["---:"] * 5)]
    for pair, use in enumerate(uses, start=1):
        used = f"{100 * use.used_share:.1f} %"
        lines.append(_line([str(pair), str(use.points), used, f"{use.entropy_bits:.2f}", f"{use.log2_points:.2f}"]))
    entropy, bits = sum(use.entropy_bits for use in uses), sum(use.log2_points for use in uses)
    return "\n".join([*lines, _line(["all", "", "", f"{entropy:.2f}", f"{bits:.2f}"])])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _kbps(rows: Sequence[Row], size: str) -> str:
    """All bits over all seconds: what the whole set takes."""
    return f"{8e-3 * sum(getattr(row, size) for row in rows) / sum(row.duration_s for row in rows):.2f}"


def _mean(rows: Sequence[Row], name: str, decimals: int, notes: _Footnotes) -> str:
    found = [row.scores[name] for row in rows]
    values = np.array([value for value in found if value is not None], dtype=np.float64)
    without = [row for row, value in zip(rows, found, strict=True) if value is None]
    mark = ""
    if without:
        count = f"{len(without)} of {len(rows)} clips"
        mark = notes.mark(f"undefined for {count}, such as {without[0].clip} ({without[0].note}); not in the mean")
    if not len(values):
        return DASH + mark
    mean = f"{values.mean():.{decimals}f}"
    if len(values) > 1:
        low, high = bootstrap_interval(values)
        mean += f" [{low:.{decimals}f}, {high:.{decimals}f}]"
    return mean + mark
