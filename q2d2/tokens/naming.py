"""Ids of clips -> names of files below a folder: none escapes it, and no two are the same.

An id comes out of a table that anybody may have made, so `..`, a root and what no file system takes are left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from q2d2.audio.reading import SUFFIXES


def target_names(ids: Iterable[str], suffix: str) -> list[str]:
    """a.flac -> a.wav; but a.flac.wav where another id would be a.wav too, and a number where even that is taken."""
    whole = [_safe(id) for id in ids]
    names = [_without_suffix(name) for name in whole]
    counts = Counter(names)
    return _numbered([long if counts[name] > 1 else name for name, long in zip(names, whole, strict=True)], suffix)


def _safe(id: str) -> str:
    """The id as a path that goes down only."""
    parts = [re.sub(r'[\x00-\x1f\x7f<>:"|?*]', "_", part) for part in re.split(r"[/\\]", id)]
    return "/".join(part for part in parts if part.strip(". ")) or "clip"


def _without_suffix(name: str) -> str:
    """Without the suffix of an audio file; another is part of the name."""
    path = PurePosixPath(name)
    return str(path.with_suffix("")) if path.suffix.lower() in SUFFIXES else name


def _numbered(names: Sequence[str], suffix: str) -> list[str]:
    taken: set[str] = set()
    tried: Counter[str] = Counter()
    found = []
    for name in names:
        target = name + suffix
        while target in taken:
            tried[name] += 1
            target = f"{name}-{tried[name] + 1}{suffix}"
        taken.add(target)
        found.append(target)
    return found
