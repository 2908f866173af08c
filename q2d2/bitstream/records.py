"""The records that follow the header of a `.q2d2` file (chunks, trailer), and the errors a bad file gives.

A record is bytes here, wherever they come from. Every size that a record claims is checked against a limit
before anything is allocated or read for it.
"""

from io import BytesIO
from typing import NamedTuple, Protocol, runtime_checkable
from zlib import crc32

from q2d2.bitstream.packing import PackingError, max_packed_bytes, pack_varint, unpack_varint

MAX_CHUNK_FRAMES = 4096
MAX_TRAILER_BYTES = 1 << 20  # the seek table of 260,000 chunks: 29 days of 512 frames at 53.3 per second
END_MAGIC = b"2Q"
TAIL_BYTES = 3 + len(END_MAGIC)


class BitstreamError(ValueError):
    """A `.q2d2` file that cannot be read, in one line."""


class NotQ2D2Error(BitstreamError):
    """The first bytes are not those of a `.q2d2` file."""


class VersionError(BitstreamError):
    """A version of the format that this reader does not know."""


class HeaderError(BitstreamError):
    """The header is damaged or says something impossible."""


class UnknownPriorError(BitstreamError):
    """The prior that the indices were coded with is not among those that the reader was given."""

    def __init__(self, prior: str) -> None:
        super().__init__(f"coded with the prior {prior}, which is not at hand: load the model whose prior it is")
        self.prior = prior


class TruncatedError(BitstreamError):
    """The file ends before its trailer does."""


class DamagedChunkError(BitstreamError):
    """A chunk of frames fails its checks; the other chunks may be whole."""


class DamagedTrailerError(BitstreamError):
    """The trailer, which holds the seek table, is damaged or does not describe this file."""


class TrailingDataError(BitstreamError):
    """The file goes on after its trailer."""


@runtime_checkable
class ReadableFile(Protocol):
    """What a reader needs of a binary file; `seek` and `tell` only where it is seekable."""

    def read(self, size: int, /) -> bytes: ...

    def seekable(self) -> bool: ...

    def seek(self, offset: int, whence: int = 0, /) -> int: ...

    def tell(self) -> int: ...


class Source:
    """Bytes in order from a binary stream, never fewer than asked for, counted."""

    def __init__(self, file: ReadableFile, position: int = 0) -> None:
        self._file = file
        self.position = position

    def take(self, count: int) -> bytes:
        """Exactly `count` bytes, else TruncatedError. A pipe may hand them over in pieces."""
        parts = []
        missing = count
        while missing and (part := self._file.read(missing)):
            parts.append(part)
            missing -= len(part)
        self.position += count - missing
        if missing:
            raise TruncatedError(f"truncated: the file ends at byte {self.position}")
        return b"".join(parts)

    def at_end(self) -> bool:
        return not self._file.read(1)


class Payload(NamedTuple):
    """The indices of a chunk as bytes, and whether the file's prior was used for them."""

    data: bytes
    by_prior: bool


class Chunk(NamedTuple):
    """Frames that decode on their own. `intact`: the checksum matches, so the fields can be believed."""

    start_frame: int
    num_frames: int
    num_bytes: int  # fields and checksum included
    payload: Payload
    intact: bool


def pack_chunk(start_frame: int, num_frames: int, payload: Payload, has_prior: bool) -> bytes:
    """The chunk record: fields, CRC of fields and payload, payload. `has_prior`: the header names one."""
    size = 2 * len(payload.data) + payload.by_prior if has_prior else len(payload.data)
    fields = pack_varint(num_frames) + pack_varint(start_frame) + pack_varint(size)
    return fields + crc32(payload.data, crc32(fields)).to_bytes(4, "little") + payload.data


