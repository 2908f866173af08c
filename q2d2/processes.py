"""Work in processes of its own, some at a time: one that fails, or is killed, takes nothing with it.

A pool would share its processes among the items, and end altogether when one of them is killed. Knows nothing of what
the work is.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext
from multiprocessing.process import BaseProcess
from typing import Literal, NamedTuple, TypeVar, cast

from q2d2.console import one_line

Item = TypeVar("Item")


class _Running(NamedTuple):
    number: int
    process: BaseProcess


def start_method(module: str) -> Literal["forkserver", "spawn"]:
    """How children that work in this module should begin: ready at once, where that can be.

    Imports take seconds, which every child would spend again. So they are forked, but from a process that has imported
    the module and nothing else: forked from this one, whose torch has threads, they might hang.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():  # Windows
        return "spawn"
    multiprocessing.set_forkserver_preload([module])
    return "forkserver"


def in_processes(
    work: Callable[[Item], None], items: Sequence[Item], jobs: int
) -> Generator[tuple[Item, str | None], None, None]:
    """Call `work` on every item, `jobs` at a time; each item when it is through, and what went wrong with it.

    Close the iterator to end the processes that still run; they end as well when this process does, however it does.
    """
    method = start_method(getattr(work, "func", work).__module__)
    context = cast(SpawnContext, multiprocessing.get_context(method))
    waiting = list(reversed(range(len(items))))
    running: dict[Connection, _Running] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                number = waiting.pop()
                here, there = context.Pipe(duplex=False)
                process = context.Process(target=_child, args=(work, items[number], there), daemon=True)
                process.start()
                there.close()  # the child's copy is the only one: it is closed when the child is gone
                running[here] = _Running(number, process)
            for answer in cast(list[Connection], wait(list(running))):
                ended = running.pop(answer)
                yield items[ended.number], _outcome(answer, ended.process)
    finally:
        for left in running.values():
            left.process.terminate()
            left.process.join()


def _outcome(answer: Connection, process: BaseProcess) -> str | None:
    """What a child says went wrong, or what is known of one that can say nothing any more."""
    try:
        error: str | None = answer.recv()
    except EOFError:
        process.join()
        code = process.exitcode or 0
        ended = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"left with {code}"
        return f"its process {ended}"
    process.join()
    return error


def _child(work: Callable[[Item], None], item: Item, answer: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # meant for the parent, which ends this process
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    error = None
    try:
        work(item)
    except Exception as raised:
        error = one_line(raised) or type(raised).__name__
    answer.send(error)


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
