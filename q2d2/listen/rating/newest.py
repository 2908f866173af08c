"""Requests may overtake each other: an answer must not be replaced by an older one of the same window."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LOCKS = 64  # more listeners than that share them


class Newest:
    """Knows of each answer which window sent it last, and the number of the change there. Safe from many threads."""

    def __init__(self) -> None:
        self._locks = [threading.Lock() for _ in range(_LOCKS)]
        self._last: dict[tuple[int, int, str], tuple[str, int]] = {}

    @contextmanager
    def turn(self, rater: int, page: int, asked: str, window: str, change: int) -> Iterator[bool]:
        """Whether to keep this answer; until the `with` ends, no other one of the listener is kept.

        A change that is sent again, as after an answer that was lost, is kept again. Of two windows, the one that
        speaks last counts.
        """
        place = rater, page, asked
        with self._locks[rater % _LOCKS]:
            last_window, last_change = self._last.get(place, (window, change))
            is_newest = window != last_window or change >= last_change
            if is_newest:
                self._last[place] = window, change
            yield is_newest
