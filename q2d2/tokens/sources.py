"""A corpus as a list of clips, and how each is opened: folders and manifests here, Parquet and tars beside.

A source is plain data, so that it can be sent to another process, or to another machine that sees the same files. Its
list is the same whenever nothing has changed: it is what shards are cut from. Knows nothing of codecs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from q2d2 import audio
from q2d2.corpus.manifests import read_manifest

Opener = Callable[[], audio.Blocks]


class TokensError(ValueError):
    """A corpus or a table of tokens that cannot be used: one line that names it and says what to do."""


class Item(NamedTuple):
    """One clip: what it is called and where it is."""

    id: str
    file: str  # relative to the source's folder, unless it is elsewhere
    first: int = 0  # where in the file, in units that the source knows
    second: int = 0


class Source(ABC):
    """A corpus: its clips in a fixed order, and the audio of each."""

    @abstractmethod
    def items(self) -> list[Item]:
        """Every clip, without opening its audio."""

    @abstractmethod
    def read(self, items: Sequence[Item]) -> Iterator[tuple[Item, Opener]]:
        """Each of these items, which follow each other in the list, with a function that opens it for reading.

        Use one before asking for the next. What is wrong with a clip shows when it is opened or read.
        """


@dataclass(frozen=True)
class FolderSource(Source):
    """Every audio file below a folder."""

    folder: Path

    def items(self) -> list[Item]:
        names = [path.relative_to(self.folder).as_posix() for path in audio.list_audio(self.folder)]
        return [Item(storable(name), name) for name in names]

    def read(self, items: Sequence[Item]) -> Iterator[tuple[Item, Opener]]:
        return _files(self.folder, items)


@dataclass(frozen=True)
class ManifestSource(Source):
    """The files of a list; where it has no ids, their paths are."""

    manifest: Path

    def items(self) -> list[Item]:
        found = []
        for entry in read_manifest(self.manifest):
            inside = entry.path.is_relative_to(self.manifest.parent)
            name = (entry.path.relative_to(self.manifest.parent) if inside else entry.path).as_posix()
            found.append(Item(storable(entry.id or name), name))
        return found

    def read(self, items: Sequence[Item]) -> Iterator[tuple[Item, Opener]]:
        return _files(self.manifest.parent, items)


def storable(text: str) -> str:
    """The text as UTF-8 can hold it: the name of a file may be no text at all."""
    return text.encode("utf-8", "backslashreplace").decode()


def _files(folder: Path, items: Sequence[Item]) -> Iterator[tuple[Item, Opener]]:
    for item in items:
        yield item, partial(audio.open_blocks, folder / item.file)
