"""A function in a process of its own: its memory is nobody else's, and its death is not the caller's."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class DiedError(RuntimeError):
    """A process that ended without an answer."""


def isolated(work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
    """What `work` returns or raises; DiedError if its process dies, as one does that the system kills for memory."""
    # spawned, not forked: a forked child begins with the memory of its parent
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(work, *args, **kwargs).result()
        except BrokenProcessPool as error:
            raise DiedError("its process died, as it does when memory runs out") from error
