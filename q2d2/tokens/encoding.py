"""One shard of a corpus -> one table: all that a process or an actor does, again and again.

Short clips pass through the codec together; a long one in windows, so that ten hours cost no memory. A clip that cannot
be read is a row of the table beside, and stops nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Integer

from q2d2 import audio
from q2d2.codec import Codec
from q2d2.console import one_line
from q2d2.signals import check_signal
from q2d2.tokens.layout import DATA, ERRORS, table_name
from q2d2.tokens.sources import Item, Opener, Source
from q2d2.tokens.tables import Failed, Row, index_type, new_table, write_errors

GATHERED_S = 600.0  # of clips that pass through the codec in one call
LONG_S = 60.0  # a clip that lasts longer passes alone, window after window

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Task:
    """What every shard of a job has in common; plain data."""

    source: Source
    out: Path
    num_shards: int
    rate: str | int | None
    model: str | None  # to load it again elsewhere
    device: str | None  # None: what the engine finds


class Shard(NamedTuple):
    """Some clips that follow each other, and the number of their table."""

    number: int
    items: tuple[Item, ...]


class Done(NamedTuple):
    """What became of a shard."""

    number: int
    clips: int
    failed: int
    audio_s: float


class _Clip(NamedTuple):
    """A clip on its way: as a signal at the codec's rate, or, if it is long, as indices already."""

    id: str
    signal: Float32[np.ndarray, " samples"] | None
    codes: Integer[np.ndarray, "frames pairs"] | None
    num_samples: int
    sample_rate_hz: int


def tokenize_shard(codec: Codec, task: Task, shard: Shard, advance: Advance) -> Done:
    """Write the shard's tables; `advance` hears of every clip that is through."""
    name = table_name(shard.number, task.num_shards)
    dtype = index_type(codec.quantizer.points[: codec.num_pairs(task.rate)])
    failed: list[Failed] = []
    clips, audio_s = 0, 0.0
    with new_table(task.out / DATA / name, dtype, codec.config.name, codec.weights) as table:
        told = 0
        for rows in _encoded(codec, task.source.read(shard.items), task.rate, dtype, failed):
            table.write(rows)
            clips += len(rows)
            audio_s += sum(row.num_samples / row.sample_rate_hz for row in rows)
            advance(clips + len(failed) - told)
            told = clips + len(failed)
        write_errors(task.out / ERRORS / name, failed)  # first: a shard is done when its table is there
    advance(len(shard.items) - told)
    return Done(shard.number, clips, len(failed), audio_s)


def _encoded(
    codec: Codec,
    clips: Iterable[tuple[Item, Opener]],
    rate: str | int | None,
    dtype: np.dtype,
    failed: list[Failed],
) -> Iterator[list[Row]]:
    """The rows of the clips in their order, some at a time; those that cannot be read are appended to `failed`."""
    gathered: list[_Clip] = []
    gathered_s = 0.0
    for item, opener in clips:
        try:
            clip = _read(codec, item, opener, rate, dtype)
        except (ValueError, OSError) as error:
            failed.append(Failed(item.id, one_line(error) or type(error).__name__))
            continue
        gathered.append(clip)
        gathered_s += clip.num_samples / clip.sample_rate_hz
        if gathered_s >= GATHERED_S:
            yield _rows(codec, gathered, rate)
            gathered, gathered_s = [], 0.0
    if gathered:
        yield _rows(codec, gathered, rate)


def _read(codec: Codec, item: Item, opener: Opener, rate: str | int | None, dtype: np.dtype) -> _Clip:
    """One clip, resampled; with its codes, if it is so long that its signal should not be kept."""
    rate_hz = codec.config.sample_rate_hz
    with opener() as blocks:
        mono = _Mono(blocks)
        held: list[np.ndarray] = []
        signal = _checked(audio.resample_blocks(mono, blocks.sample_rate_hz, rate_hz), blocks.name)
        room = LONG_S * rate_hz
        for block in signal:
            held.append(block)
            room -= len(block)
            if room < 0:
                chunks = codec.encode_blocks(chain(held, signal), rate)
                codes = np.concatenate([chunk.astype(dtype) for chunk in chunks])
                return _Clip(item.id, None, codes, mono.num_samples, blocks.sample_rate_hz)
        return _Clip(item.id, np.concatenate(held), None, mono.num_samples, blocks.sample_rate_hz)


def _rows(codec: Codec, clips: list[_Clip], rate: str | int | None) -> list[Row]:
    signals = [clip.signal for clip in clips if clip.signal is not None]
    found = iter(codec.encode(signals, codec.config.sample_rate_hz, rate) if signals else [])
    return [
        Row(
            clip.id,
            next(found).indices.numpy(force=True) if clip.codes is None else clip.codes,
            clip.num_samples,
            clip.sample_rate_hz,
        )
        for clip in clips
    ]


class _Mono:
    """The blocks of a file as mono, and the samples seen so far."""

    def __init__(self, blocks: audio.Blocks) -> None:
        self.num_samples = 0
        self._blocks = blocks

    def __iter__(self) -> Iterator[Float32[np.ndarray, " samples"]]:
        for block in self._blocks:
            self.num_samples += len(block)
            yield audio.to_mono(block)


def _checked(blocks: Iterable[np.ndarray], name: str) -> Iterator[np.ndarray]:
    for block in blocks:
        check_signal(block, name)
        yield block
