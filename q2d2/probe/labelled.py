"""What a labelled set is: clips with labels, and how they are split. Knows paths and names; opens no audio."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from q2d2.probe.splitting import Split


class ProbeError(ValueError):
    """A set that is not there, or not as it should be: one line that names the file and says what to do."""


@dataclass(frozen=True)
class Clip:
    """One example."""

    path: Path
    labels: tuple[str, ...]  # one, or of a multi-label set any number
    speaker: str = ""  # or whatever else must not be on both sides of a split; "" if unknown
    part: str = ""  # the official fold or subset (train, val, test); "" if there is none
    start_s: float = 0.0
    duration_s: float | None = None  # None: to the end of the file


@dataclass(frozen=True)
class LabelledSet:
    """A data set with its protocol. In what order `read` gives the clips does not depend on the disk."""

    name: str  # what `--set` calls it
    title: str  # the project that gives it out, by which it is found
    task: str
    max_s: float  # clips are cut to this length, or filled up with silence
    read: Callable[[Path], list[Clip]]
    splits: Callable[[Sequence[Clip]], list[Split]]
    protocol: str  # what `splits` does, in a few words
    multi_label: bool = False


def existing(folder: Path, title: str, *names: str) -> Path:
    """The first of these paths within `folder` that is there; else ProbeError names them, and the set to get."""
    for name in names:
        if (folder / name).exists():
            return folder / name
    wanted = " or ".join(names)
    raise ProbeError(f"{folder}: has no {wanted}; give the folder into which {title} was unpacked")


def some(clips: list[Clip], folder: Path, title: str, what: str) -> list[Clip]:
    """The clips, unless there are none: then a ProbeError says what they look like."""
    if not clips:
        raise ProbeError(f"{folder}: holds no {what}; give the folder into which {title} was unpacked")
    return clips


def by_part(clips: Sequence[Clip]) -> list[str]:
    return [clip.part for clip in clips]


def by_speaker(clips: Sequence[Clip]) -> list[str]:
    return [clip.speaker for clip in clips]
