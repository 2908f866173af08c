"""Audio files and pipes -> float32 blocks [block channels]."""

import io
import math
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import numpy as np
import soundfile
from jaxtyping import Float32, Int16

from q2d2.audio.errors import AudioError, check_file_rate, check_finite, named
from q2d2.audio.live import LiveWav, NotLiveError
from q2d2.audio.pcm import to_int16
from q2d2.resampling import to_mono

SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf")

_SPOOL_BYTES = 64 * 2**20  # a pipe is kept in memory up to this, then in a temporary file
_MAX_BLOCK = 2**24  # samples of all channels: what a damaged header claims must not decide on memory
_MP3_PACKET = 1152


def list_audio(folder: str | os.PathLike[str], others: tuple[str, ...] = ()) -> list[Path]:
    """Every audio file below `folder`, and every one with one of the `others` suffixes; sorted, no hidden ones."""
    if not os.path.isdir(folder):
        raise AudioError(f"{folder}: is not a folder")
    wanted = (*SUFFIXES, *others)
    paths = [Path(root, name) for root, _, names in os.walk(folder) for name in names]
    return sorted(path for path in paths if path.suffix.lower() in wanted and not path.name.startswith("."))


class StraightOn(soundfile.SoundFile):
    """A sound file that is read straight on.

    After every read of a seekable file `soundfile` seeks to where it already is. That resets an MP3 decoder,
    which is heard at every seam, and fails at the end of a FLAC of unknown length.
    """

    def seekable(self) -> bool:
        return False


