"""Forged `.q2d2` files, their checksums right and their claims absurd: an error, in little memory and time."""

import io
from zlib import crc32

import pytest
from bitstream_files import OPENERS, Pipe, both, header, header_by, little_memory, outcome, small_prior

from q2d2.bitstream import BitstreamError, HeaderError, Reader
from q2d2.bitstream.packing import MAX_INTEGER, pack_varint
from q2d2.bitstream.records import MAX_TRAILER_BYTES, Payload, Trailer, pack_trailer
from q2d2.bitstream.records import pack_chunk as pack_any_chunk

POINTS = (85, 1, 145)
PRIOR = small_prior(POINTS)
PRIORS = (PRIOR,)
EMPTY = header(POINTS, 0).to_bytes()
EMPTY_1 = (
    b'{"model":"speech","weights":"0123456789abcdef","sample_rate":24000,"codec_rate":24000,"hop":450,"samples":0,'
    b'"points":[[1,85],[1,1],[1,145]]}'
)


def signed(record: bytes) -> bytes:
    """A header record with the right checksum, whatever it says: what a forger writes."""
    return record + crc32(record).to_bytes(4, "little")


def signed_1(text: bytes) -> bytes:
    return signed(b"Q2D2\x01" + len(text).to_bytes(2, "little") + text)


def pack_chunk(start_frame: int, num_frames: int, payload: bytes, by_prior: bool | None = None) -> bytes:
    """by_prior: None for a file that has no prior."""
    return pack_any_chunk(start_frame, num_frames, Payload(payload, bool(by_prior)), by_prior is not None)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"{", b"["),
        (b"{", b"\xff"),
        (b'"hop":450', b'"hop":true'),
        (b'"hop":450', b'"hop":4.5'),
        (b'"hop":450', b'"hop":-450'),
        (b'"hop":450', b'"hop":' + b"9" * 1000),
        (b'"hop":450', b'"hop":' + b"[" * 1500),
        (b'"hop":450,', b""),
        (b'"hop":450', b'"hop":450,"more":1'),
        (b'"samples":0', b'"samples":"0"'),
        (b'"samples":0', b'"samples":NaN'),
        (b'"speech"', b"null"),
        (b'"speech"', b'"\\ud800"'),
        (b'"speech"', b'"\\u001b[2J"'),
        (b"[[1,85],[1,1],[1,145]]", b"[]"),
        (b"[[1,85],[1,1],[1,145]]", b"[85]"),
        (b"[[1,85],[1,1],[1,145]]", b"[[65,85]]"),
        (b"[[1,85],[1,1],[1,145]]", b"[[64,85],[1,85]]"),
        (b"[[1,85],[1,1],[1,145]]", b"[[1000000000,85]]"),
        (b"[[1,85],[1,1],[1,145]]", b"[[1,1048577]]"),
        (b"[[1,85],[1,1],[1,145]]", b"[[1,[85]]]"),
        (b"[[1,85],[1,1],[1,145]]", b'{"85":3}'),
    ],
)
def test_a_forged_parse_header_version_1_is_an_error(old, new):
    assert Reader(Pipe(signed_1(EMPTY_1))).header == header(POINTS, 0)
    assert old in EMPTY_1
    for opened in OPENERS:
        with little_memory():
            error = outcome(opened(signed_1(EMPTY_1.replace(old, new))))
        assert isinstance(error, HeaderError), error


RATE, HASH = pack_varint(24_000), bytes.fromhex("0123456789abcdef")
HOP, RUNS = pack_varint(450), b"\x02\x02\x55\x01\x05"


