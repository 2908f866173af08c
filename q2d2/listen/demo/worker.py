"""The one thread that works on clips, one after the other: a codec uses all of a machine's cores by itself."""

from __future__ import annotations

import logging
import queue
import threading

from q2d2.codec import Codec
from q2d2.console import one_line
from q2d2.listen.demo.clips import Clip, Shelf
from q2d2.listen.demo.limits import Limits
from q2d2.listen.demo.making import make

_log = logging.getLogger(__name__)


class _StoppedError(Exception):
    """The server ends, and the work with it."""


class Worker:
    """Takes clips that have arrived; how many may wait is the shelf's concern. Use it in a `with`."""

    def __init__(self, codec: Codec, shelf: Shelf, limits: Limits) -> None:
        self._codec, self._shelf, self._limits = codec, shelf, limits
        self._arrived: queue.SimpleQueue[Clip | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="q2d2 demo")

    def put(self, clip: Clip) -> None:
        self._arrived.put(clip)

    def __enter__(self) -> Worker:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        """Leave after the step that is being done."""
        self._stopping.set()
        self._arrived.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (clip := self._arrived.get()) is not None and not self._stopping.is_set():
            try:
                make(self._codec, clip, self._limits, self._check)
            except ValueError as error:
                self._fail(clip, one_line(error))
            except _StoppedError:
                return
            except Exception:  # the next clip may be better
                _log.exception("a clip could not be worked on")
                self._fail(clip, f"{clip.name}: something went wrong in the server; its log says what")
            finally:
                clip.source.unlink(missing_ok=True)
                self._shelf.tidy()

    def _check(self) -> None:
        if self._stopping.is_set():
            raise _StoppedError

    def _fail(self, clip: Clip, error: str) -> None:
        clip.progress = clip.progress._replace(state="failed", step="failed", error=error)
