"""WebDataset tars: samples are members with the same name up to its first dot, and one of them is audio."""

from __future__ import annotations

import io
import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path, PurePosixPath

from q2d2 import audio
from q2d2.audio.reading import SUFFIXES
from q2d2.tokens.sources import Item, Opener, Source, TokensError, storable


@dataclass(frozen=True)
class TarSource(Source):
    """The audio in tars that are not compressed; an item's `first` and `second` are its first byte and its length."""

    folder: Path
    files: tuple[str, ...]

    def items(self) -> list[Item]:
        return [item for file in self.files for item in self._members(file)]

    def read(self, items: Sequence[Item]) -> Iterator[tuple[Item, Opener]]:
        for file, inside in groupby(items, lambda item: item.file):
            with _opened(self.folder / file) as tar:
                for item in inside:
                    part = io.BufferedReader(_Part(tar, item.first, item.second))
                    yield item, partial(audio.open_blocks, part, name=f"{self.folder / file}, {item.id}")

    def _members(self, file: str) -> Iterator[Item]:
        path = self.folder / file
        seen: set[str] = set()
        try:
            with tarfile.open(path, "r:") as tar:
                while (member := tar.next()) is not None:
                    tar.members = []  # type: ignore[attr-defined]  # it would remember them all
                    key = _key(member.name)
                    if key is None or not member.isfile():
                        continue
                    if key in seen:
                        raise TokensError(f"{path}: holds two audio files for the sample {key}; one is wanted")
                    seen.add(key)
                    yield Item(storable(key), file, member.offset_data, member.size)
        except (tarfile.TarError, OSError) as error:
            raise TokensError(f"{path}: is not a whole tar without compression ({error}); make it again") from error


def _opened(path: Path) -> io.BufferedReader:
    try:
        return open(path, "rb")
    except OSError as error:
        raise TokensError(f"{path}: can no longer be read ({error.strerror}); bring it back and go on") from error


def _key(name: str) -> str | None:
    """The WebDataset key of a member that is audio: its path up to the first dot of its last part."""
    found = re.match(r"((?:.*/)?[^./]+)\.[^/]*$", name)
    return found.group(1) if found and PurePosixPath(name).suffix.lower() in SUFFIXES else None


class _Part(io.RawIOBase):
    """Some bytes of an open file as a file of its own."""

    def __init__(self, whole: io.BufferedReader, start: int, size: int) -> None:
        super().__init__()
        self._whole, self._start, self._size, self._at = whole, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        self._whole.seek(self._start + self._at)
        data = self._whole.read(max(0, min(len(buffer), self._size - self._at)))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
