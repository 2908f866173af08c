"""float32 blocks -> an audio file that appears when it is complete, or a WAV stream."""

import math
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
import soundfile
from jaxtyping import Float32

from q2d2.audio.errors import AudioError, check_file_rate, check_finite, named
from q2d2.audio.pcm import MAX_WAV_BYTES, SampleFormat, to_int16, wav_header

# What a suffix means to libsndfile: the container, then the coding of each SampleFormat that it can hold.
_WRITABLE: dict[str, tuple[str, dict[SampleFormat, str]]] = {
    ".wav": ("WAV", {"int16": "PCM_16", "float32": "FLOAT"}),
    ".flac": ("FLAC", {"int16": "PCM_16"}),
    ".ogg": ("OGG", {"int16": "VORBIS"}),
}
_WRITE_FRAMES = 65_536  # libvorbis keeps a whole write on the stack, and a long one overflows it


class Writer:
    """Writes audio block by block; use it in a `with`.

    The suffix (.wav, .flac, .ogg) decides the format. The file grows under a temporary name in the same
    folder and takes its own when the `with` ends well; otherwise whatever stood there before stays. "-", a
    device and a named pipe get a WAV stream, whose header can tell the length only if `num_frames` is given.
    "int16" is limited to full scale, never wrapped; "float32", for WAV, keeps every value.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        sample_rate_hz: int,
        num_channels: int = 1,
        num_frames: int | None = None,
        sample_format: SampleFormat = "int16",
    ) -> None:
        self.name = "standard output" if os.fspath(path) == "-" else str(path)
        self._rate_hz, self._channels, self._format = sample_rate_hz, num_channels, sample_format
        self._num_frames = num_frames
        self._written = 0
        check_file_rate(sample_rate_hz, self.name)
        with named(f"{self.name}: cannot be written"):
            self._sink = self._open(path)

    def write(self, samples: Float32[np.ndarray, "block *channels"]) -> None:
        """Append [block] (one channel) or [block channels]."""
        block = samples[:, np.newaxis] if samples.ndim == 1 else samples
        if block.shape[1] != self._channels:
            raise AudioError(f"{self.name}: got {block.shape[1]} channels instead of {self._channels}")
        check_finite(block, self.name, self._written, self._rate_hz)
        for start in range(0, len(block), _WRITE_FRAMES):
            part = block[start : start + _WRITE_FRAMES]
            with named(f"{self.name}: cannot be written; is there room?"):
                self._sink.write(to_int16(part) if self._format == "int16" else part)
            self._written += len(part)

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        with named(f"{self.name}: cannot be written"):
            try:
                if error is None:
                    self._check_complete()
                    self._sink.keep(self._written)
            finally:
                self._sink.discard()

    def _open(self, path: str | os.PathLike[str]) -> "_Stream | _NewFile":
        header = self._header(self._num_frames)
        if os.fspath(path) == "-":
            sys.stdout.flush()
            return _Stream(open(sys.stdout.fileno(), "wb", closefd=False), header, self._header)
        if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
            return _Stream(open(path, "wb"), header, self._header)
        return _NewFile(self.name, Path(path), self._rate_hz, self._channels, self._format)

    def _header(self, num_frames: int | None) -> bytes:
        return wav_header(self._rate_hz, self._channels, num_frames, self._format)

    def _check_complete(self) -> None:
        if self._num_frames not in (None, self._written):
            raise AudioError(f"{self.name}: got {self._written} samples instead of {self._num_frames}")


class _Stream:
    """Samples after a header, sent on as they come; what was sent cannot be taken back, so `discard` only ends it."""

    def __init__(self, file: IO[bytes], header: bytes, header_of: Callable[[int], bytes]) -> None:
        self._file, self._header_of = file, header_of
        # standard output may be a file that was empty, whose header can be put right at the end
        self._can_go_back = file.seekable() and file.tell() == 0 and not _appends(file)
        self._file.write(header)

    def write(self, block: np.ndarray) -> None:
        self._file.write(block.astype(block.dtype.newbyteorder("<")).tobytes())
        self._file.flush()

    def keep(self, num_frames: int) -> None:
        if self._can_go_back:
            self._file.seek(0)
            self._file.write(self._header_of(num_frames))
        self._file.close()

    def discard(self) -> None:
        self._file.close()


def _appends(file: IO[bytes]) -> bool:
    """Whether whatever is written goes to the end: >> in a shell."""
    try:
        import fcntl
    except ImportError:  # not a POSIX system: better a header without a length than one in the wrong place
        return True
    return bool(fcntl.fcntl(file.fileno(), fcntl.F_GETFL) & os.O_APPEND)


class _NewFile:
    """A file under a temporary name: `keep` gives it its own, `discard` removes what was not kept."""

    def __init__(
        self, name: str, path: Path, sample_rate_hz: int, num_channels: int, sample_format: SampleFormat
    ) -> None:
        container, codings = _WRITABLE.get(path.suffix.lower(), ("", {}))
        self._target = Path(os.path.realpath(path))  # a symbolic link stays; its target is replaced
        if self._target.is_dir():
            raise AudioError(f"{name}: is a folder; give a file")
        if not self._target.parent.is_dir():
            raise AudioError(f"{name}: there is no folder {self._target.parent}; make it first")
        if sample_format not in codings:
            able = ", ".join(suffix for suffix, (_, held) in _WRITABLE.items() if sample_format in held)
            raise AudioError(f"{name}: {sample_format} samples can be written as {able}; change the suffix")
        self._too_long = f"{name}: a WAV file cannot exceed 4 GiB; write .flac instead"
        self._room = MAX_WAV_BYTES if container == "WAV" else math.inf
        self._temporary = self._target.with_name(f".{self._target.name}.{secrets.token_hex(4)}.part")
        layout = (sample_rate_hz, num_channels, codings[sample_format])
        try:
            self._file = soundfile.SoundFile(self._temporary, "w", *layout, format=container)
        except BaseException:
            self._temporary.unlink(missing_ok=True)
            raise

    def write(self, block: np.ndarray) -> None:
        self._room -= block.nbytes
        if self._room < 0:
            raise AudioError(self._too_long)
        self._file.write(block)

    def keep(self, num_frames: int) -> None:
        self._file.close()
        os.replace(self._temporary, self._target)

    def discard(self) -> None:
        self._file.close()
        self._temporary.unlink(missing_ok=True)


def write(
    path: str | os.PathLike[str],
    samples: Float32[np.ndarray, "samples *channels"],
    sample_rate_hz: int,
    sample_format: SampleFormat = "int16",
) -> None:
    """Write a whole signal, [samples] or [samples channels], as `Writer` does."""
    num_channels = 1 if samples.ndim == 1 else samples.shape[1]
    with Writer(path, sample_rate_hz, num_channels, len(samples), sample_format) as writer:
        writer.write(samples)