@pytest.mark.parametrize(
    "record",
    [
        b"\x04\x01a" + HASH + RATE + HOP + RUNS + RATE + b"\0",  # no such kind
        b"\0\0" + HASH + RATE + HOP + RUNS + RATE + b"\0",  # no name
        b"\0\x01\xff" + HASH + RATE + HOP + RUNS + RATE + b"\0",
        b"\0\x04a\x1b[2" + HASH + RATE + HOP + RUNS + RATE + b"\0",
        b"\0" + pack_varint(257) + b"a" * 257 + HASH + RATE + HOP + RUNS + RATE + b"\0",
        b"\0" + pack_varint(65) + b"a" * 65 + HASH + RATE + HOP + RUNS + RATE + b"\0",
        b"\0\x01a" + HASH + b"\0" + HOP + RUNS + RATE + b"\0",
        b"\0\x01a" + HASH + RATE + b"\0" + RUNS + RATE + b"\0",
        b"\0\x01a" + HASH + RATE + pack_varint(MAX_INTEGER) + RUNS + RATE + b"\0",
        b"\0\x01a" + HASH + RATE + HOP + b"\0" + RATE + b"\0",  # no points
        b"\0\x01a" + HASH + RATE + HOP + b"\x01\0\x55" + RATE + b"\0",
        b"\0\x01a" + HASH + RATE + HOP + b"\x01\x41\x55" + RATE + b"\0",
        b"\0\x01a" + HASH + RATE + HOP + b"\x01" + pack_varint(MAX_INTEGER) + b"\x55" + RATE + b"\0",
        b"\0\x01a" + HASH + RATE + HOP + pack_varint(MAX_INTEGER) + b"\x01\x55" * 70,
        b"\0\x01a" + HASH + RATE + HOP + b"\x01\x01\0" + RATE + b"\0",
        b"\0\x01a" + HASH + RATE + HOP + b"\x01\x01" + pack_varint((1 << 20) + 1) + RATE + b"\0",
        b"\0\x01a" + HASH + RATE + HOP + RUNS + b"\0\0",
        b"\0\x01a" + HASH + RATE + HOP + RUNS + b"\x80\0\0",  # an integer that is longer than it need be
        b"\x01" + bytes.fromhex(PRIOR.id) + b"\0" + RATE + b"\0",
        b"\x01" + bytes.fromhex(PRIOR.id) + b"\x04" + RATE + b"\0",
        b"\x01" + bytes.fromhex(PRIOR.id) + pack_varint(MAX_INTEGER) + RATE + b"\0",
        b"\x01" + bytes.fromhex(PRIOR.id) + b"\x03\0\0",
    ],
)
def test_a_forged_header_is_an_error(record):
    for opened in OPENERS:
        with little_memory():
            error = outcome(opened(signed(b"Q2D2\x02" + record)), PRIORS)
        assert isinstance(error, HeaderError), error


def test_a_header_that_is_not_forged_is_one():
    explicit = signed(b"Q2D2\x02\0\x01a" + HASH + RATE + HOP + RUNS + RATE + b"\0")
    assert Reader(Pipe(explicit)).header.points == (85, 85, 5)
    by_prior = signed(b"Q2D2\x02\x03" + bytes.fromhex(PRIOR.id) + b"\x02" + RATE)
    assert Reader(Pipe(by_prior), priors=PRIORS).header == header_by(PRIOR, 2)


def forged(*chunks: bytes, ending: tuple[int, ...] = (), points: tuple[int, ...] = POINTS) -> bytes:
    """Header, chunks, and a trailer of which only the checksums are right: its frames, then its seek table."""
    data = header(points, 0).to_bytes() + b"".join(chunks)
    if ending:
        entries = b"".join(map(pack_varint, ending[1:]))
        data += pack_trailer(Trailer(ending[0], None, entries), len(data))
    return data


def forged_by_prior(*chunks: bytes, ending: tuple[int, ...] = ()) -> bytes:
    data = header_by(PRIOR, 3, 0).to_bytes() + b"".join(chunks)
    if ending:
        data += pack_trailer(Trailer(ending[0], None, b"".join(map(pack_varint, ending[1:]))), len(data))
    return data


def of_no_frames(num_samples: int | None) -> bytes:
    about = header(POINTS, num_samples).to_bytes()
    return about + pack_trailer(Trailer(0, None, b""), len(about))


