"""The outputs of a codec that has already run, from a folder: one file a clip, in any format that can be read.

So a codec that does not run here can be scored, and so can the demo clips that somebody has published. An output is
found by its name. Which clip it really is of nobody can tell, so one of another length than its clip is refused: the
rest of the evaluation would cut both to the shorter one.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from q2d2 import audio
from q2d2.evaluate.peers.base import Clip, Coded, PeerError

FORM = f"NAME=DECODED or NAME=DECODED{os.pathsep}CODED (folders)"

_SAME_LENGTH_S = 1.0  # more than codecs pad or cut

_Stems = Mapping[str, Sequence[Path]]  # the files below a folder by their names without the last suffix


@dataclass(frozen=True)
class Folder:
    """Decoded clips in one folder and, if sizes are to be known, the coded files in another."""

    name: str
    decoded: Path
    coded: Path | None = None
    may_delay: bool = True

    def missing(self) -> str | None:
        return None

    def code(self, clip: Clip) -> Coded:
        """The output for this clip. PeerError if there is none, if there are several, or if it lasts too long or short.

        The coded file's payload is not known, since its format is not.
        """
        path = self._only(self.decoded, self._sounds, clip.name)
        samples, rate_hz = audio.read(path)
        duration_s, expected_s = len(samples) / rate_hz, len(clip.wav) / clip.sample_rate_hz
        if abs(duration_s - expected_s) > _SAME_LENGTH_S:
            raise PeerError(f"{path}: lasts {duration_s:.2f} s, but {clip.name} {expected_s:.2f} s: not the same clip")
        mono = audio.to_mono(samples)
        if self.coded is None:
            return Coded(mono, rate_hz, None, None, note="no coded files were given")
        size = self._only(self.coded, self._files, clip.name).stat().st_size
        return Coded(mono, rate_hz, size, None, note="the payload of its files is not known")

    @cached_property
    def _sounds(self) -> _Stems:
        return _by_stem(audio.list_audio(self.decoded))

    @cached_property
    def _files(self) -> _Stems:
        assert self.coded is not None
        return _by_stem(path for path in self.coded.rglob("[!.]*") if path.is_file())

    def _only(self, folder: Path, stems: _Stems, clip: str) -> Path:
        """The one file for a clip, CLIP.* or CLIP.wav.*: at the same place below the folder, or else anywhere in it."""
        wanted = PurePosixPath(clip)
        found = [path for stem in dict.fromkeys((wanted.stem, wanted.name)) for path in stems.get(stem, ())]
        found = [path for path in found if path.parent == folder / wanted.parent] or found
        if len(found) == 1:
            return found[0]
        if not found:
            raise PeerError(f"{self.name}: {folder} has no file for {clip}: it would be {wanted.with_suffix('')}.*")
        several = " and ".join(map(str, sorted(found)[:2]))
        raise PeerError(f"{self.name}: {several} may both be for {clip}: leave one of them in {folder}")


def parse(text: str) -> Folder:
    """NAME=DECODED or NAME=DECODED:CODED (";" on Windows)."""
    name, _, folders = text.partition("=")
    paths = [Path(folder) for folder in folders.split(os.pathsep)]
    if not name or not folders or len(paths) > 2:
        raise PeerError(f"{text!r} names no folder of outputs: give {FORM}")
    for path in paths:
        if not path.is_dir():
            raise PeerError(f"{name}: {path} is no folder")
    return Folder(name, paths[0], paths[1] if len(paths) == 2 else None)


def _by_stem(paths: Iterable[Path]) -> _Stems:
    stems: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        stems[path.stem].append(path)
    return stems
