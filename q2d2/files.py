"""One file through a codec: audio <-> `.q2d2`, in memory that does not grow with its length.

Everything is a chain of generators over blocks, so an hour takes the memory of half a minute; what comes through a pipe
goes on as it comes. Knows nothing of command lines.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal, NamedTuple

import numpy as np
from jaxtyping import Int64
from tqdm import tqdm

from q2d2 import audio, bitstream, excerpt
from q2d2.bitstream.header import MAX_HEADER_BYTES
from q2d2.codec import Codec
from q2d2.opening import PIPE, SUFFIX, FileError, Name, check_target, is_pipe, is_stream, new_file, open_source
from q2d2.releases import model_with_prior

LIVE_CHUNK_FRAMES = 16  # per chunk from pipe to pipe: 0.3 s of `speech`
_BELIEVABLE_GAP_S = 3600.0  # silence in place of what is missing is written only up to this: a file may claim months
_SILENCE_FRAMES = 1024  # ... and this much at a time


class DamagedError(FileError):
    """A `.q2d2` file that is damaged; what is left of it can be decoded with on_damage="skip"."""


_PARTLY_READABLE = (
    DamagedError,
    bitstream.DamagedChunkError,
    bitstream.DamagedTrailerError,
    bitstream.TrailingDataError,
    bitstream.TruncatedError,
)


class Encoded(NamedTuple):
    """What `encode_file` has written."""

    duration_s: float
    num_bytes: int

    @property
    def bitrate_bps(self) -> float:
        """Bits per second of the file, header and all."""
        return 8 * self.num_bytes / self.duration_s


def encode_file(
    codec: Codec,
    source: Name,
    target: Name,
    rate: str | int | None = None,
    overwrite: bool = False,
    chunk_frames: int | None = None,
    constant_rate: bool = False,
) -> Encoded:
    """Audio -> `.q2d2`. AudioError or FileError, and no target, where something is wrong.

    A chunk of frames is written when it is full, so that from pipe to pipe it decides how soon the other side hears
    anything: None means `LIVE_CHUNK_FRAMES` there and the format's default elsewhere.
    """
    check_target(source, target, overwrite)
    if not is_stream(target) and Path(target).suffix.lower() != SUFFIX:
        raise FileError(f"{target}: should end in {SUFFIX}")
    with audio.open_blocks(source) as blocks, new_file(target) as file:
        sample_rate_hz = blocks.sample_rate_hz
        mono = _Counted(map(audio.to_mono, blocks), blocks.num_frames, sample_rate_hz, blocks.name)
        signal = audio.resample_blocks(mono, sample_rate_hz, codec.config.sample_rate_hz)
        counted = _CountedFile(file)
        if chunk_frames is None:
            live = is_pipe(source, sys.stdin) and is_pipe(target, sys.stdout)
            chunk_frames = LIVE_CHUNK_FRAMES if live else bitstream.DEFAULT_CHUNK_FRAMES
        writer = codec.writer(counted, sample_rate_hz, rate, chunk_frames, constant_rate)
        with mono.progress, named(blocks.name):
            for indices in codec.encode_blocks(signal, rate):
                writer.write(indices)
        writer.close(mono.num_samples)
        return Encoded(mono.num_samples / sample_rate_hz, counted.num_bytes)


def decode_file(
    codec: Codec,
    source: Name,
    target: Name,
    on_damage: Literal["raise", "skip"] = "raise",
    overwrite: bool = False,
    start_s: float = 0.0,
    duration_s: float | None = None,
) -> list[str]:
    """`.q2d2` -> audio of the original's length and sample rate; the target's suffix says of which kind.

    on_damage="skip" puts silence where frames are missing, and returns a line on each such place. Of a file that was
    cut short all that is there is decoded. What comes through a pipe is heard as it comes. Of a part (`start_s`,
    `duration_s`) only what it needs is read, and all of that must be undamaged.
    """
    check_target(source, target, overwrite)
    is_part = start_s != 0 or duration_s is not None
    with open_source(source, seekable=is_part or not codec.is_local) as (file, name), named(name):
        reader = codec.reader(file, "raise" if is_part else on_damage)
        # a length that no trailer vouches for is not believed
        length = reader.header.num_samples if reader.num_frames is not None else None
        if is_part:
            assert length is not None  # a reader that does not skip damage has found the trailer
            first, length = excerpt.part_length(length, reader.header.sample_rate_hz, start_s, duration_s)
            blocks = excerpt.decode_part(codec, reader, first, length)
        else:
            blocks = _decoded(codec, reader)
        with audio.Writer(target, reader.header.sample_rate_hz, num_frames=length) as writer:
            counted = _Counted(blocks, length, reader.header.sample_rate_hz, name)
            with counted.progress:
                for block in counted:
                    writer.write(block)
        return [damage_line(damage, name, codec.frame_rate_hz) for damage in reader.damage]


def _decoded(codec: Codec, reader: bitstream.Reader) -> Iterator[np.ndarray]:
    """All samples of a file, at its own rate; through a pipe its length is known when it has been read."""
    most = round(_BELIEVABLE_GAP_S * codec.frame_rate_hz)
    pairs, outer_hz = len(reader.header.points), reader.header.sample_rate_hz
    chunks = _without_gaps(reader, codec.silence.numpy(force=True)[:pairs], most)
    if codec.is_local:
        with codec.streaming_decoder(pairs, outer_hz) as stream:
            for chunk in chunks:
                yield stream.push(chunk)
            yield stream.flush(None if reader.num_frames is None else reader.header.num_samples)
        return
    length = None if reader.num_frames is None else reader.header.num_samples
    inner_hz = codec.config.sample_rate_hz
    inner_length = None if length is None else audio.resampled_length(length, outer_hz, inner_hz)
    inner = audio.resample_blocks(codec.decode_blocks(chunks), inner_hz, inner_hz, inner_length)
    yield from audio.resample_blocks(inner, inner_hz, outer_hz, length)


def model_of(source: Name) -> str | None:
    """The name of the model that wrote a `.q2d2` file or stream, if its beginning tells; a stream is not advanced."""
    try:
        if os.fspath(source) == PIPE:
            head = sys.stdin.buffer
            beginning = head.peek() if isinstance(head, io.BufferedReader) and not head.isatty() else b""
        elif is_stream(source):
            return None
        else:
            with open(source, "rb") as file:
                beginning = file.read(MAX_HEADER_BYTES)
        return bitstream.parse_header(beginning).model
    except bitstream.UnknownPriorError as error:
        return model_with_prior(error.prior)
    except (bitstream.BitstreamError, OSError):
        return None


# -- what stands between files and blocks ------------------------------------------------------------------------------


class _Counted:
    """Blocks as they pass, counted, with a progress bar on a terminal when it takes longer than a moment."""

    def __init__(self, blocks: Iterable[np.ndarray], total: int | None, sample_rate_hz: int, name: str) -> None:
        self.num_samples = 0
        self._blocks, self._sample_rate_hz = blocks, sample_rate_hz
        layout = "{desc}: {percentage:3.0f}% |{bar}| {n:.0f} of {total:.0f} s of audio, {remaining} left"
        self.progress = tqdm(
            total=None if total is None else total / sample_rate_hz,
            desc=name,
            unit="s",
            delay=1,
            leave=False,
            disable=None,
            bar_format=None if total is None else layout,
        )

    def __iter__(self) -> Iterator[np.ndarray]:
        for block in self._blocks:
            self.num_samples += len(block)
            yield block
            self.progress.update(len(block) / self._sample_rate_hz)


class _CountedFile:
    """A binary file that is written to, and the bytes written so far."""

    def __init__(self, file: IO[bytes]) -> None:
        self.num_bytes = 0
        self._file = file

    def write(self, data: bytes, /) -> int:
        self.num_bytes += len(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()


def _without_gaps(
    reader: bitstream.Reader, silence: Int64[np.ndarray, " pairs"], most: int
) -> Iterator[Int64[np.ndarray, "frames pairs"]]:
    """The chunks, with frames of silence in place of missing ones, in pieces; a gap of more than `most` is an error."""

    def fill(start: int, stop: int) -> Iterator[np.ndarray]:
        if stop - start > most:
            raise DamagedError(f"frames {start} to {stop} are missing, more than silence is filled in for")
        for at in range(start, stop, _SILENCE_FRAMES):
            yield np.tile(silence, (min(_SILENCE_FRAMES, stop - at), 1))

    expected, found = 0, False
    for start, indices in reader:
        yield from fill(expected, start)
        yield indices
        expected, found = start + len(indices), True
    if not found:
        raise DamagedError("not one whole chunk is left") if reader.damage else FileError("holds no frames")
    yield from fill(expected, reader.num_frames or 0)


def damage_line(damage: bitstream.Damage, name: str, frame_rate_hz: float) -> str:
    start_s = damage.start_frame / frame_rate_hz
    if damage.num_frames is None:
        return f"{name}: ends at {start_s:.2f} s: {damage.reason}"
    if damage.num_frames == 0:
        return f"{name}: {damage.reason}"
    stop_s = start_s + damage.num_frames / frame_rate_hz
    return f"{name}: silence from {start_s:.2f} to {stop_s:.2f} s: {damage.reason}"


@contextmanager
def named(name: str) -> Iterator[None]:
    """Put the file's name before errors that do not know it."""
    try:
        yield
    except audio.AudioError:
        raise
    except ValueError as error:
        kind = DamagedError if isinstance(error, _PARTLY_READABLE) else FileError
        raise kind(f"{name}: {error}") from error