@both
@pytest.mark.parametrize(
    "data",
    [
        forged(pack_varint(4097) + b"\0\0" + bytes(4)),
        forged(pack_varint(MAX_INTEGER) * 3),
        forged(b"\x80\0"),
        forged(b"\xff" * 9),
        forged(pack_varint(4096) + b"\0" + pack_varint(1 << 20)),
        forged(pack_chunk(0, 1, b"\xff" * 4), ending=(1,)),  # more than the coder ever gives
        forged(pack_chunk(0, 4096, b"\xff" * 4000), ending=(4096,), points=(85,)),
        forged(pack_chunk(0, 1, b"\x01\0"), ending=(1,)),
        forged(pack_chunk(0, 1, b"12345678"), ending=(1,), points=(1,)),
        forged(pack_chunk(MAX_INTEGER, 1, b""), ending=(1,)),
        forged(pack_chunk(0, 4096, b""), ending=(4095,)),
        forged(pack_chunk(0, 4096, b""), ending=(MAX_INTEGER,)),
        forged(pack_chunk(0, 10, b""), ending=(10, 0, 0)),
        forged(pack_chunk(0, 10, b""), ending=(10, 5, 3)),
        forged(pack_chunk(0, 10, b""), ending=(10, 5)),
        forged(pack_chunk(0, 10, b""), ending=(10, *[MAX_INTEGER] * 1000)),
        forged(ending=(1,)),
        forged(ending=(0, 1, 1)),
        forged(b"\0" + pack_varint(MAX_TRAILER_BYTES + 1)),
        forged(b"\0" + pack_varint(MAX_INTEGER) + b"\xff\xff\xff2Q"),
        forged_by_prior(pack_varint(4096) + b"\0" + pack_varint(1 << 20)),
        forged_by_prior(pack_varint(1) + b"\0" + pack_varint(MAX_INTEGER)),
        forged_by_prior(pack_chunk(0, 1, b"\xff" * 8, True), ending=(1,)),
        forged_by_prior(pack_chunk(0, 10, b"12345678" * 4, True), ending=(10,)),
        forged_by_prior(pack_chunk(0, 1, b"\x01\0", True), ending=(1,)),
        forged_by_prior(pack_chunk(0, 1, b"12345678", False), ending=(1,)),
        of_no_frames(None),
        of_no_frames(452),
        of_no_frames(MAX_INTEGER),
    ],
)
def test_a_forged_file_is_an_error_in_little_memory(opened, data):
    with little_memory():
        assert isinstance(outcome(opened(data), PRIORS), BitstreamError)
        reader = Reader(opened(data), "skip", PRIORS)
        assert sum(len(indices) for _, indices in reader) <= 4096
        assert reader.damage


def test_the_most_frames_a_chunk_may_hold_are_read():
    data = forged(pack_chunk(0, 4096, b""), ending=(4096,), points=(1 << 20,) * 64)
    with little_memory(4 << 20):  # 2 MiB of indices
        ((_, indices),) = Reader(io.BytesIO(data))
    assert indices.shape == (4096, 64)
    assert not indices.any()


class Endless(Pipe):
    """A pipe that repeats one record for ever."""

    def __init__(self, beginning: bytes, record: bytes) -> None:
        super().__init__(beginning)
        self._record = record

    def read(self, size: int | None = -1) -> bytes:
        if not (data := super().read(size)):
            super().__init__(self._record * 1000)
            data = super().read(size)
        return data


@pytest.mark.parametrize("record", [b"\xff", b"\0", b"\x01", b"\x02\x00\x01abcdx"])
def test_an_endless_pipe_ends(record, monkeypatch):
    """Broken chunks without end are given up once there are more than a seek table could hold."""
    monkeypatch.setattr("q2d2.bitstream.reader.MAX_TRAILER_BYTES", 1 << 12)
    with little_memory():
        reader = Reader(Endless(EMPTY, record), on_damage="skip")
        assert list(reader) == []
        assert len(reader.damage) == 1
        assert reader.damage[0].num_frames is None
