"""Rows of an ablation -> the paper's tables: a line per model, its bits, and means over seeds with their spread.

A table of the paper compares grids whose bits differ. Here models with the same bits per second, to within
`SAME_BITS`, share a letter, and only among those is one called the best, if it is so by more than the seeds do.
Knows rows only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from q2d2 import presets
from q2d2.ablation.measure import METRICS
from q2d2.ablation.rows import Row
from q2d2.evaluate.metrics import Score
from q2d2.tabular import Cell, Table, absent

# The twins of the paper's 19.23 bits have 18.84 to 19.48: a grid has the points that it has.
SAME_BITS = 0.025
BEST = " *"
TITLES = {
    "8": "Table 8: grids, and others in their place",
    "9": "Table 9: dimensions",
    "10": "Table 10: levels",
    "11": "Table 11: input projection",
    "12": "Table 12: offset of the rows",
    "appendix-d": "Appendix D: bound, midpoints and gradients",
    "base": "Quantizers in one small model",
    "allocations": "Where the bits of a frame go",
}
OTHERS = "Others"
LEGEND = (
    "Means over n seeds ± half their range (from three on: their standard deviation). Models with the same letter have "
    f"the same bits per second to within {100 * SAME_BITS:g} %: compare these. {BEST.strip()} marks the best of a "
    "letter where it leads the next by more than both their spreads together. kbps: of the indices. Used: share of "
    "the points that occur, mean over the indices of a frame; worth: the sum of their entropies, in bits per frame."
)
_SCORES: tuple[Score, ...] = tuple(score for metric in METRICS for score in metric.scores)


@dataclass(frozen=True)
class Line:
    """One model at one rate, over its seeds."""

    rows: tuple[Row, ...]

    @property
    def first(self) -> Row:
        return self.rows[0]

    @cached_property
    def kbps(self) -> float:
        return self.first.kbps

    def values(self, score: str) -> list[float]:
        """Of the seeds that have it."""
        return [value for row in self.rows if (value := row.scores.get(score)) is not None]


def tables(rows: Sequence[Row]) -> dict[str, Table]:
    """By title, those that there are rows for, in the order of the paper; what belongs to none of them last."""
    lines = _lines(rows)
    found = {}
    for name in presets.TABLES:
        if own := [line for line in lines if name in line.first.tables]:
            order = presets.TABLES[name]
            own.sort(key=lambda line: order.index(line.first.preset.removeprefix(presets.MINIATURE)))
            found[TITLES.get(name, name)] = _table(own)
    if others := [line for line in lines if not line.first.tables]:
        found[OTHERS] = _table(others)
    return found


def letters(lines: Sequence[Line]) -> list[str]:
    """A letter for each line that has others of the same kbps beside it, "" for the rest and for what has no bits."""
    found = [""] * len(lines)
    groups: list[list[int]] = []
    for number in sorted((i for i, line in enumerate(lines) if line.kbps), key=lambda i: lines[i].kbps):
        if groups and lines[number].kbps <= (1 + SAME_BITS) * lines[groups[-1][0]].kbps:
            groups[-1].append(number)
        else:
            groups.append([number])
    for letter, group in zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", (g for g in groups if len(g) > 1), strict=False):
        for number in group:
            found[number] = letter
    return found


def best(lines: Sequence[Line], score: Score) -> Line | None:
    """The line that leads all others by more than its spread and the next one's; None if there is no such line."""
    sign = 1 if score.best == "highest" else -1
    known = [line for line in lines if line.values(score.name)]
    ranked = sorted(known, key=lambda line: sign * _mean(line.values(score.name)), reverse=True)
    if len(ranked) < 2:
        return None
    leader, *others = ranked
    for other in others:
        spreads = [spread(line.values(score.name)) for line in (leader, other)]
        lead = sign * (_mean(leader.values(score.name)) - _mean(other.values(score.name)))
        if any(found is None for found in spreads) or lead <= sum(found for found in spreads if found is not None):
            return None
    return leader


def spread(values: Sequence[float]) -> float | None:
    """How far seeds are apart: half the range of two, the standard deviation of more, unknown for one."""
    if len(values) < 2:
        return None
    return (max(values) - min(values)) / 2 if len(values) == 2 else float(np.std(values, ddof=1))


def _lines(rows: Sequence[Row]) -> list[Line]:
    keys = dict.fromkeys((row.preset, row.rate) for row in rows)
    return [Line(tuple(row for row in rows if (row.preset, row.rate) == key)) for key in keys]


def _table(lines: Sequence[Line]) -> Table:
    arrow = {"highest": "↑", "lowest": "↓"}
    scores = [f"{score.heading} {arrow[score.best]}" for score in _SCORES]
    headings = ["model", "quantizer", "bits/frame", "kbps", "same", *scores, "used", "worth", "steps", "n"]
    same = letters(lines)
    winners = {
        (score.name, letter): best([line for line, own in zip(lines, same, strict=True) if own == letter], score)
        for score in _SCORES
        for letter in set(same) - {""}
    }
    return Table(
        headings,
        [
            [
                " ".join(filter(None, (line.first.preset, line.first.rate))),
                line.first.quantizer,
                *_bits(line),
                letter,
                *(_score(line, score, winners.get((score.name, letter)) is line) for score in _SCORES),
                *_use(line),
                _between([row.steps for row in line.rows]),
                str(len(line.rows)),
            ]
            for line, letter in zip(lines, same, strict=True)
        ],
    )


def _bits(line: Line) -> list[Cell]:
    if not line.kbps:
        return [absent("no quantizer: what none of them would lose")] * 2
    return [Cell(f"{line.first.bits_per_frame:.2f}"), Cell(f"{line.kbps:.2f}")]


def _score(line: Line, score: Score, is_best: bool) -> Cell:
    notes = dict.fromkeys(row.notes[score.name] for row in line.rows if score.name in row.notes)
    values = line.values(score.name)
    if not values:
        return absent("; ".join(notes) or "not measured")
    # one digit more than a single clip is worth: these are means, and the spread is to be seen
    decimals = score.decimals + 1
    text = f"{_mean(values):.{decimals}f}"
    if (apart := spread(values)) is not None:
        text += f" ± {apart:.{decimals}f}"
    return Cell(text + (BEST if is_best else ""), "; ".join(notes) or None)


def _use(line: Line) -> list[str]:
    shares = [row.used_share for row in line.rows if row.used_share is not None]
    bits = [row.entropy_bits for row in line.rows if row.entropy_bits is not None]
    return [f"{100 * _mean(shares):.1f} %" if shares else "", f"{_mean(bits):.2f}" if bits else ""]


def _between(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low}–{high}"


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
