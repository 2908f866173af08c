"""Rows -> tables of means with 95 % intervals. Knows no audio."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from q2d2.analyze.utilization import Joint, Use
from q2d2.evaluate.metrics import Metric, Score
from q2d2.evaluate.rows import Row
from q2d2.tabular import Cell, Table, absent

RESAMPLES = 5000


def bootstrap_interval(values: Float[np.ndarray, " n"], seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean: percentiles of the means of samples drawn with replacement (Efron 1979).

    Over utterances, so it says how another such set of clips might score. It takes them as independent, and is
    too narrow where many come from the same speaker. For fewer than about 20 it is too narrow in any case.
    """
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(len(values), size=len(values))].mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def rates_table(rows: Sequence[Row]) -> Table:
    """One line per system, in the order of the rows: kbit/s, tokens, the delay that was found, and how many clips."""
    headings = ["system", "kbps, file", "kbps, payload", "kbps, log2(points)", "tokens/s", "delay, ms", "n"]
    lines: list[list[Cell | str]] = []
    for system, own in by_system(rows).items():
        coded = [row for row in own if row.delay_ms is not None or row.file_bytes is not None]
        sizes = [_per_second(own, size, 8e-3, 2) for size in ("file_bytes", "payload_bytes")]
        sizes.append(_per_second(own, "index_bits", 1e-3, 2))
        delays = [row.delay_ms for row in own if row.delay_ms is not None]
        delay = Cell(f"{np.median(delays):+.1f}") if delays else absent(own[0].note or "no clip that varies")
        lines.append([system, *sizes, _per_second(own, "tokens", 1.0, 1), delay, str(len(coded))])
    return Table(headings, lines)


def scores_table(rows: Sequence[Row], metrics: Sequence[Metric], missing: Mapping[str, str]) -> Table:
    """One line per system: means with 95 % intervals. `missing`: by the name of a metric, what it lacks."""
    scores = [(metric, score) for metric in metrics for score in metric.scores]
    arrow = {"highest": "↑", "lowest": "↓"}
    headings = ["system", *(f"{score.heading} {arrow[score.best]}" for _, score in scores)]
    lines: list[list[Cell | str]] = []
    for system, own in by_system(rows).items():
        cells = [
            absent(missing[metric.name]) if metric.name in missing else _mean(own, score) for metric, score in scores
        ]
        lines.append([system, *cells])
    return Table(headings, lines)


def pairs_table(uses: Sequence[Use]) -> Table:
    """One line per pair, and their sum: what the alphabets cost against what the indices are worth."""
    headings = ["pair", "points", "used", "dead", "entropy, bits", "log2(points)", "perplexity"]
    lines = []
    for pair, use in enumerate(uses, start=1):
        bits = [f"{use.corrected_entropy_bits:.2f}", f"{use.log2_points:.2f}", f"{use.perplexity:.1f}"]
        lines.append([str(pair), str(use.points), _share(use.used_share), str(use.dead_points), *bits])
    entropy = math.fsum(use.corrected_entropy_bits for use in uses)
    size = math.fsum(use.log2_points for use in uses)
    dead = sum(use.dead_points for use in uses)
    return Table(headings, [*lines, ["all", "", "", str(dead), f"{entropy:.2f}", f"{size:.2f}", ""]])


def frames_table(rates: Mapping[str, Joint]) -> Table:
    """One line per rate: the tokens of whole frames, beside what their number alone would make of them."""
    headings = ["system", "pairs", "log2(tokens)", "bits used", "pairs' points used", "tokens used"]
    headings += ["if uniform", "frames that differ", "unseen mass"]
    lines = []
    for name, joint in rates.items():
        token = joint.token
        bits = [f"{token.log2_points:.2f}", f"{joint.independent_entropy_bits:.2f}"]
        shares = (joint.pair_used_share, token.used_share, token.expected_used_share, token.distinct_share)
        lines.append([name, str(len(joint.pairs)), *bits, *map(_share, shares), f"{token.unseen_mass:.2f}"])
    return Table(headings, lines)


def by_system(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each system, both in the order in which they come."""
    return {name: [row for row in rows if row.system == name] for name in dict.fromkeys(row.system for row in rows)}


def _share(value: float) -> str:
    """Per cent, with digits where there is little of it."""
    return f"{100 * value:.1f} %" if value >= 0.001 else f"{100 * value:.1g} %"


def _per_second(rows: Sequence[Row], name: str, factor: float, decimals: int) -> Cell:
    """All of it over all seconds: what the whole set takes."""
    values = [getattr(row, name) for row in rows]
    if None in values:
        without = next(row for row in rows if getattr(row, name) is None)
        if name == "index_bits" and without.tokens is not None:
            return absent("its payload is its tokens, without entropy coding")
        return absent(without.note if without.note or name not in ("tokens", "index_bits") else "it has no tokens")
    return Cell(f"{factor * sum(values) / sum(row.duration_s for row in rows):.{decimals}f}")


def _mean(rows: Sequence[Row], score: Score) -> Cell:
    found = [row.scores[score.name] for row in rows]
    values = np.array([value for value in found if value is not None], dtype=np.float64)
    without = [row for row, value in zip(rows, found, strict=True) if value is None]
    if len(without) == len(rows):
        return absent(without[0].note)
    note = None
    if without:
        count = f"{len(without)} of {len(rows)} clips"
        note = f"undefined for {count}, such as {without[0].clip} ({without[0].note}); not in the mean"
    mean = f"{values.mean():.{score.decimals}f}"
    if len(values) > 1:
        low, high = bootstrap_interval(values)
        mean += f" [{low:.{score.decimals}f}, {high:.{score.decimals}f}]"
    return Cell(mean, note)
