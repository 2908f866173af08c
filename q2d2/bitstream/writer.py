"""Frames -> a `.q2d2` file, on a disk or into a pipe."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Integer

from q2d2.bitstream.header import Header
from q2d2.bitstream.packing import pack
from q2d2.bitstream.prior import Prior
from q2d2.bitstream.records import (
    MAX_CHUNK_FRAMES,
    MAX_TRAILER_BYTES,
    Layout,
    Payload,
    Trailer,
    pack_chunk,
    pack_trailer,
)

DEFAULT_CHUNK_FRAMES = 512


@runtime_checkable
class WritableFile(Protocol):
    """What a writer needs of a binary file."""

    def write(self, data: bytes, /) -> int: ...

    def flush(self) -> None: ...


class Writer:
    """Frames in, a `.q2d2` file out: `write` as often as you like, then `close`.

    The file may be a pipe: nothing is ever sought. The bytes do not depend on how the frames were split over
    calls of `write`. Each chunk is flushed, so a killed writer loses at most its last chunk and a half.

    With the `prior` that the header names, a chunk is coded by it where that is shorter. Without, every index takes
    log2(points) bits, and the rate is constant, also where the header names one. `Codec.writer` makes both.
    """

    def __init__(
        self,
        file: WritableFile,
        header: Header,
        chunk_frames: int = DEFAULT_CHUNK_FRAMES,
        prior: Prior | None = None,
    ) -> None:
        if prior is not None and header != Header.by_prior(
            prior, len(header.points), header.sample_rate_hz, header.num_samples
        ):
            raise ValueError(f"the header is not that of a file by the prior {prior.id}")
        if not 1 <= chunk_frames <= MAX_CHUNK_FRAMES // 2:
            raise ValueError(f"chunk_frames is {chunk_frames}, not in 1..{MAX_CHUNK_FRAMES // 2}")
        self.header = header
        self._file = file
        self._chunk_frames = chunk_frames
        self._prior = prior
        self._buffer = np.zeros((0, len(header.points)), dtype=np.int32)
        self._layout = Layout()
        self._closed = False
        self._position = 0
        self._put(header.to_bytes())

    @property
    def num_frames(self) -> int:
        """Frames written so far."""
        return self._layout.num_frames + len(self._buffer)

    def write(self, indices: Integer[np.ndarray, "frames codebooks"]) -> None:
        """Append frames. ValueError, and nothing is appended, where an index is outside its alphabet."""
        if self._closed:
            raise ValueError("write to a closed Writer")
        self._buffer = np.concatenate([self._buffer, self._checked(indices)])
        # A chunk is cut only when half another one waits behind it, so that the last chunk is never a stub
        # of few frames: ten seconds at 53.3 frames/s are one chunk of 534 and not two of 512 and 22.
        while len(self._buffer) >= self._chunk_frames + self._chunk_frames // 2:
            self._write_chunk(self._buffer[: self._chunk_frames])
            self._buffer = self._buffer[self._chunk_frames :].copy()

    def close(self, num_samples: int | None = None) -> None:
        """Write what remains and the trailer; the file itself stays open.

        num_samples: length of the original audio at sample_rate_hz; may be left out where the header says it.
        """
        if self._closed:
            raise ValueError("close of a closed Writer")
        stated = self.header.num_samples
        samples = stated if num_samples is None else num_samples
        if samples is None:
            raise ValueError("the header leaves num_samples open, so close needs it")
        if stated not in (None, samples):
            raise ValueError(f"closed with {samples} samples, but the header says {stated}")
        if not 0 <= samples <= self.header.max_samples(self.num_frames):
            raise ValueError(f"{samples} samples do not fit {self.num_frames} frames")
        if len(self._buffer):
            self._write_chunk(self._buffer)
        self._closed = True
        in_trailer = samples if stated is None else None
        trailer = Trailer(self._layout.num_frames, in_trailer, bytes(self._layout.entries))
        self._put(pack_trailer(trailer, self._position))

    def _checked(self, indices: np.ndarray) -> np.ndarray:
        codebooks = len(self.header.points)
        if indices.dtype.kind not in "iu":
            raise TypeError(f"indices are {indices.dtype}, not integers")
        if indices.ndim != 2 or indices.shape[1] != codebooks:
            raise ValueError(f"indices have shape {indices.shape}, not (frames, {codebooks})")
        outside = (indices < 0) | (indices >= np.array(self.header.points))
        if outside.any():
            frame, codebook = np.argwhere(outside)[0]
            raise ValueError(
                f"index {indices[frame, codebook]} of codebook {codebook} in frame {self.num_frames + frame}"
                f" is outside 0..{self.header.points[codebook] - 1}"
            )
        return indices.astype(np.int32)

    def _write_chunk(self, indices: np.ndarray) -> None:
        if len(self._layout.entries) + 24 > MAX_TRAILER_BYTES:
            raise ValueError("the seek table is full: begin another file, or use longer chunks")
        payload = Payload(pack(indices, self.header.points), False)
        if self._prior is not None and len(coded := self._prior.pack(indices)) < len(payload.data):
            payload = Payload(coded, True)
        record = pack_chunk(self._layout.num_frames, len(indices), payload, self.header.prior is not None)
        self._put(record)
        self._layout.add(len(indices), len(record))

    def _put(self, record: bytes) -> None:
        self._file.write(record)
        self._file.flush()
        self._position += len(record)