def read_chunk(source: Source, points: tuple[int, ...], has_prior: bool) -> Chunk | None:
    """The next chunk, or None where the trailer begins. Raises DamagedChunkError where no chunk can be."""
    begin = source.position
    try:
        num_frames = unpack_varint(source.take)
        if num_frames == 0:
            return None
        start_frame, size = unpack_varint(source.take), unpack_varint(source.take)
    except PackingError as error:
        raise DamagedChunkError(f"damaged chunk at byte {begin}: {error}") from error
    payload_bytes, by_prior = (size >> 1, bool(size & 1)) if has_prior else (size, False)
    if num_frames > MAX_CHUNK_FRAMES or payload_bytes > max_packed_bytes(num_frames, points):
        raise DamagedChunkError(
            f"damaged chunk at byte {begin}: it claims {num_frames} frames in {payload_bytes} bytes"
        )
    fields = pack_varint(num_frames) + pack_varint(start_frame) + pack_varint(size)
    checksum = int.from_bytes(source.take(4), "little")
    data = source.take(payload_bytes)
    intact = crc32(data, crc32(fields)) == checksum
    return Chunk(start_frame, num_frames, source.position - begin, Payload(data, by_prior), intact)


def max_chunk_bytes(points: tuple[int, ...]) -> int:
    """No chunk record is longer."""
    return max_packed_bytes(MAX_CHUNK_FRAMES, points) + 3 * 6 + 4


class Layout:
    """The seek table in the making, as the trailer holds it: two integers per chunk, frames and bytes.

    Save for the last chunk, which ends where the trailer begins: so a file of one chunk pays for none.
    """

    def __init__(self) -> None:
        self.num_frames = 0
        self.entries = bytearray()
        self._last = b""

    def add(self, num_frames: int, num_bytes: int) -> None:
        self.entries += self._last
        self._last = pack_varint(num_frames) + pack_varint(num_bytes)
        self.num_frames += num_frames

    def matches(self, trailer: "Trailer") -> bool:
        return trailer.num_frames == self.num_frames and trailer.entries == self.entries


class Trailer(NamedTuple):
    """num_samples: None where the header says it. entries: as in `Layout`."""

    num_frames: int
    num_samples: int | None
    entries: bytes


def pack_trailer(trailer: Trailer, position: int) -> bytes:
    """The trailer record: a zero where a chunk has its frames, length, body, CRC, way back from the end.

    The CRC covers the trailer's position in the file too, so that a seek table is not believed when bytes before
    it are missing, or when it belongs to another file.
    """
    body = pack_varint(trailer.num_frames)
    if trailer.num_samples is not None:
        body += pack_varint(trailer.num_samples)
    record = b"\0" + pack_varint(len(body) + len(trailer.entries)) + body + trailer.entries
    return record + _trailer_crc(record, position) + _tail(record)


def _trailer_crc(record: bytes, position: int) -> bytes:
    return crc32(position.to_bytes(8, "little"), crc32(record)).to_bytes(4, "little")


def _tail(record: bytes) -> bytes:
    """The last bytes of a file: how far before them its trailer begins (with its CRC), and the end magic."""
    return (len(record) + 4).to_bytes(3, "little") + END_MAGIC


def trailer_bytes(tail: bytes) -> int:
    """How far before the last TAIL_BYTES of a file its trailer begins."""
    if not tail.endswith(END_MAGIC):
        raise TruncatedError("no trailer at the end of the file: truncated, or followed by something else")
    return int.from_bytes(tail[:3], "little")


def read_trailer(source: Source, streamed: bool) -> Trailer:
    """The trailer, its first zero already taken. `streamed`: the header leaves num_samples to it."""
    position = source.position - 1
    try:
        size = unpack_varint(source.take)
    except PackingError as error:
        raise DamagedTrailerError(f"damaged trailer: {error}") from error
    if size > MAX_TRAILER_BYTES:
        raise DamagedTrailerError(f"damaged trailer: it claims {size} bytes, more than {MAX_TRAILER_BYTES}")
    data = source.take(size)
    record = b"\0" + pack_varint(size) + data
    if source.take(4) != _trailer_crc(record, position):
        raise DamagedTrailerError("damaged trailer: its checksum does not match")
    if source.take(TAIL_BYTES) != _tail(record):
        raise DamagedTrailerError("damaged trailer: its last bytes do not point back to it")
    body = Source(BytesIO(data))
    try:
        num_frames = unpack_varint(body.take)
        num_samples = unpack_varint(body.take) if streamed else None
    except (PackingError, TruncatedError) as error:
        raise DamagedTrailerError("damaged trailer: it does not give its numbers") from error
    return Trailer(num_frames, num_samples, data[body.position :])
