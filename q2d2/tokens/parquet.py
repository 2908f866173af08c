"""Parquet with a column of audio: files' bytes, paths of files, or samples, as Hugging Face data sets hold them.

A column is {bytes, path} or {array, sampling_rate}, or simply bytes or paths. Rows are read some at a time.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from q2d2 import audio
from q2d2.audio.pcm import wav_header
from q2d2.tokens.arrow import pa, pq
from q2d2.tokens.sources import Item, Opener, Source, TokensError, storable

_ROWS = 16  # in memory at once
_BUFFER_BYTES = 2**20  # read at once of a column, instead of all of it


@dataclass(frozen=True)
class ParquetSource(Source):
    """The rows of Parquet files; an item's `first` and `second` are its row group and its row in that."""

    folder: Path
    files: tuple[str, ...]
    id_column: str | None = None
    audio_column: str | None = None

    def items(self) -> list[Item]:
        return [item for file in self.files for item in self._rows(file)]

    def read(self, items: Sequence[Item]) -> Iterator[tuple[Item, Opener]]:
        for (file, group), inside in groupby(items, lambda item: (item.file, item.first)):
            yield from self._read_group(self.folder / file, group, list(inside))

    def _read_group(self, path: Path, group: int, items: Sequence[Item]) -> Iterator[tuple[Item, Opener]]:
        try:
            table = pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            raise TokensError(f"{path}: can no longer be read ({error}); bring it back and go on") from error
        done, reason = 0, "it has fewer rows than when it was listed"
        try:
            with table:
                column = self._audio(table.schema_arrow, path)
                for value in _values(table, column, group, items[0].second, items[-1].second + 1):
                    name = f"{path}, {items[done].id}"
                    yield items[done], partial(_open, value, name, self.folder)
                    done += 1
        except (ValueError, OSError) as error:  # where Parquet is damaged, what follows in the row group is lost
            reason = str(error)
        lost = audio.AudioError(f"{path}: row group {group} is damaged ({reason}); replace the file")
        for item in items[done:]:
            yield item, partial(_fail, lost)

    def _rows(self, file: str) -> Iterator[Item]:
        path = self.folder / file
        try:
            with pq.ParquetFile(path) as table:
                column = self._ids(table.schema_arrow, path)
                row = 0
                for group in range(table.num_row_groups):
                    for at, id in enumerate(_texts(table, group, column)):
                        yield Item(storable(id or f"{file}:{row}"), file, group, at)
                        row += 1
        except (pa.ArrowException, OSError) as error:
            raise TokensError(f"{path}: is not readable Parquet ({error}); fetch it again") from error

    def _audio(self, schema: Any, path: Path) -> str:
        name = self.audio_column or "audio"
        if name not in schema.names:
            columns = ", ".join(schema.names)
            raise TokensError(f"{path}: has no column {name}; --audio-column names the one of {columns}")
        if not _is_audio(schema.field(name).type):
            raise TokensError(
                f"{path}: the column {name} holds {schema.field(name).type}; {{bytes, path}}, {{array, "
                "sampling_rate}, bytes and paths can be read"
            )
        return name

    def _ids(self, schema: Any, path: Path) -> str | None:
        """The column, or the part of one, that names the rows; None where nothing does."""
        column = self._audio(schema, path)
        if self.id_column is not None and self.id_column not in schema.names:
            columns = ", ".join(schema.names)
            raise TokensError(f"{path}: has no column {self.id_column}; --id-column names one of {columns}")
        if self.id_column is not None or "id" in schema.names:
            return self.id_column or "id"
        kind = schema.field(column).type
        if pa.types.is_struct(kind):
            return f"{column}.path" if kind.get_field_index("path") >= 0 else None
        return column if _is_text(kind) else None


def _values(table: Any, column: str, group: int, start: int, stop: int) -> Iterator[Any]:
    """The cells `start` to `stop` of a column of a row group."""
    at = 0
    for batch in table.iter_batches(_ROWS, row_groups=[group], columns=[column]):
        values = batch.column(0)
        for row in range(max(0, start - at), min(len(values), stop - at)):
            yield values[row]
        at += len(values)
        if at >= stop:
            return


def _texts(table: Any, group: int, column: str | None) -> Iterator[str | None]:
    """The names of a row group's rows, as far as they have any."""
    if column is None:
        yield from [None] * table.metadata.row_group(group).num_rows
        return
    for batch in table.iter_batches(row_groups=[group], columns=[column]):
        values = batch.column(0)
        while pa.types.is_struct(values.type):
            values = values.field(0)
        yield from (None if value is None else str(value) for value in values.to_pylist())


def _is_text(kind: Any) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _is_binary(kind: Any) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _is_audio(kind: Any) -> bool:
    names = {field.name for field in kind} if pa.types.is_struct(kind) else set()
    return _is_text(kind) or _is_binary(kind) or "bytes" in names or {"array", "sampling_rate"} <= names


def _open(value: Any, name: str, folder: Path) -> audio.Blocks:
    """The audio of one row."""
    if not pa.types.is_struct(value.type):
        is_path = _is_text(value.type)
        return _open_file(None if is_path else value, value if is_path else None, name, folder)
    if not value.is_valid:
        raise audio.AudioError(f"{name}: holds no audio")
    if "bytes" in value:
        return _open_file(value["bytes"], value.get("path"), name, folder)
    array, rate = value["array"], value["sampling_rate"].as_py()
    if not array.is_valid or not isinstance(rate, int) or not pa.types.is_floating(array.type.value_type):
        raise audio.AudioError(f"{name}: holds no samples as floats with a sampling rate")
    samples = np.asarray(array.values.to_numpy(zero_copy_only=False), "<f4")
    return audio.open_blocks(io.BytesIO(wav_header(rate, 1, len(samples), "float32") + samples.tobytes()), name=name)


def _open_file(data: Any, path: Any, name: str, folder: Path) -> audio.Blocks:
    if data is not None and data.is_valid:
        return audio.open_blocks(io.BytesIO(data.as_buffer()), name=name)
    if path is not None and path.is_valid:
        return audio.open_blocks(folder / path.as_py())
    raise audio.AudioError(f"{name}: holds no audio")


def _fail(error: Exception) -> audio.Blocks:
    raise error
