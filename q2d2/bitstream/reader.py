"""A `.q2d2` file, from a disk or out of a pipe -> frames, or what is wrong with it."""

import io
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int64

from q2d2.bitstream.header import Header
from q2d2.bitstream.header_reading import read_header
from q2d2.bitstream.packing import PackingError, unpack, unpack_varint
from q2d2.bitstream.prior import Prior
from q2d2.bitstream.records import (
    MAX_CHUNK_FRAMES,
    MAX_TRAILER_BYTES,
    TAIL_BYTES,
    BitstreamError,
    Chunk,
    DamagedChunkError,
    DamagedTrailerError,
    Layout,
    ReadableFile,
    Source,
    Trailer,
    TrailingDataError,
    TruncatedError,
    max_chunk_bytes,
    read_chunk,
    read_trailer,
    trailer_bytes,
)


class Damage(NamedTuple):
    """A part of a file that could not be read."""

    start_frame: int
    num_frames: int | None  # None: nothing tells how many
    reason: str


class DecodedChunk(NamedTuple):
    """A chunk of a file, and what it takes there."""

    start_frame: int
    indices: Int64[np.ndarray, "frames codebooks"]
    num_bytes: int  # all of it
    payload_bytes: int
    by_prior: bool


class _SeekTable(NamedTuple):
    """Chunk i begins with frame start_frames[i] at byte offsets[i]; a last entry says where all ends."""

    start_frames: Int64[np.ndarray, "chunks_and_end"]
    offsets: Int64[np.ndarray, "chunks_and_end"]

    @classmethod
    def from_trailer(cls, trailer: Trailer, begin: int, end: int, points: tuple[int, ...]) -> "_SeekTable":
        """Of chunks that fill the bytes begin..end-1 of a file, else DamagedTrailerError."""
        starts, offsets = array("q", [0]), array("q", [begin])
        entries = Source(io.BytesIO(trailer.entries))
        try:
            while entries.position < len(trailer.entries):
                starts.append(starts[-1] + unpack_varint(entries.take))
                offsets.append(offsets[-1] + unpack_varint(entries.take))
        except (PackingError, TruncatedError) as error:
            raise DamagedTrailerError(f"damaged trailer: {error}") from error
        if trailer.num_frames:
            starts.append(trailer.num_frames)
            offsets.append(end)
        table = cls(np.array(starts, dtype=np.int64), np.array(offsets, dtype=np.int64))
        frames, sizes = np.diff(table.start_frames), np.diff(table.offsets)
        possible = (frames >= 1) & (frames <= MAX_CHUNK_FRAMES) & (sizes >= 1)
        possible &= sizes <= max_chunk_bytes(points)
        if table.offsets[-1] != end or not possible.all():
            raise DamagedTrailerError("the seek table does not describe this file")
        return table


