"""One codec in one setting -> how long it takes and how much memory: what a process of its own does.

Everything is timed between samples in the CPU's memory and samples there, with the clock read once the device has
finished. Durations are those of the audio at the codec's own sample rate.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from q2d2.benchmark.config import Way
from q2d2.benchmark.macs import Parts, count_macs, count_parameters
from q2d2.benchmark.systems import Subject, System

COUNTED_S = 10.0  # of audio, in which multiply-accumulates are counted
ROUND_S = 10.0  # of audio, at least, that a round passes: a single second would be at the mercy of the scheduler
WARM_UP_S = 10.0  # of audio, at most, before a CPU is timed; a GPU warms up on the whole clip, as it allocates by size

Clock = Callable[[], float]


class Setting(NamedTuple):
    """Everything but the codec."""

    device: str
    threads: int
    batch: int
    way: Way
    duration_s: float


class Pass(NamedTuple):
    """A batch of clips, or a stream, there and back. In seconds."""

    encode_s: float
    decode_s: float
    first_s: float  # until the first decoded samples are there, of a signal that waits on disk
    heard_s: float  # of audio that have been taken in by then

    @property
    def both_s(self) -> float:
        return self.encode_s + self.decode_s


class Measured(NamedTuple):
    """What one process has found."""

    audio_s: float  # of each pass: all clips of the batch
    passes: tuple[Pass, ...]
    start_mib: float  # peak memory once the codec is built: the process, or what is allocated on a GPU
    peak_mib: float  # and after all passes


class Description(NamedTuple):
    """What does not depend on the setting."""

    sample_rate_hz: int
    parameters: Parts
    macs_per_s: Parts  # for each second of audio, in a clip of COUNTED_S
    window_s: float | None  # see Subject
    delay_ms: float | None  # see Subject


def describe(system: System, threads: int) -> Description:
    """Build a codec and count, on the CPU."""
    torch.set_num_threads(threads)
    subject = system.open(torch.device("cpu"))
    wav = _noise(1, _samples(subject, COUNTED_S))
    macs = count_macs(subject, wav)
    per_s = Parts(*(part * subject.sample_rate_hz / wav.shape[1] for part in macs))
    return Description(subject.sample_rate_hz, count_parameters(subject), per_s, subject.window_s, subject.delay_ms)


@torch.inference_mode()
def measure(system: System, setting: Setting) -> Measured:
    """Build a codec and time it, in this process, whose peak memory is then the codec's."""
    torch.set_num_threads(setting.threads)
    device = torch.device(setting.device)
    subject = system.open(device)
    start_mib = peak_mib(device)
    clock = device_clock(device)
    once = clip if setting.way == "clip" else stream
    longest_s = WARM_UP_S if device.type == "cpu" else setting.duration_s
    once(subject, setting._replace(duration_s=min(setting.duration_s, longest_s)), clock)
    audio_s = setting.batch * _samples(subject, setting.duration_s) / subject.sample_rate_hz
    passes = tuple(once(subject, setting, clock) for _ in range(max(1, round(ROUND_S / audio_s))))
    return Measured(audio_s, passes, start_mib, peak_mib(device))


def clip(subject: Subject, setting: Setting, clock: Clock) -> Pass:
    """A batch of clips, encoded in one call and decoded in another; nothing is out before all is."""
    wav = _noise(setting.batch, _samples(subject, setting.duration_s))
    start = clock()
    codes = subject.encode(wav)
    between = clock()
    subject.decode(codes)
    end = clock()
    return Pass(between - start, end - between, end - start, wav.shape[1] / subject.sample_rate_hz)


def stream(subject: Subject, setting: Setting, clock: Clock) -> Pass:
    """`encode_blocks` into `decode_blocks`, a second at a time, as a file of any length is worked on."""
    codec = subject.codec
    assert codec is not None and setting.batch == 1
    rate_hz = subject.sample_rate_hz
    second, samples = _noise(1, rate_hz)[0].numpy(), _samples(subject, setting.duration_s)
    heard, encode_s = 0, 0.0

    def sound() -> Iterator[np.ndarray]:
        nonlocal heard
        while heard < samples:
            block = second[: samples - heard]
            heard += len(block)
            yield block

    def encoding() -> Iterator[np.ndarray]:
        nonlocal encode_s
        chunks = codec.encode_blocks(sound())
        while True:
            begin = clock()
            indices = next(chunks, None)
            encode_s += clock() - begin
            if indices is None:
                return
            yield indices

    start = clock()
    blocks = codec.decode_blocks(encoding())
    next(blocks)
    first_s, heard_s = clock() - start, heard / rate_hz
    for _ in blocks:
        pass
    return Pass(encode_s, clock() - start - encode_s, first_s, heard_s)


def device_clock(device: torch.device) -> Clock:
    """Seconds, read when the device has finished what it was told to do."""
    if device.type != "cuda":
        return time.perf_counter

    def read() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return read


def peak_mib(device: torch.device) -> float:
    """The most memory this process has had; on a GPU, what its tensors have had there."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    status = Path("/proc/self/status")
    if status.exists():
        # not getrusage: on Linux a process begins with the peak of the one that started it
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) / 2**10
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _samples(subject: Subject, duration_s: float) -> int:
    return max(1, round(duration_s * subject.sample_rate_hz))


def _noise(batch: int, samples: int) -> Float32[Tensor, "batch samples"]:
    return torch.from_numpy(0.1 * np.random.default_rng(0).standard_normal((batch, samples), np.float32))
