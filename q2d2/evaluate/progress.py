"""The results of an evaluation that is under way, a line per clip, so that an interrupted one goes on where it was.

Scoring a test set with every metric takes hours. The file is there only while it does; it belongs to one question
(`key`: the weights, the systems, the metrics, the clips), and whoever asks another one starts anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from q2d2.evaluate.rows import Row


class ClipResult(NamedTuple):
    """One clip through all systems."""

    rows: list[Row]
    indices: Int64[np.ndarray, "frames pairs"] | None  # of the model at the highest of the rates


class Progress:
    """What an evaluation has found so far: in memory, and on the disk."""

    def __init__(self, file: Path, key: str) -> None:
        self._file = file
        self.found: dict[str, ClipResult] = {}  # by the name of the clip
        lines = self._lines()
        if next(lines, None) == {"key": key}:
            self.found = {line["clip"]: _result(line) for line in lines}
        # written anew: the end of a line may be missing, and what came after would be part of it
        self._open = file.open("w", encoding="utf-8")
        self._write({"key": key})
        for clip, result in self.found.items():
            self._write(_line(clip, result))

    def add(self, clip: str, result: ClipResult) -> None:
        """Keep the result of a clip."""
        self.found[clip] = result
        self._write(_line(clip, result))

    def close(self, finished: bool) -> None:
        """Let go of the file, and remove it if all of its results stand elsewhere now."""
        self._open.close()
        if finished:
            self._file.unlink()

    def _write(self, line: dict) -> None:
        self._open.write(json.dumps(line) + "\n")
        self._open.flush()
        os.fsync(self._open.fileno())

    def _lines(self) -> Iterator[dict]:
        """Those that are whole."""
        if not self._file.is_file():
            return
        for line in self._file.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                return


def _line(clip: str, result: ClipResult) -> dict:
    indices = None if result.indices is None else result.indices.tolist()
    return {"clip": clip, "rows": [asdict(row) for row in result.rows], "indices": indices}


def _result(line: dict) -> ClipResult:
    indices = None if line["indices"] is None else np.array(line["indices"], dtype=np.int64)
    return ClipResult([Row(**row) for row in line["rows"]], indices)
