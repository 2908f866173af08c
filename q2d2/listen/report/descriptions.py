"""What a system sends, for the columns of the paper's tables: a CSV with name, kbps, nq, tokens_per_second.

What has no tokens, as Opus, leaves the last two empty.

A study knows sounds only, and nothing of the codecs that made them.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import NamedTuple

from q2d2.opening import FileError

COLUMNS = ("name", "kbps", "nq", "tokens_per_second")


class Described(NamedTuple):
    """One system."""

    bandwidth_kbps: float
    codebooks: int | None  # the paper's Nq; None for what has no tokens
    tokens_per_second: float | None


def read_descriptions(path: Path) -> dict[str, Described]:
    """By the names of the systems; FileError for what is no such CSV."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
                raise FileError(f"{path}: lacks the column {missing[0]}; its first line should be {','.join(COLUMNS)}")
            return {row["name"]: _described(path, reader.line_num, row) for row in reader}
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror})") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise FileError(f"{path}: is not a CSV in UTF-8 ({error})") from error


def _described(path: Path, line: int, row: dict[str, str]) -> Described:
    try:
        nq, tokens_per_second = row["nq"].strip(), row["tokens_per_second"].strip()
        found = Described(
            float(row["kbps"]), int(nq) if nq else None, float(tokens_per_second) if tokens_per_second else None
        )
    except (TypeError, AttributeError, ValueError) as error:  # but for the last, the line is too short
        what = "kbps, nq and tokens_per_second should be numbers; the latter two may be empty"
        raise FileError(f"{path}, line {line}: {what}") from error
    if not all(value is None or (math.isfinite(value) and value > 0) for value in found):
        raise FileError(f"{path}, line {line}: kbps, nq and tokens_per_second should be above 0")
    return found
