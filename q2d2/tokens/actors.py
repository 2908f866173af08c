"""Shards in actors of a Ray cluster, each with the codec loaded once, on a GPU of its own where there are any.

Every machine must see the corpus and the folder of tokens under the same names. A Ray of this machine's own is started
where RAY_ADDRESS names no cluster, and ends with the run.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from q2d2 import checkpoint
from q2d2.console import UsageError, one_line
from q2d2.tokens.encoding import Advance, Done, Shard, Task, tokenize_shard
from q2d2.tokens.sources import Item, TokensError

try:
    import ray
    import ray.data
except ModuleNotFoundError as missing:
    raise ImportError(f"{missing.name} is not installed: pip install 'q2d2[ray]' brings it") from missing


def in_actors(task: Task, shards: Sequence[Shard], jobs: int | None, advance: Advance) -> Generator[Done, None, None]:
    """The shards, as they become ready."""
    with _cluster(jobs):
        resources = ray.cluster_resources()
        cores, gpus = int(resources.get("CPU", 1)), int(resources.get("GPU", 0))
        device = task.device or ("cuda" if gpus else "cpu")
        on_gpu = device != "cpu"
        if on_gpu and not gpus:
            raise UsageError(f"--device {device}: the Ray cluster has no GPU; give cpu")
        actors = min(jobs or (gpus if on_gpu else cores), len(shards))
        actor: Any = Actor  # Ray's types know functions only
        rows = [{"shard": json.dumps(shard)} for shard in shards]
        data = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            actor,
            fn_constructor_args=(replace(task, device=device), max(1, cores // actors)),
            num_cpus=1,
            num_gpus=1 if on_gpu else 0,
            concurrency=actors,
        )
        try:
            for row in data.iter_rows():
                if row["error"]:
                    raise TokensError(row["error"])
                done = Done(row["number"], row["clips"], row["failed"], row["audio_s"])
                advance(done.clips + done.failed)
                yield done
        except ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1]
            raise TokensError(f"{task.out}: Ray gave up ({reason}); the same command goes on") from error


class Actor:
    """What Ray Data makes once per actor, and calls with a shard at a time."""

    def __init__(self, task: Task, threads: int) -> None:
        torch.set_num_threads(threads)
        self._task = task
        self._codec = checkpoint.load(task.model).to(task.device or "cpu")

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        number, items = json.loads(row["shard"])
        shard = Shard(number, tuple(Item(*item) for item in items))
        try:
            done = tokenize_shard(self._codec, self._task, shard, lambda clips: None)
        except (ValueError, OSError) as error:  # an answer: Ray would try again, or show pages of its own frames
            return {**Done(number, 0, 0, 0.0)._asdict(), "error": one_line(error)}
        return {**done._asdict(), "error": ""}


@contextmanager
def _cluster(jobs: int | None) -> Iterator[None]:
    """Ray, connected, and quiet while it works."""
    started = not ray.is_initialized()
    if started:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a codec sends nothing to anybody
        here: dict[str, Any] = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": jobs, "include_dashboard": False}
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **here)
    context = ray.data.DataContext.get_current()
    bars, context.enable_progress_bars = context.enable_progress_bars, False
    logger = logging.getLogger("ray.data")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
        context.enable_progress_bars = bars
        if started:
            ray.shutdown()