class Reader:
    """A `.q2d2` file: iterate over (start_frame, indices) chunk by chunk, or `read` any range of frames.

    on_damage="raise": the first damage is a BitstreamError; a file that can be sought is checked for its end
    at once, so a truncated one fails here and not after an hour of decoding. on_damage="skip": iteration
    yields the undamaged chunks, with gaps between their start frames, and `damage` lists what was lost once
    it is through. A damaged header is always an error, and so is a prior that
    is not among `priors`.

    Holds one chunk (2 MiB at most), the prior (64 MiB at most) and the seek table (16 bytes per chunk), whatever the
    file claims. Fill gaps piece by piece: where no seek table bounds it, the size of a gap is what the file claims.
    """

    header: Header
    """num_samples is filled in once the trailer has been read: at the start where the file can be sought."""
    prior: Prior | None
    """What its header names."""
    damage: list[Damage]
    """What the latest iteration skipped, in the order of the file."""

    def __init__(
        self,
        file: ReadableFile,
        on_damage: Literal["raise", "skip"] = "raise",
        priors: Iterable[Prior] = (),
    ) -> None:
        if on_damage not in ("raise", "skip"):
            raise ValueError(f'on_damage is {on_damage!r}, not "raise" or "skip"')
        self._file = file
        self._skip = on_damage == "skip"
        self._seekable = file.seekable()
        self._begin = file.tell() if self._seekable else 0
        self._source = Source(file)
        self.header, self.prior = read_header(self._source, priors)
        self.damage = []
        self._streamed = self.header.num_samples is None
        self._first_chunk = self._source.position
        self._pipe_is_spent = False
        self._num_frames: int | None = None
        self._table: _SeekTable | None = None
        self._no_table: Exception = io.UnsupportedOperation("a pipe cannot be read at random")
        if self._seekable:
            try:
                self._table = self._load_table()
            except BitstreamError as error:
                self._no_table = error
                if not self._skip:
                    # Walking through the file tells truncated from damaged from followed by something else.
                    for _ in self._in_sequence():
                        pass
                    raise

    @property
    def num_frames(self) -> int | None:
        """Frames in the file; None until the trailer has been read."""
        return self._num_frames

    def __iter__(self) -> Iterator[tuple[int, Int64[np.ndarray, "frames codebooks"]]]:
        for chunk in self.chunks():
            yield chunk.start_frame, chunk.indices

    def chunks(self) -> Iterator[DecodedChunk]:
        """Every undamaged chunk, with its sizes in bytes and whether the prior coded it."""
        self.damage = []
        for chunk in self._in_sequence() if self._table is None else self._by_table(self._table):
            try:
                indices = self._decode(chunk)
            except DamagedChunkError as error:
                self._report(chunk.start_frame, chunk.num_frames, error)
                continue
            yield DecodedChunk(
                chunk.start_frame, indices, chunk.num_bytes, len(chunk.payload.data), chunk.payload.by_prior
            )

    def read(self, start_frame: int, stop_frame: int) -> Int64[np.ndarray, "frames codebooks"]:
        """Frames start_frame..stop_frame-1, reading only their chunks.

        All or nothing: damage in them, or no seek table, is an error even with on_damage="skip".
        """
        table = self._table
        if table is None:
            raise self._no_table
        if not 0 <= start_frame <= stop_frame <= table.start_frames[-1]:
            raise ValueError(f"frames {start_frame}..{stop_frame} of a file of {table.start_frames[-1]}")
        first = np.searchsorted(table.start_frames, start_frame, side="right") - 1
        last = np.searchsorted(table.start_frames, stop_frame, side="left")
        parts = [np.zeros((0, len(self.header.points)), dtype=np.int64)]
        for number in range(first, last):
            begin = int(table.start_frames[number])
            indices = self._decode(self._chunk_at(table, number))
            parts.append(indices[max(start_frame - begin, 0) : stop_frame - begin])
        return np.concatenate(parts)

    def _report(self, start_frame: int, num_frames: int | None, error: BitstreamError) -> None:
        if not self._skip:
            raise error
        self.damage.append(Damage(start_frame, num_frames, str(error)))

    def _decode(self, chunk: Chunk) -> Int64[np.ndarray, "frames codebooks"]:
        try:
            if not chunk.payload.by_prior:
                return unpack(chunk.payload.data, chunk.num_frames, self.header.points)
            assert self.prior is not None  # without one in the header no chunk can say that it was used
            return self.prior.unpack(chunk.payload.data, chunk.num_frames, len(self.header.points))
        except PackingError as error:
            raise DamagedChunkError(f"damaged chunk at frame {chunk.start_frame}: {error}") from error

    def _source_at(self, position: int) -> Source:
        self._file.seek(self._begin + position)
        return Source(self._file, position)

    def _source_after_header(self) -> Source:
        if self._seekable:
            return self._source_at(self._first_chunk)
        if self._pipe_is_spent:
            raise io.UnsupportedOperation("a pipe can be read only once")
        self._pipe_is_spent = True
        return self._source

    def _load_table(self) -> _SeekTable:
        size = self._file.seek(0, io.SEEK_END) - self._begin
        tail_begin = max(size - TAIL_BYTES, self._first_chunk)
        begin = tail_begin - trailer_bytes(self._source_at(tail_begin).take(TAIL_BYTES))
        if begin < self._first_chunk:
            raise DamagedTrailerError("damaged trailer: it claims to begin inside the header")
        source = self._source_at(begin)
        if source.take(1) != b"\0":
            raise DamagedTrailerError("damaged trailer: it does not begin where the file's end says")
        trailer = read_trailer(source, self._streamed)
        if source.position != size:
            raise DamagedTrailerError("damaged trailer: it does not reach the file's end")
        table = _SeekTable.from_trailer(trailer, self._first_chunk, begin, self.header.points)
        self._accept(trailer)
        return table

    def _accept(self, trailer: Trailer) -> None:
        samples = self.header.num_samples if trailer.num_samples is None else trailer.num_samples
        if samples is None or samples > self.header.max_samples(trailer.num_frames):
            raise DamagedTrailerError(f"{samples} samples do not fit {trailer.num_frames} frames")
        self.header = replace(self.header, num_samples=samples)
        self._num_frames = trailer.num_frames

    def _chunk_at(self, table: _SeekTable, number: int) -> Chunk:
        begin, end = int(table.offsets[number]), int(table.offsets[number + 1])
        start, stop = int(table.start_frames[number]), int(table.start_frames[number + 1])
        try:
            record = self._source_at(begin).take(end - begin)
            chunk = read_chunk(Source(io.BytesIO(record)), self.header.points, self.prior is not None)
        except BitstreamError:  # fields that no chunk has, or that claim more than the record
            chunk = None
        if chunk is None or not chunk.intact or chunk[:3] != (start, stop - start, end - begin):
            raise DamagedChunkError(f"damaged chunk at byte {begin}: frames {start} to {stop - 1} are lost")
        return chunk

    def _by_table(self, table: _SeekTable) -> Iterator[Chunk]:
        """Chunks where the seek table says they are: damage costs the chunk it is in and no other."""
        for number in range(len(table.offsets) - 1):
            try:
                chunk = self._chunk_at(table, number)
            except DamagedChunkError as error:
                start, stop = table.start_frames[number : number + 2].tolist()
                self._report(start, stop - start, error)
                continue
            yield chunk

    def _in_sequence(self) -> Iterator[Chunk]:
        """Chunks one after the other, for pipes and for files whose seek table is lost.

        After a damaged chunk its own length leads to the next, whose start frame tells what is missing in
        between.
        """
        source = self._source_after_header()
        layout, expected, lost = Layout(), 0, ""
        try:
            while (chunk := read_chunk(source, self.header.points, self.prior is not None)) is not None:
                layout.add(chunk.num_frames, chunk.num_bytes)
                if len(layout.entries) > MAX_TRAILER_BYTES:
                    raise DamagedTrailerError("more chunks than a seek table holds")
                problem = _problem(chunk, expected)
                if problem and not lost:
                    lost = f"damaged chunk at byte {source.position - chunk.num_bytes}: {problem}"
                    if not self._skip:
                        raise DamagedChunkError(lost)
                if not chunk.intact or chunk.start_frame < expected:
                    continue
                if lost:
                    self.damage.append(Damage(expected, chunk.start_frame - expected, lost))
                expected, lost = chunk.start_frame + chunk.num_frames, ""
                yield chunk
            trailer = read_trailer(source, self._streamed)
            whole = not lost and not self.damage
            if trailer.num_frames < expected or (whole and not layout.matches(trailer)):
                raise DamagedTrailerError("damaged trailer: it does not describe this file")
            self._accept(trailer)
            if trailer.num_frames > expected:
                self.damage.append(Damage(expected, trailer.num_frames - expected, lost or "chunks are missing"))
            expected, lost = trailer.num_frames, ""
            if not source.at_end():
                raise TrailingDataError(f"the file goes on after its trailer, from byte {source.position}")
        except BitstreamError as error:
            reason = str(error)
            if isinstance(error, TruncatedError):
                reason += f", after {expected} frames and before its trailer"
            if not self._skip:
                raise type(error)(reason) from error
            unknown = 0 if isinstance(error, TrailingDataError) else None
            self.damage.append(Damage(expected, unknown, f"{lost}; {reason}" if lost else reason))


def _problem(chunk: Chunk, expected_frame: int) -> str:
    if not chunk.intact:
        return "its checksum does not match"
    if chunk.start_frame != expected_frame:
        return f"it begins with frame {chunk.start_frame} where frame {expected_frame} belongs"
    return ""
