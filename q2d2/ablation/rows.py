"""What is known of one trained model at one rate -> JSON and CSV. Nothing in a row depends on how fast the machine was.

Exception: with a budget in minutes, `steps`, and so everything that was learned.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from q2d2 import presets


@dataclass(frozen=True)
class Row:
    """A model at one of its rates; scores are means over the clips, None where there is no such number."""

    preset: str
    seed: int
    rate: str | None  # None: the only one
    quantizer: str
    points: tuple[int, ...]  # of each pair
    bits_per_frame: float  # sum of log2(points)
    frame_rate_hz: float
    steps: int  # of training
    heard_s: float  # of audio, in all of the batches
    parameters: int
    clips: int
    scores: Mapping[str, float | None]
    used_share: float | None  # of the points, mean over the pairs
    entropy_bits: float | None  # bits per frame that the tokens are worth: sum of the pairs' entropies
    notes: Mapping[str, str] = field(default_factory=dict)  # by score: why it is missing or a mean over fewer clips

    @property
    def kbps(self) -> float:
        """Of the indices themselves."""
        return self.bits_per_frame * self.frame_rate_hz / 1000

    @property
    def tables(self) -> tuple[str, ...]:
        """The comparisons that this model is of, in miniature or not."""
        name = self.preset.removeprefix(presets.MINIATURE)
        return tuple(table for table, names in presets.TABLES.items() if name in names)


_ROWS = TypeAdapter(tuple[Row, ...])


def to_json(rows: Sequence[Row]) -> bytes:
    """The file of one finished model."""
    return _ROWS.dump_json(tuple(rows), indent=1) + b"\n"


def read(file: Path) -> tuple[Row, ...]:
    """The rows of a finished model; ValueError if the file is something else."""
    try:
        return _ROWS.validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(
            f"{file}: holds no rows of an ablation ({where}: {first['msg']}); remove it to make that model's again"
        ) from error


def to_csv(rows: Sequence[Row]) -> str:
    """All rows, a column for each score; an empty cell for what could not be had."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    scores = list(dict.fromkeys(name for row in rows for name in row.scores))
    before = ("preset", "tables", "seed", "rate", "quantizer", "points", "bits_per_frame", "frame_rate_hz", "kbps")
    between = ("steps", "heard_s", "parameters", "clips")
    writer.writerow([*before, *between, *scores, "used_share", "entropy_bits", "notes"])
    for row in rows:
        lists = {name: " ".join(map(str, getattr(row, name))) for name in ("tables", "points")}
        known = [lists.get(name, getattr(row, name)) for name in (*before, *between)]
        notes = "; ".join(f"{name}: {note}" for name, note in row.notes.items())
        # None is written as an empty cell
        writer.writerow([*known, *(row.scores.get(name) for name in scores), row.used_share, row.entropy_bits, notes])
    return text.getvalue()
