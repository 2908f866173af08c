"""A part of a `.q2d2` file, as if it had been cut from the whole decoded one, without reading the rest.

The file's seek table leads to the chunks of the part and of what its first samples depend on; resampling begins a
little earlier, at a place where both rates have a sample at the same time. Knows nothing of command lines.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float32

from q2d2.bitstream import Reader
from q2d2.codec import Codec
from q2d2.excitation import BLOCK
from q2d2.resampling import resample_blocks, resampled_length
from q2d2.streams import StreamingDecoder

PIECE = 1024  # frames that are read and decoded at a time
MARGIN = 4096  # samples at the codec's rate around the part: more than the resampler's filter sees


def check_part(duration_s: float, start_s: float, length_s: float | None) -> None:
    """ValueError unless there is such a part of so long a signal."""
    if not start_s >= 0 or not (length_s is None or length_s > 0):
        raise ValueError(f"a part from {start_s} s of {length_s} s: give a start of at least 0 and a duration above 0")
    if start_s >= duration_s:
        raise ValueError(f"lasts {duration_s:.3f} s: there is nothing at {start_s:.3f} s")


def part_length(num_samples: int, sample_rate_hz: int, start_s: float, length_s: float | None) -> tuple[int, int]:
    """The first sample of a part, and how many samples it has: fewer than asked for where the signal ends."""
    check_part(num_samples / sample_rate_hz, start_s, length_s)
    first = min(round(start_s * sample_rate_hz), num_samples - 1)
    rest = num_samples - first
    return first, rest if length_s is None else min(max(1, round(length_s * sample_rate_hz)), rest)


def decode_part(codec: Codec, reader: Reader, first: int, count: int) -> Iterator[Float32[np.ndarray, " _"]]:
    """Samples `first` to `first + count - 1` of a whole file, at its own sample rate, in blocks."""
    header = reader.header
    assert (
        header.num_samples is not None and reader.num_frames is not None
    )  # where there is a seek table, there are both
    inner_hz, outer_hz = codec.config.sample_rate_hz, header.sample_rate_hz
    shared = math.gcd(inner_hz, outer_hz)
    inner_step, outer_step = inner_hz // shared, outer_hz // shared  # samples that last equally long
    whole = resampled_length(header.num_samples, outer_hz, inner_hz)
    steps = max(0, first * inner_hz // outer_hz - MARGIN) // inner_step
    begin = steps * inner_step
    end = min(whole, resampled_length(first + count, outer_hz, inner_hz) + MARGIN)
    inner = _cut(_frames(codec, reader, begin // codec.hop, -(-end // codec.hop)), begin % codec.hop, end - begin)
    outer = resample_blocks(inner, inner_hz, outer_hz)
    yield from _cut(outer, first - steps * outer_step, count)


def _frames(codec: Codec, reader: Reader, first: int, stop: int) -> Iterator[Float32[np.ndarray, " _"]]:
    """The samples of frames `first` to `stop - 1`, at the codec's rate."""
    context, total = codec.decoder.context, reader.num_frames
    assert total is not None
    if context is None:
        indices = reader.read(0, total)
        yield from _cut(codec.decode_blocks([indices]), first * codec.hop, (stop - first) * codec.hop)
        return
    begin = first - first % BLOCK
    past = codec.silence[: len(reader.header.points)].repeat(context.lead, 1)
    known = reader.read(max(0, begin - context.lead), begin)
    if len(known):
        past[context.lead - len(known) :] = torch.from_numpy(known)
    stream = codec.streaming_decoder(past.shape[1], past=past, start_frame=begin)
    # a sample needs `after` frames after it, and the stream keeps one; at the end of the file, silence follows
    seen = min(total, stop + context.after + 1)
    yield from _cut(_streamed(stream, reader, begin, seen), (first - begin) * codec.hop, (stop - first) * codec.hop)


def _streamed(stream: StreamingDecoder, reader: Reader, begin: int, seen: int) -> Iterator[Float32[np.ndarray, " _"]]:
    for start in range(begin, seen, PIECE):
        yield stream.push(reader.read(start, min(start + PIECE, seen)))
    yield stream.flush()


def _cut(blocks: Iterator[Float32[np.ndarray, " _"]], skip: int, count: int) -> Iterator[Float32[np.ndarray, " _"]]:
    """`count` samples after the first `skip`."""
    for block in blocks:
        part = block[skip : skip + count]
        skip, count = max(0, skip - len(block)), count - len(part)
        if len(part):
            yield part
        if not count:
            return
