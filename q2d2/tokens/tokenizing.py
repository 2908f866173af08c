"""A corpus -> a folder of tables: the list of clips, cut into shards, and whoever works on them."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import torch
from tqdm import tqdm

from q2d2 import checkpoint
from q2d2.codec import Codec
from q2d2.console import UsageError
from q2d2.tokens import local
from q2d2.tokens.card import card
from q2d2.tokens.config import TokenizeConfig
from q2d2.tokens.encoding import Advance, Done, Shard, Task
from q2d2.tokens.finding import find_source
from q2d2.tokens.layout import DATA, ERRORS, Job, begin, listing_hash, sweep, table_name
from q2d2.tokens.sources import Item, TokensError, storable
from q2d2.tokens.tables import Failed, count_rows, read_errors

_SHOWN = 10  # clips that could not be read, by name; the others are in the tables


class Tokenized(NamedTuple):
    """What a folder of tokens holds, and what this run did for it."""

    clips: int
    shards: int
    failed: int
    shown: list[Failed]  # the first of those
    clips_now: int  # clips, seconds of audio and seconds of work of this run
    audio_s: float
    elapsed_s: float

    @property
    def speed(self) -> float:
        """Times real time."""
        return self.audio_s / self.elapsed_s


def tokenize(config: TokenizeConfig) -> Tokenized:
    """Tokenise what is not tokenised yet."""
    started = time.monotonic()
    codec = checkpoint.load(config.model)
    rate = int(config.rate) if config.rate is not None and config.rate.isdigit() else config.rate
    try:
        pairs = codec.num_pairs(rate)
    except ValueError as error:
        raise UsageError(str(error)) from error
    source, out = find_source(config.source, config.id_column, config.audio_column), config.out.absolute()
    if config.source.is_dir() and out.resolve().is_relative_to(config.source.resolve()):
        raise UsageError(f"{config.out}: lies in {config.source}, which is to be read; give a folder elsewhere")
    items = source.items()
    if not items:
        raise TokensError(f"{config.source}: holds no clips")
    job = Job(
        source=storable(str(config.source)),
        listing=listing_hash(items),
        clips=len(items),
        rate=rate,
        pairs=pairs,
        model=codec.config.name,
        weights=codec.weights,
        shard_clips=config.shard,
    )
    begin(out, job, card(job, codec.quantizer.points[:pairs], codec.frame_rate_hz, codec.bitrate_bps(rate)))
    task = Task(source, out, job.num_shards, rate, config.model, config.device)
    now = _run(codec, task, config, _left(out, items, job))
    clips, failed, shown = _count(out, items, job)
    elapsed_s = time.monotonic() - started
    audio_s = sum(done.audio_s for done in now)
    return Tokenized(clips, job.num_shards, failed, shown, sum(done.clips for done in now), audio_s, elapsed_s)


def _left(out: Path, items: Sequence[Item], job: Job) -> list[Shard]:
    """The shards whose tables are not there."""
    shards = [
        Shard(number, tuple(items[number * job.shard_clips : (number + 1) * job.shard_clips]))
        for number in range(job.num_shards)
    ]
    return [shard for shard in shards if not (out / DATA / table_name(shard.number, job.num_shards)).exists()]


def _run(codec: Codec, task: Task, config: TokenizeConfig, shards: Sequence[Shard]) -> list[Done]:
    """Do the shards; whatever stops that, nothing half-written stays."""
    if not shards:
        return []
    total = sum(len(shard.items) for shard in shards)
    with tqdm(total=total, unit="clip", delay=1, disable=None) as bar:
        try:
            with closing(_engine(codec, task, config, shards, bar.update)) as work:
                return list(work)
        finally:
            sweep(task.out)


def _engine(
    codec: Codec, task: Task, config: TokenizeConfig, shards: Sequence[Shard], advance: Advance
) -> Generator[Done, None, None]:
    if config.engine == "ray":
        from q2d2.tokens.actors import in_actors  # takes seconds to import

        return in_actors(task, shards, config.jobs, advance)
    device = torch.device(task.device or "cpu")
    jobs = min(config.jobs or (local.num_cores() if device.type == "cpu" else 1), len(shards))
    if jobs == 1:
        return local.in_this_process(codec.to(device), task, shards, advance)
    return local.in_processes(task, shards, jobs, advance)


def _count(out: Path, items: Sequence[Item], job: Job) -> tuple[int, int, list[Failed]]:
    """Clips in the tables, clips that failed, and the first of these; TokensError where the tables do not add up."""
    clips = failed = 0
    shown: list[Failed] = []
    for number in range(job.num_shards):
        name = table_name(number, job.num_shards)
        table = out / DATA / name
        there, errors = count_rows(table), read_errors(out / ERRORS / name)
        wanted = min(job.shard_clips, len(items) - number * job.shard_clips)
        if there + len(errors) != wanted:
            raise TokensError(
                f"{table}: has {there} clips, of {wanted}; remove it, and the same command makes it again"
            )
        clips, failed = clips + there, failed + len(errors)
        shown += errors[: _SHOWN - len(shown)]
    return clips, failed, shown
