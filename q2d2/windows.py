"""Clips of any lengths -> rows of like lengths with context around them, and back: how a local codec works in pieces.

Which frames go through the networks together, and nothing about what happens to them there. Knows numpy only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np


class Span(NamedTuple):
    """Frames `start` to `stop` of clip number `clip`: one row of work."""

    clip: int
    start: int
    stop: int

    @property
    def frames(self) -> int:
        return self.stop - self.start


def spans(frames: Sequence[int], window: int | None) -> list[Span]:
    """Each clip's frames in windows of at most `window`; None: each clip in one piece."""
    return [
        Span(clip, start, min(start + window, count) if window else count)
        for clip, count in enumerate(frames)
        for start in (range(0, count, window) if window else [0])
    ]


def batches(work: Sequence[Span], context: int, limit: int) -> Iterator[list[Span]]:
    """Spans that pass together: at most `limit` frames with `context` around each row, but at least one row.

    Rows are as long as the longest, so the others are at least 3/4 of it: padding costs what frames cost.
    """
    batch: list[Span] = []
    for span in sorted(work, key=lambda span: span.frames, reverse=True):
        if batch:
            longest = batch[0].frames
            if (len(batch) + 1) * (longest + context) > limit or 4 * span.frames < 3 * longest:
                yield batch
                batch = []
        batch.append(span)
    if batch:
        yield batch


def copy_span(row: np.ndarray, whole: np.ndarray, start: int, stop: int) -> None:
    """Copy items `start` to `stop` of `whole` to the front of `row`, leaving out what lies beyond its ends."""
    low, high = max(0, start), min(len(whole), stop)
    row[low - start : high - start] = whole[low:high]


def joined(found: Mapping[Span, np.ndarray], clips: int) -> list[np.ndarray]:
    """What was found for the spans of each clip, in order, as one array per clip."""
    parts: list[list[np.ndarray]] = [[] for _ in range(clips)]
    for span in sorted(found):
        parts[span.clip].append(found[span])
    return [np.concatenate(part) for part in parts]
