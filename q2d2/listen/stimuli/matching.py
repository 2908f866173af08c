"""Files that belong together: the same name, but for its suffix, at the same place of several folders. Opens none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from q2d2 import audio
from q2d2.console import counted
from q2d2.opening import SUFFIX, FileError

_SHOWN = 3  # of what is missing


class Item(NamedTuple):
    """An utterance: what it is called, and its files."""

    name: str  # its place below the folder, without the suffix
    reference: Path
    systems: dict[str, Path]


class Matched(NamedTuple):
    """What was found, sorted by name."""

    items: list[Item]
    notes: list[str]  # what was left out


def matched(reference: Path, systems: Mapping[str, Path]) -> Matched:
    """Every audio file below the reference's folder with its counterpart of every system.

    FileError if one has none, or if two files of a folder have the same name but for their suffixes.
    """
    references = _by_name(reference)
    found = {system: _by_name(folder) for system, folder in systems.items()}
    notes = []
    for system, files in found.items():
        missing = [name for name in references if name not in files]
        if missing:
            names = ", ".join(missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
            all_files = f"{counted(len(references), 'file')} of {reference}"
            raise FileError(
                f"{systems[system]}: has no audio for {len(missing)} of the {all_files} ({names}); the same names, "
                "whatever the suffix, belong together"
            )
        if len(files) > len(references):
            without = counted(len(files) - len(references), "file")
            notes.append(f"{systems[system]}: {without} without a reference left out")
    items = [Item(name, path, {system: found[system][name] for system in systems}) for name, path in references.items()]
    return Matched(items, notes)


def _by_name(folder: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in audio.list_audio(folder):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in files:
            raise FileError(f"{path}: and {files[name].name} have the same name; leave one of them out")
        files[name] = path
    if not files and any(folder.rglob(f"*{SUFFIX}")):
        raise FileError(f"{folder}: holds {SUFFIX} files; decode them first: q2d2 decode {folder} OUT")
    if not files:
        raise FileError(f"{folder}: holds no audio files")
    return dict(sorted(files.items()))
