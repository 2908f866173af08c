"""What was measured, one row per utterance and system -> CSV and Parquet. Knows no audio and no tables.

A number that does not exist is an empty cell (null), never a zero.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from q2d2.evaluate.metrics.base import package


@dataclass(frozen=True)
class Row:
    """One utterance through one system; None is what could not be had, and `note` says why."""

    clip: str
    system: str
    duration_s: float
    sample_rate_hz: int  # of the original
    file_bytes: int | None
    payload_bytes: int | None
    tokens: int | None  # numbers that a language model would see; None for a codec without tokens
    delay_ms: float | None  # of the decoded signal, as measured
    scores: Mapping[str, float | None]  # by the names of the scores
    note: str = ""
    index_bits: float | None = None  # what the tokens cost at log2 of their alphabets, without entropy coding


_FIXED = ("clip", "system", "duration_s", "sample_rate_hz", "file_bytes", "payload_bytes", "tokens", "delay_ms")
_LAST = ("index_bits", "note")  # behind the scores
_WHOLE = ("sample_rate_hz", "file_bytes", "payload_bytes", "tokens")


def rows_csv(rows: Sequence[Row]) -> str:
    """All rows, one column for each score; an empty cell for what could not be had."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_columns(rows))
    writer.writerows(_cells(rows))  # None is written as an empty cell
    return text.getvalue()


def rows_parquet(rows: Sequence[Row]) -> bytes:
    """The same as Parquet. MissingExtraError without pandas and pyarrow."""
    pandas = package("pandas")
    package("pyarrow")
    frame = pandas.DataFrame(list(_cells(rows)), columns=_columns(rows))
    numbers = [name for name in frame.columns if name not in ("clip", "system", "note")]
    frame = frame.astype({name: "Int64" if name in _WHOLE else "float64" for name in numbers})
    data = io.BytesIO()
    frame.to_parquet(data, index=False)
    return data.getvalue()


def read_rows(text: str) -> list[Row]:
    """The rows of a CSV that `rows_csv` has written; ValueError if it is another table."""
    reader = csv.DictReader(io.StringIO(text))
    columns = list(reader.fieldnames or ())
    if columns[: len(_FIXED)] != list(_FIXED) or columns[-1:] != ["note"]:
        raise ValueError("these are not the rows of an evaluation (rows.csv of q2d2 evaluate)")
    scores = [name for name in columns[len(_FIXED) :] if name not in _LAST]
    return [
        Row(
            clip=line["clip"],
            system=line["system"],
            duration_s=float(line["duration_s"]),
            sample_rate_hz=int(line["sample_rate_hz"]),
            **{name: int(line[name]) if line[name] else None for name in ("file_bytes", "payload_bytes", "tokens")},
            delay_ms=float(line["delay_ms"]) if line["delay_ms"] else None,
            scores={name: float(line[name]) if line[name] else None for name in scores},
            note=line["note"],
            # older tables have no such column
            index_bits=float(line["index_bits"]) if line.get("index_bits") else None,
        )
        for line in reader
    ]


def tokens_csv(counts: Sequence[Int64[np.ndarray, " _"]]) -> str:
    """How often each point of each pair occurred."""
    lines = [f"{pair},{point},{n}" for pair, column in enumerate(counts) for point, n in enumerate(column.tolist())]
    return "\n".join(["pair,point,count", *lines]) + "\n"


def _columns(rows: Sequence[Row]) -> list[str]:
    return [*_FIXED, *rows[0].scores, *_LAST]


def _cells(rows: Sequence[Row]) -> Iterator[list[object]]:
    for row in rows:
        yield [*(getattr(row, name) for name in _FIXED), *row.scores.values(), *(getattr(row, name) for name in _LAST)]