class Blocks:
    """An open audio file as an iterator of float32 [block channels]; made by `open_blocks`, used in a `with`.

    A sample that is NaN or infinite, damage, and a file that ends before the length it states raise an
    AudioError when the reading gets there.
    """

    def __init__(self, file: soundfile.SoundFile | LiveWav, name: str, block_s: float, opened: ExitStack) -> None:
        self.name = name
        self.sample_rate_hz: int = file.samplerate
        self.num_channels: int = file.channels
        # A FLAC that was written to a pipe does not state its length: libsndfile gives the largest integer.
        self.num_frames: int | None = file.frames if file.frames < 2**62 else None
        self._file = file
        self._opened = opened
        self._block_frames = max(1, min(round(block_s * self.sample_rate_hz), _MAX_BLOCK // self.num_channels))

    def __iter__(self) -> Iterator[Float32[np.ndarray, "_ channels"]]:
        return self.part(0, None)

    def part(self, start_frame: int, num_frames: int | None) -> Iterator[Float32[np.ndarray, "_ channels"]]:
        """The blocks of `num_frames` frames (None: all) from `start_frame` on; fewer where the file ends.

        Exact to the sample from the beginning, and from anywhere in WAV and FLAC; libsndfile's seek in an Ogg Vorbis
        or in an MP3 of variable bit rate may land some samples away from `start_frame`. In an Ogg Opus it does not,
        but the decoder needs some seconds to give what it would have given from the beginning: until then the
        difference is some 50 dB below the signal.
        """
        if self.num_frames is not None and not 0 <= start_frame <= self.num_frames:
            raise AudioError(f"{self.name}: has {self.num_frames} samples, none at {start_frame}")
        with named(f"{self.name}: cannot be read from {start_frame / self.sample_rate_hz:.3f} s on"):
            self._file.seek(start_frame)
        position = start_frame
        stop = math.inf if num_frames is None else start_frame + num_frames
        while position < stop:
            frames = int(min(self._block_frames, stop - position))
            with named(f"{self.name}: is damaged after {position / self.sample_rate_hz:.3f} s; replace it"):
                block = self._file.read(frames, dtype="float32", always_2d=True)
            if not len(block):
                self._check_complete(position)
                return
            check_finite(block, self.name, position, self.sample_rate_hz)
            position += len(block)
            yield block

    def log(self) -> str:
        """What libsndfile has remarked on the file so far."""
        return "" if isinstance(self._file, LiveWav) else self._file.extra_info

    def close(self) -> None:
        self._opened.close()

    def __enter__(self) -> "Blocks":
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _check_complete(self, position: int) -> None:
        if position == 0:
            raise AudioError(f"{self.name}: holds no samples (empty or cut short); replace it")
        # An MP3 states its length in packets, give or take one at either end.
        if self.num_frames is not None and position < self.num_frames - 2 * _MP3_PACKET:
            at_s, stated_s = position / self.sample_rate_hz, self.num_frames / self.sample_rate_hz
            raise AudioError(
                f"{self.name}: ends at {at_s:.3f} s of {stated_s:.3f} s (cut short or damaged); replace it"
            )


def open_blocks(path: str | os.PathLike[str] | io.IOBase, block_s: float = 10.0, name: str | None = None) -> Blocks:
    """Open a file ("-": standard input; a named pipe works too) for blocks of at most `block_s` seconds.

    Nothing is decoded yet, and memory stays bounded. A WAV that comes through a pipe is read as it comes, in blocks as
    short as that makes them; anything else is copied to a temporary file, since the decoders need to seek. A binary
    file that is open already, and can seek, is read where it is: give it a `name` for messages; whoever has opened it
    closes it.
    """
    name = name or _shown(path)
    with ExitStack() as opened:
        with named(f"{name}: cannot be opened"):
            source = _at_its_start(path, name) if isinstance(path, io.IOBase) else _named_file(path, name, opened)
        convert = f"convert it first: ffmpeg -i {name} OUT.wav"
        with named(f"{name}: is not audio that can be read, as wav, flac, ogg and mp3 are; {convert}"):
            file = source if isinstance(source, LiveWav) else opened.enter_context(StraightOn(source))
        check_file_rate(file.samplerate, name)
        return Blocks(file, name, block_s, opened.pop_all())


def read(
    path: str | os.PathLike[str], start_frame: int = 0, num_frames: int | None = None
) -> tuple[Float32[np.ndarray, "samples channels"], int]:
    """File ("-": standard input) -> (samples, sample rate in Hz).

    `start_frame` and `num_frames`, at the file's own rate, read a part without decoding the rest; the result
    is shorter where the file ends. Memory follows what a file holds, not what its header claims.
    """
    with open_blocks(path) as blocks:
        parts = list(blocks.part(start_frame, num_frames))
        nothing = np.zeros((0, blocks.num_channels), np.float32)
        return np.concatenate([nothing, *parts]), blocks.sample_rate_hz


def read_int16(
    path: str | os.PathLike[str], start_frame: int = 0, num_frames: int | None = None
) -> Int16[np.ndarray, " samples"]:
    """The same as mono int16: half the memory, also while it is read. A gap in an Ogg file raises an AudioError.

    libsndfile goes on behind a gap as if nothing were missing, and says so in its log only.
    """
    with open_blocks(path) as blocks:
        log = blocks.log()
        parts = [to_int16(to_mono(block)) for block in blocks.part(start_frame, num_frames)]
        if blocks.log() != log:
            start_s = start_frame / blocks.sample_rate_hz
            raise AudioError(f"{blocks.name}: is damaged after {start_s:.3f} s; replace it")
    return np.concatenate([np.zeros(0, np.int16), *parts])


def _shown(path: str | os.PathLike[str] | io.IOBase) -> str:
    if isinstance(path, io.IOBase):
        return "an open file"
    return "standard input" if os.fspath(path) == "-" else str(path)


def _at_its_start(file: io.IOBase, name: str) -> io.IOBase:
    if not file.seek(0, os.SEEK_END):
        raise AudioError(f"{name}: is empty; replace it")
    file.seek(0)
    return file


def _named_file(
    path: str | os.PathLike[str], name: str, opened: ExitStack
) -> str | LiveWav | tempfile.SpooledTemporaryFile:
    """What can be read: the path itself, a WAV that is still arriving, or a copy of what came through a pipe."""
    if os.fspath(path) == "-":
        return _piped(sys.stdin.buffer, name, opened)
    if stat.S_ISFIFO(os.stat(path).st_mode):
        return _piped(opened.enter_context(open(path, "rb")), name, opened)
    return _regular(path, name)


def _piped(pipe: IO[bytes], name: str, opened: ExitStack) -> LiveWav | tempfile.SpooledTemporaryFile:
    if pipe.isatty():
        raise AudioError(f"{name}: is a terminal; pipe an audio file into it")
    try:
        return LiveWav(pipe)
    except NotLiveError as error:
        head = error.head
    spool = opened.enter_context(tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES))  # noqa: SIM115
    spool.write(head)
    shutil.copyfileobj(pipe, spool)
    if not spool.tell():
        raise AudioError(f"{name}: is empty")
    spool.seek(0)
    return spool


def _regular(path: str | os.PathLike[str], name: str) -> str:
    if os.path.isdir(path):
        raise AudioError(f"{name}: is a folder; give a file")
    if Path(path).suffix.lower() == ".raw":  # soundfile asks its caller for the format then
        raise AudioError(f"{name}: has no header to tell its format; convert it to wav first")
    # libsndfile says "not recognised" of a file that it may not open, and of an empty one
    with open(path, "rb") as file:
        if not file.read(1):
            raise AudioError(f"{name}: is empty; replace it")
    return os.fspath(path)
