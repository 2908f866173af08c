"""The tables: a row per clip with its tokens, and beside it a row per clip that could not be read.

A table is there whole or not at all, and its pages have checksums. Knows pyarrow, not codecs.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Integer

from q2d2.atomic import replacing
from q2d2.tokens.arrow import pa, pq
from q2d2.tokens.sources import TokensError, storable

ERRORS = pa.schema([("id", pa.string()), ("error", pa.string())])


class Row(NamedTuple):
    """One clip of a table."""

    id: str
    codes: Integer[np.ndarray, "frames pairs"]
    num_samples: int  # of the original
    sample_rate_hz: int  # of the original


class Failed(NamedTuple):
    """One clip of the table beside it."""

    id: str
    error: str


def index_type(points: Sequence[int]) -> np.dtype:
    """The smaller of int16 and int32 that holds every index of these alphabets."""
    return np.dtype(np.int16 if max(points) <= 2**15 else np.int32)


def schema(dtype: np.dtype) -> Any:
    """The columns of a table of tokens."""
    return pa.schema(
        [
            ("id", pa.string()),
            ("codes", pa.list_(pa.list_(pa.from_numpy_dtype(dtype)))),  # pairs, then frames
            ("samples", pa.int64()),
            ("sample_rate_hz", pa.int32()),
            ("model", pa.string()),
            ("weights", pa.string()),
        ]
    )


class Table:
    """A table of tokens that is being written, a group of rows after the other."""

    def __init__(self, path: Path, writer: Any, dtype: np.dtype, model: str, weights: str) -> None:
        self._path, self._writer, self._dtype, self._model, self._weights = path, writer, dtype, model, weights

    def write(self, rows: Sequence[Row]) -> None:
        """Append rows; TokensError where there is no room for them."""
        columns = [
            pa.array([row.id for row in rows], pa.string()),
            _nested([row.codes.astype(self._dtype, copy=False) for row in rows]),
            pa.array([row.num_samples for row in rows], pa.int64()),
            pa.array([row.sample_rate_hz for row in rows], pa.int32()),
            pa.array([self._model] * len(rows), pa.string()),
            pa.array([self._weights] * len(rows), pa.string()),
        ]
        with _room_for(self._path):
            self._writer.write_table(pa.table(columns, schema(self._dtype)))


@contextmanager
def new_table(path: Path, dtype: np.dtype, model: str, weights: str) -> Iterator[Table]:
    """A table that takes its name when the `with` ends well."""
    with _room_for(path), replacing(path) as temporary:
        writer = pq.ParquetWriter(temporary, schema(dtype), compression="zstd", write_page_checksum=True)
        try:
            yield Table(path, writer, dtype, model, weights)
        except BaseException:
            _abandon(writer)
            raise
        writer.close()


def write_errors(path: Path, failed: Sequence[Failed]) -> None:
    """The table of the clips that could not be read; no file if there is none."""
    if not failed:
        path.unlink(missing_ok=True)
        return
    columns = [[storable(row.id) for row in failed], [storable(row.error) for row in failed]]
    with _room_for(path), replacing(path) as temporary:
        pq.write_table(pa.table(columns, schema=ERRORS), temporary, write_page_checksum=True)


def read_errors(path: Path) -> list[Failed]:
    """The rows of such a table; none if there is no file."""
    if not path.exists():
        return []
    with readable(path), pq.ParquetFile(path) as file:
        return [Failed(row["id"], row["error"]) for row in file.read().to_pylist()]


def count_rows(path: Path) -> int:
    """The rows of a table, from its footer."""
    with readable(path):
        return int(pq.read_metadata(path).num_rows)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what pyarrow says of a table that it cannot read into one line."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise TokensError(f"{path}: is no table of tokens, or damaged ({reason}); make or fetch it again") from error


@contextmanager
def _room_for(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else " ".join(str(error).split())
        what = "make room" if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else "see to that"
        raise TokensError(
            f"{path}: cannot be written ({reason}); {what}, and the same command goes on from the last whole table"
        ) from error


def _abandon(writer: Any) -> None:
    """Close a file that nobody will read: that its disk is full is known by then."""
    with suppress(OSError):
        writer.close()


def _nested(codes: Sequence[np.ndarray]) -> Any:
    """Arrays [frames pairs] as lists of lists, pairs first."""
    pairs = np.cumsum([0, *(array.shape[1] for array in codes)], dtype=np.int32)
    lengths = [length for array in codes for length in [array.shape[0]] * array.shape[1]]
    starts = np.cumsum([0, *lengths], dtype=np.int32)
    values = pa.array(np.concatenate([array.T.ravel() for array in codes]))
    return pa.ListArray.from_arrays(pa.array(pairs), pa.ListArray.from_arrays(pa.array(starts), values))
