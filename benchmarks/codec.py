"""How fast presets encode and decode on the CPU, and how much memory that takes: `python benchmarks/codec.py`.

Weights are random: neither time nor memory depends on them. Every row is a process of its own, so that its peak memory
(of the whole process, Python and torch included) is nobody else's. "stream" is `encode_blocks` into `decode_blocks`,
as a file of any length is worked on: its memory must not grow with the length.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import tyro

from q2d2.codec import Codec
from q2d2.presets import PRESETS


@dataclass(frozen=True)
class Arguments:
    """What to measure."""

    presets: tuple[str, ...] = ("speech", "paper-1k")
    threads: tuple[int, ...] = (1, 2)
    seconds: float = 30.0  # of the clip that is encoded and decoded at once
    stream_seconds: float = 300.0  # of the signal that is streamed through local presets; 0: none
    repeats: int = 3  # the best of so many counts


class Job(NamedTuple):
    preset: str
    way: str  # "clip" or "stream"
    threads: int
    seconds: float
    repeats: int


class Row(NamedTuple):
    job: Job
    encode_s: float
    decode_s: float
    peak_mib: float


def noise(codec: Codec, seconds: float) -> Iterator[np.ndarray]:
    """Blocks of a second and what is left."""
    rng = np.random.default_rng(0)
    left = round(seconds * codec.config.sample_rate_hz)
    while left > 0:
        block = min(left, codec.config.sample_rate_hz)
        yield 0.1 * rng.standard_normal(block, dtype=np.float32)
        left -= block


def measure(job: Job) -> Row:
    """Run one job in this process; its memory is the process's peak so far."""
    torch.set_num_threads(job.threads)
    codec = Codec(PRESETS[job.preset]).eval()
    codec.decode(codec.encode(np.zeros(codec.hop, np.float32), codec.config.sample_rate_hz))  # warm up
    once = clip if job.way == "clip" else stream
    encode_s, decode_s = min((once(codec, job.seconds) for _ in range(job.repeats)), key=sum)
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return Row(job, encode_s, decode_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)


def clip(codec: Codec, seconds: float) -> tuple[float, float]:
    """Seconds that encoding and decoding one array take."""
    wav = np.concatenate(list(noise(codec, seconds)))
    start = time.perf_counter()
    codes = codec.encode(wav, codec.config.sample_rate_hz)
    between = time.perf_counter()
    codec.decode(codes)
    return between - start, time.perf_counter() - between


def stream(codec: Codec, seconds: float) -> tuple[float, float]:
    """Seconds that encoding and decoding take in turns, window by window."""
    start, encode_s = time.perf_counter(), 0.0

    def encoding() -> Iterator[np.ndarray]:
        nonlocal encode_s
        chunks = codec.encode_blocks(noise(codec, seconds))
        while True:
            begin = time.perf_counter()
            indices = next(chunks, None)
            encode_s += time.perf_counter() - begin
            if indices is None:
                return
            yield indices

    for _ in codec.decode_blocks(encoding()):
        pass
    return encode_s, time.perf_counter() - start - encode_s


def jobs(arguments: Arguments) -> list[Job]:
    found = []
    for preset in arguments.presets:
        for threads in arguments.threads:
            found.append(Job(preset, "clip", threads, arguments.seconds, arguments.repeats))
        with torch.device("meta"):
            local = Codec(PRESETS[preset]).is_local
        if local and arguments.stream_seconds:
            found.append(Job(preset, "stream", arguments.threads[-1], arguments.stream_seconds, 1))
    return found


def main(arguments: Arguments) -> None:
    print(f"{'preset':16}{'way':8}{'threads':>7}{'audio s':>9}{'encode':>9}{'decode':>9}{'both':>9}{'peak MiB':>10}")
    # spawned, not forked: a forked child begins with the memory of its parent
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for row in pool.imap(measure, jobs(arguments), chunksize=1):
            job = row.job
            speeds = (job.seconds / spent for spent in (row.encode_s, row.decode_s, row.encode_s + row.decode_s))
            times = "".join(f"{speed:8.1f}x" for speed in speeds)
            print(f"{job.preset:16}{job.way:8}{job.threads:7}{job.seconds:9.0f}{times}{row.peak_mib:10.0f}", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
