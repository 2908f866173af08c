"""A WAV that arrives through a pipe, read as it comes: microphones, other programs, streams without end.

libsndfile seeks in what it reads, and a pipe cannot; so the header and plain PCM, all that ever comes live, are read
here. Programs that do not know how long a stream will be write a size of zero, or the largest they can think of.
"""

from __future__ import annotations

import io
import struct
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
UNKNOWN = 2**63 - 1  # a length that nobody knows, as libsndfile writes it
_ENDLESS = 0x7FFF0000  # bytes: what says so many has not counted them
_HEADER_BYTES = 2**20  # no header is longer
_AT_ONCE = 2**16  # bytes: no block waits for more, so that a slow pipe is followed closely
_FULL_SCALE = {8: 2.0**7, 16: 2.0**15, 24: 2.0**23, 32: 2.0**31}


@runtime_checkable
class Pipe(Protocol):
    """What is read from."""

    def read(self, size: int, /) -> bytes: ...


class NotLiveError(ValueError):
    """What came is no WAV, or one of a kind that is not read here. `head`: all that was taken from the pipe."""

    def __init__(self, head: bytes) -> None:
        super().__init__("not a plain WAV")
        self.head = head


class LiveWav:
    """The samples of a WAV as they arrive: what `Blocks` needs of a sound file.

    NotLiveError, once the header has come, unless it is a WAV of integers or floats.
    """

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._head = bytearray()
        self._read_header()
        self._width = self._bits // 8 * self.channels
        self._rest = b""  # of a frame that has come in part
        self._position = 0

    def seek(self, frame: int) -> None:
        """Read on to this frame."""
        while self._position < frame and len(self.read(min(frame - self._position, _AT_ONCE))):
            pass

    def read(self, frames: int, dtype: str = "float32", always_2d: bool = True) -> Float32[np.ndarray, "_ channels"]:
        """What has arrived, at least one frame and at most so many; nothing where the stream ends."""
        wanted = min(frames, self.frames - self._position) * self._width
        data = self._rest
        while len(data) < min(self._width, wanted):
            more = _some(self._pipe, min(_AT_ONCE, wanted - len(data)))
            if not more:
                break
            data += more
        whole = len(data) - len(data) % self._width
        self._rest = data[whole:]
        self._position += whole // self._width
        return self._decoded(data[:whole]).reshape(-1, self.channels)

    def close(self) -> None:
        """Whoever has opened the pipe closes it."""

    def _decoded(self, data: bytes) -> Float32[np.ndarray, " samples"]:
        if self._floats:
            return np.frombuffer(data, f"<f{self._bits // 8}").astype(np.float32)
        if self._bits == 24:
            padded = np.zeros((len(data) // 3, 4), np.uint8)
            padded[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
            whole = padded.view("<i4")[:, 0] >> 8
        elif self._bits == 8:  # the only one without a sign
            whole = np.frombuffer(data, np.uint8).astype(np.int32) - 128
        else:
            whole = np.frombuffer(data, f"<i{self._bits // 8}")
        return (whole / _FULL_SCALE[self._bits]).astype(np.float32)

    def _read_header(self) -> None:
        if self._take(4) != b"RIFF" or self._take(8)[4:] != b"WAVE":
            raise NotLiveError(bytes(self._head))
        layout = b""
        while (name := self._take(4)) != b"data":
            (size,) = struct.unpack("<I", self._take(4))
            content = self._take(size + size % 2)
            layout = content if name == b"fmt " else layout
        (size,) = struct.unpack("<I", self._take(4))
        if len(layout) < 16:
            raise NotLiveError(bytes(self._head))
        kind, self.channels, self.samplerate, _, width, self._bits = struct.unpack("<HHIIHH", layout[:16])
        if kind == EXTENSIBLE and len(layout) >= 26:
            (kind,) = struct.unpack("<H", layout[24:26])
        self._floats = kind == FLOAT
        bits = {PCM: _FULL_SCALE, FLOAT: {32: 1.0, 64: 1.0}}.get(kind, {})
        if self._bits not in bits or not self.channels or width != self._bits // 8 * self.channels:
            raise NotLiveError(bytes(self._head))
        self.frames = UNKNOWN if size == 0 or size >= _ENDLESS else size // width

    def _take(self, count: int) -> bytes:
        """So many bytes of the header."""
        begin = len(self._head)
        if begin + count > _HEADER_BYTES:
            raise NotLiveError(bytes(self._head))
        while missing := begin + count - len(self._head):
            part = self._pipe.read(missing)
            if not part:
                raise NotLiveError(bytes(self._head))
            self._head += part
        return bytes(self._head[begin:])


def _some(pipe: Pipe, most: int) -> bytes:
    """At most so many bytes: those that are there, or the first to come."""
    if isinstance(pipe, io.BufferedReader | io.BytesIO):
        return pipe.read1(most)
    return pipe.read(most)
