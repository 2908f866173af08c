"""Tables of tokens -> clips as `Codes`, one after the other, in memory that does not grow with the corpus."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from q2d2.codec import Codes
from q2d2.tokens.arrow import pa, pq
from q2d2.tokens.layout import DATA
from q2d2.tokens.sources import TokensError
from q2d2.tokens.tables import readable, schema

_ROWS = 64  # in memory at once


class TokenRow(NamedTuple):
    """One clip of a corpus of tokens."""

    id: str
    codes: Codes
    model: str  # what made the codes, and decodes them: its name and the hash of its weights
    weights: str


def read_tokens(path: str | os.PathLike[str]) -> Iterator[TokenRow]:
    """The clips of a folder that `q2d2 tokenize` has made, or of one of its tables, in order.

    TokensError for a folder that is not complete, and at the first row that is damaged.
    """
    for table in _tables(Path(path)):
        yield from _read(table)


def read_ids(path: Path) -> Iterator[str]:
    """The ids of the same clips, at once."""
    for table in _tables(path):
        with readable(table), pq.ParquetFile(table) as file:
            _check_columns(file.schema_arrow, table)
            for batch in file.iter_batches(columns=["id"]):
                yield from batch.column(0).to_pylist()


def _tables(path: Path) -> list[Path]:
    """The Parquet files that a path stands for; all of them, or a TokensError."""
    if path.is_file():
        return [path]
    folder = path / DATA if (path / DATA).is_dir() else path
    tables = sorted(file for file in folder.glob("*.parquet") if not file.name.startswith("."))
    if not tables:
        raise TokensError(f"{path}: holds no tables of tokens; give a folder that q2d2 tokenize has made")
    numbers = [re.fullmatch(r"tokens-(\d+)-of-(\d+)\.parquet", table.name) for table in tables]
    totals = {int(number.group(2)) for number in numbers if number}
    if totals and totals != {len(tables)}:
        raise TokensError(
            f"{path}: holds {len(tables)} tables of {max(totals)}; the q2d2 tokenize command that began it makes the "
            "others, and each table can be read by itself"
        )
    return tables


def _read(table: Path) -> Iterator[TokenRow]:
    with readable(table):
        file = pq.ParquetFile(table, page_checksum_verification=True, pre_buffer=False)
    with file:
        _check_columns(file.schema_arrow, table)
        batches = file.iter_batches(_ROWS)
        number = 0
        while True:
            with readable(table):  # around the reading only: what goes wrong with a row in use is not the table's
                batch = next(batches, None)
                if batch is not None:
                    batch.validate(full=True)
            if batch is None:
                return
            for row in range(len(batch)):
                yield _row(batch, row, f"{table}, row {number}")
                number += 1


def _check_columns(found: Any, table: Path) -> None:
    wanted = schema(np.dtype(np.int16))
    for field in wanted:
        kind = found.field(field.name).type if field.name in found.names else None
        fits = kind == field.type or (field.name == "codes" and kind is not None and _is_codes(kind))
        if not fits:
            there = "has no column" if kind is None else f"holds {kind} in"
            raise TokensError(f"{table}: {there} {field.name}; give a table that q2d2 tokenize has made")


def _is_codes(kind: Any) -> bool:
    """Lists of lists of any integers: other programs write longer ones back."""
    lists = (pa.types.is_list, pa.types.is_large_list)
    for _ in range(2):
        if not any(is_list(kind) for is_list in lists):
            return False
        kind = kind.value_type
    return bool(pa.types.is_integer(kind))


def _row(batch: Any, row: int, name: str) -> TokenRow:
    values = {column: batch.column(column)[row] for column in batch.schema.names}
    if not all(value.is_valid for value in values.values()):
        raise TokensError(f"{name}: has an empty cell; make the table again")
    pairs = values["codes"].values
    lengths = pairs.value_lengths().to_numpy(zero_copy_only=False)
    if not len(lengths) or pairs.null_count or pairs.flatten().null_count or not (lengths == lengths[0]).all():
        raise TokensError(f"{name}: the lists of its pairs are not of one length; make the table again")
    flat = pairs.flatten().to_numpy(zero_copy_only=False)
    indices = np.ascontiguousarray(flat.reshape(len(lengths), -1).T, dtype=np.int64)
    codes = Codes(torch.from_numpy(indices), values["samples"].as_py(), values["sample_rate_hz"].as_py())
    return TokenRow(values["id"].as_py(), codes, values["model"].as_py(), values["weights"].as_py())
