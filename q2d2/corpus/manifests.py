"""Lists of audio files: a path a line, JSON lines, or a table. Errors name the file and the line.

Relative paths are relative to the folder of the list, so that a list can move with its audio. Whether the files are
there shows when they are opened: asking half a million of them takes minutes on a network drive.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple


class CorpusError(ValueError):
    """Speech that cannot be found or used: one line that names the file, and the line of a list."""


class Entry(NamedTuple):
    """What a list says of one file."""

    path: Path
    speaker: str | None
    source: str | None
    id: str | None = None


def read_manifest(manifest: Path) -> Iterator[Entry]:
    """The entries of a list; its suffix tells what it is: .jsonl, .csv, .tsv, and anything else is a path a line."""
    suffix = manifest.suffix.lower()
    rows = _json_lines(manifest) if suffix == ".jsonl" else _lines(manifest)
    if suffix in (".csv", ".tsv"):
        rows = read_table(manifest, ("path",))
    for number, row in rows:
        path = row.get("path") or row.get("audio_filepath")
        if not path or not isinstance(path, str):
            raise CorpusError(f"{manifest}, line {number}: names no audio file in `path`")
        speaker, source = row.get("speaker"), row.get("source")
        id = "" if row.get("id") is None else str(row["id"])  # 0 is one as well
        known = [str(value) if value else None for value in (speaker, source, id)]
        yield Entry(manifest.parent / path, *known)


def read_table(table: Path, columns: Sequence[str], quoted: bool = True) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, row) of a .csv or .tsv with a header that has these columns; else CorpusError.

    `quoted`: a quotation mark means something, which in the tables of Common Voice it does not.
    """
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            delimiter = "\t" if table.suffix.lower() == ".tsv" else ","
            reader = csv.DictReader(file, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE)
            if missing := set(columns) - set(reader.fieldnames or ()):
                raise CorpusError(f"{table}, line 1: the header has no column {', '.join(sorted(missing))}")
            for row in reader:
                if any(row[column] is None for column in columns):
                    raise CorpusError(f"{table}, line {reader.line_num}: has fewer columns than the header")
                yield reader.line_num, row
    except (csv.Error, UnicodeDecodeError) as error:
        raise CorpusError(f"{table}: is not a table in UTF-8 ({error})") from error


def _lines(manifest: Path) -> Iterator[tuple[int, dict[str, str]]]:
    for number, line in _text(manifest):
        if not line.startswith("#"):
            yield number, {"path": line}


def _json_lines(manifest: Path) -> Iterator[tuple[int, dict[str, str]]]:
    for number, line in _text(manifest):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise CorpusError(f"{manifest}, line {number}: is not JSON ({error.msg})") from error
        if not isinstance(row, dict):
            raise CorpusError(f'{manifest}, line {number}: should be an object such as {{"path": "a.wav"}}')
        yield number, row


def _text(manifest: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, and their numbers."""
    try:
        lines = manifest.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise CorpusError(f"{manifest}: is not a list of audio files: it is no text in UTF-8") from error
    yield from ((number, line.strip()) for number, line in enumerate(lines, 1) if line.strip())
