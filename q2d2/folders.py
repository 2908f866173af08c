"""Folders through a codec: every file of a tree to the same place of another, whatever happens to some of them.

What was converted already is left alone, so the same command again goes on where it was interrupted. Knows nothing of
command lines.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from tqdm import tqdm

from q2d2 import audio
from q2d2.codec import Codec
from q2d2.console import one_line
from q2d2.files import decode_file, encode_file
from q2d2.opening import SUFFIX, FileError


class FolderResult(NamedTuple):
    """What became of the files of a folder."""

    done: int
    kept: int  # targets that were there already and have been left alone
    notes: list[str]  # damage that was skipped: a line each
    failed: list[str]  # files that could not be converted: a line each


def encode_folder(
    codec: Codec,
    source: Path,
    target: Path,
    rate: str | int | None = None,
    overwrite: bool = False,
    chunk_frames: int | None = None,
    constant_rate: bool = False,
) -> FolderResult:
    """Every audio file below `source` -> a `.q2d2` file at the same place below `target`."""

    def encode(old: Path, new: Path) -> list[str]:
        encode_file(codec, old, new, rate, overwrite, chunk_frames, constant_rate)
        return []

    return _each(audio.list_audio(source), source, target, SUFFIX, encode, overwrite)


def decode_folder(
    codec: Codec,
    source: Path,
    target: Path,
    on_damage: Literal["raise", "skip"] = "raise",
    overwrite: bool = False,
) -> FolderResult:
    """Every `.q2d2` file below `source` -> a WAV file at the same place below `target`."""

    def decode(old: Path, new: Path) -> list[str]:
        return decode_file(codec, old, new, on_damage, overwrite)

    files = sorted(path for path in source.rglob(f"*{SUFFIX}") if path.is_file() and not path.name.startswith("."))
    return _each(files, source, target, ".wav", decode, overwrite)


def _each(
    files: Sequence[Path],
    source: Path,
    target: Path,
    suffix: str,
    convert: Callable[[Path, Path], list[str]],
    overwrite: bool,
) -> FolderResult:
    """Convert one file after the other; a bad one is written down and the rest goes on."""
    if not files:
        raise FileError(f"{source}: holds no files to convert to {suffix}")
    target.mkdir(parents=True, exist_ok=True)
    done = kept = 0
    notes: list[str] = []
    failed: list[str] = []
    names = _target_names([path.relative_to(source) for path in files], suffix)
    for path, name in zip(tqdm(files, unit="file", delay=1, disable=None), names, strict=True):
        new = target / name
        if new.exists() and not overwrite:
            kept += 1
            continue
        try:
            new.parent.mkdir(parents=True, exist_ok=True)
            notes += convert(path, new)
            done += 1
        except (ValueError, OSError) as error:
            failed.append(one_line(error))
    return FolderResult(done, kept, notes, failed)


def _target_names(sources: Sequence[Path], suffix: str) -> list[Path]:
    """a.wav -> a.q2d2; but where b.wav and b.flac are both there, b.wav.q2d2 and b.flac.q2d2."""
    whole = [path.with_name(path.name + suffix) for path in sources]
    names = [path.with_suffix(suffix) for path in sources]
    while clashes := {name for name, count in Counter(names).items() if count > 1}:
        names = [long if name in clashes else name for name, long in zip(names, whole, strict=True)]
    return names
