"""The clips that the demo holds: how far each is, where its files are, and which has to go.

Knows nothing of audio and of the web.
"""

from __future__ import annotations

import re
import secrets
import shutil
import threading
import unicodedata
from pathlib import Path
from typing import Literal, NamedTuple

from q2d2.listen.demo.limits import Limits

State = Literal["waiting", "reading", "encoding", "done", "failed"]

_ID_BYTES = 16
_LONGEST_NAME = 80


class FullError(Exception):
    """More clips are waiting than are let in."""


class Progress(NamedTuple):
    """How far a clip is."""

    state: State
    done: float  # 0 to 1
    step: str  # in words
    error: str | None = None


class Clip:
    """One upload, and what becomes of it. The worker replaces `progress` and, at last, `files`; others look on."""

    def __init__(self, name: str, rates: tuple[str, ...], folder: Path) -> None:
        self.id = secrets.token_hex(_ID_BYTES)
        self.name = shown_name(name)
        self.rates = rates  # that were asked for
        self.folder = folder / self.id
        self.source = self.folder / "upload"
        self.progress = Progress("waiting", 0.0, "waiting")
        self.files: dict[str, Path] = {}  # what can be fetched, by the name under which it is

    @property
    def is_over(self) -> bool:
        return self.progress.state in ("done", "failed")

    def download_name(self, file: str) -> str:
        """What a file is called where it is saved."""
        return f"{ascii_stem(self.name)}-{file}"


class Shelf:
    """All clips, each in a folder of its own below `folder`. Safe from many threads."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder, self._limits = folder, limits
        self._clips: dict[str, Clip] = {}  # oldest first
        self._lock = threading.Lock()

    def add(self, name: str, rates: tuple[str, ...]) -> Clip:
        """A place for a clip that is about to arrive; FullError where there is none."""
        clip = Clip(name, rates, self._folder)
        with self._lock:
            if sum(other.progress.state == "waiting" for other in self._clips.values()) >= self._limits.most_waiting:
                raise FullError
            clip.folder.mkdir()
            self._clips[clip.id] = clip
        return clip

    def get(self, clip_id: str) -> Clip | None:
        with self._lock:
            return self._clips.get(clip_id)

    def remove(self, clip: Clip) -> None:
        """Forget it and its files, which may be gone already: temporary folders are swept by others, too."""
        with self._lock:
            self._clips.pop(clip.id, None)
        shutil.rmtree(clip.folder, ignore_errors=True)

    def tidy(self) -> None:
        """Let go of the oldest clips that are over, where there are too many."""
        with self._lock:
            over = [clip for clip in self._clips.values() if clip.is_over]
        for clip in over[: max(0, len(over) - self._limits.kept_clips)]:
            self.remove(clip)


def shown_name(name: str) -> str:
    """The last part of a path as one printable line of bounded length; what a browser sends may be anything."""
    last = re.split(r"[/\\]", name)[-1]
    printable = "".join(letter if letter.isprintable() else " " for letter in last)
    return " ".join(printable.split())[:_LONGEST_NAME].strip() or "clip"


def ascii_stem(name: str) -> str:
    """A name without its suffix, in letters that any file system and any header takes."""
    plain = unicodedata.normalize("NFKD", Path(name).stem).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_-]+", "-", plain).strip("-") or "clip"
