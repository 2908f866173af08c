"""Shards in processes of this machine, each with the codec loaded once.

The processes end when their parent does, however it does: each waits at the reading end of a pipe whose other end only
the parent has.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import torch

from q2d2 import checkpoint
from q2d2.codec import Codec
from q2d2.processes import start_method
from q2d2.tokens.encoding import Advance, Done, Shard, Task, tokenize_shard
from q2d2.tokens.sources import TokensError

_LOOK_S = 0.5  # how often the progress of the processes is looked at

_work: Callable[[Shard], Done]  # in a process of the pool: what it does with a shard


def in_this_process(codec: Codec, task: Task, shards: Sequence[Shard], advance: Advance) -> Generator[Done, None, None]:
    """One shard after the other, with a codec that is loaded already."""
    for shard in shards:
        yield tokenize_shard(codec, task, shard, advance)


def in_processes(task: Task, shards: Sequence[Shard], jobs: int, advance: Advance) -> Generator[Done, None, None]:
    """`jobs` shards at a time. Close the iterator to end the processes."""
    context = multiprocessing.get_context(start_method(__name__))
    lifeline, held = context.Pipe(duplex=False)
    through = context.Value("q")
    threads = max(1, num_cores() // jobs)
    pool = ProcessPoolExecutor(jobs, context, _start, (task, threads, lifeline, through))
    waiting: set[Future[Done]] = set()
    told = 0
    try:
        waiting = {pool.submit(_do, shard) for shard in shards}
        while waiting:
            ended, waiting = wait(waiting, _LOOK_S, FIRST_COMPLETED)
            told, before = through.value, told
            advance(told - before)
            for future in ended:
                yield future.result()
    except BrokenProcessPool as error:
        raise TokensError(
            f"{task.out}: a process was killed (out of memory?); the same command goes on from the last whole table, "
            "with a smaller --jobs if memory was short"
        ) from error
    finally:
        if waiting:
            held.close()
        pool.shutdown(cancel_futures=True)
        held.close()
        lifeline.close()


def num_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _start(task: Task, threads: int, lifeline: Connection, through: Any) -> None:
    """Make this process ready for shards."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # meant for the parent, which ends this process
    threading.Thread(target=_leave_with_parent, args=(lifeline,), daemon=True).start()
    torch.set_num_threads(threads)
    codec = checkpoint.load(task.model).to(task.device or "cpu")

    def advance(clips: int) -> None:
        with through.get_lock():
            through.value += clips

    global _work
    _work = partial(tokenize_shard, codec, task, advance=advance)


def _do(shard: Shard) -> Done:
    return _work(shard)


def _leave_with_parent(lifeline: Connection) -> None:
    try:
        lifeline.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)
