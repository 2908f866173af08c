"""What evaluations and benchmarks have written -> what the figures take. Knows their files, nothing of drawing."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np
from jaxtyping import Int64

from q2d2 import audio
from q2d2.benchmark.config import Way
from q2d2.benchmark.measure import Setting
from q2d2.benchmark.rows import Line
from q2d2.corpus.manifests import read_manifest
from q2d2.evaluate.rows import Row, read_rows

ROWS, TOKENS = "rows.csv", "tokens.csv"
_MEDIANS = ("encode_rtf", "decode_rtf", "rtf", "first_s", "heard_s")
_EXTREMES = ("best_rtf", "peak_mib")


def choose_clips(data: Path, clips: int, seed: int) -> list[Path]:
    """So many of a folder's or a manifest's clips, in their order; all of them if there are no more."""
    found = [entry.path for entry in read_manifest(data)] if data.is_file() else audio.list_audio(data)
    if not found:
        raise audio.AudioError(f"{data}: holds no audio")
    chosen = np.random.default_rng(seed).choice(len(found), min(clips, len(found)), replace=False)
    return [found[number] for number in sorted(chosen.tolist())]


def read_scores(folder: Path) -> list[Row]:
    """The rows of an evaluation."""
    with _opened(folder / ROWS, "evaluate") as text:
        rows = read_rows(text)
        if not rows:
            raise ValueError("holds no rows")
    return rows


def read_tokens(folder: Path) -> list[Int64[np.ndarray, " _"]]:
    """How often each point of each pair occurred in an evaluation."""
    counts: list[list[int]] = []
    with _opened(folder / TOKENS, "evaluate") as text:
        heading, *lines = csv.reader(io.StringIO(text))
        if heading != ["pair", "point", "count"]:
            raise ValueError("these are not the tokens of an evaluation (tokens.csv of q2d2 evaluate)")
        for pair, point, count in (map(int, line) for line in lines):
            if point == 0:
                counts.append([])
            if not counts or (pair, point) != (len(counts) - 1, len(counts[-1])):
                raise ValueError(f"pair {pair}, point {point} is not where it belongs")
            counts[-1].append(count)
    return [np.array(column, dtype=np.int64) for column in counts]


def read_speed(folder: Path) -> list[Line]:
    """The lines of a benchmark: medians over its rounds, of what could be measured."""
    groups: dict[tuple[str, Setting], list[dict[str, str]]] = {}
    with _opened(folder / ROWS, "benchmark") as text:
        reader = csv.DictReader(io.StringIO(text))
        if not {"system", *Setting._fields, *_MEDIANS, *_EXTREMES} <= set(reader.fieldnames or ()):
            raise ValueError("these are not the rows of a benchmark (rows.csv of q2d2 benchmark)")
        for row in reader:
            if row["rtf"]:
                way: Way = "stream" if row["way"] == "stream" else "clip"
                setting = Setting(row["device"], int(row["threads"]), int(row["batch"]), way, float(row["duration_s"]))
                groups.setdefault((row["system"], setting), []).append(row)
        if not groups:
            raise ValueError("nothing in it was measured")
        return [_line(system, setting, rows) for (system, setting), rows in groups.items()]


def _line(system: str, setting: Setting, rows: Sequence[dict[str, str]]) -> Line:
    numbers = {name: [float(row[name]) for row in rows] for name in (*_MEDIANS, *_EXTREMES)}
    medians = {name: median(numbers[name]) for name in _MEDIANS}
    best_rtf, peak_mib = min(numbers["best_rtf"]), max(numbers["peak_mib"])
    return Line(system, setting, **medians, best_rtf=best_rtf, peak_mib=peak_mib, ratio=None)


@contextmanager
def _opened(path: Path, verb: str) -> Iterator[str]:
    """The text of a file that a verb has written; what is wrong with it is said with its name."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: is not there; give the folder that q2d2 {verb} has written")
    try:
        yield path.read_text(encoding="utf-8")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
