"""The `.q2d2` format: what is written comes back, costs what it should, and keeps its bytes for ever."""

import io
import os
import threading
from pathlib import Path

import format_reference
import numpy as np
import pytest
from bitstream_files import Pipe, header, random_indices, read_all, write_file
from hypothesis import given, settings
from hypothesis import strategies as st

from q2d2.bitstream import Header, HeaderError, Reader, TruncatedError, VersionError, Writer
from q2d2.bitstream.header import MAX_HEADER_BYTES
from q2d2.bitstream.packing import max_packed_bytes, pack, unpack

DATA = Path(__file__).parent / "data"

alphabets = st.one_of(
    st.sampled_from([1, 2, 3, 49, 85, 145, 4096, 16384, (1 << 20) - 1, 1 << 20]), st.integers(1, 1 << 20)
)
quick = settings(max_examples=60, deadline=None)


@quick
@given(
    points=st.lists(alphabets, min_size=1, max_size=8),
    num_frames=st.integers(0, 60),
    chunk_frames=st.integers(1, 25),
    cuts=st.lists(st.integers(0, 60), max_size=5),
    streamed=st.booleans(),
    seed=st.integers(0, 99),
)
def test_what_is_written_comes_back(points, num_frames, chunk_frames, cuts, streamed, seed):
    indices = random_indices(points, num_frames, seed)
    about = header(points, None if streamed else 450 * num_frames)
    data = write_file(indices, about, chunk_frames, cuts, 450 * num_frames)
    assert data == write_file(indices, about, chunk_frames, (), 450 * num_frames)

    seekable, pipe = Reader(io.BytesIO(data)), Reader(Pipe(data))
    assert seekable.num_frames == num_frames
    assert pipe.num_frames is None
    assert pipe.header == about
    for reader in (seekable, pipe):
        np.testing.assert_array_equal(read_all(reader), indices)
        assert reader.num_frames == num_frames
        assert reader.header == header(points, 450 * num_frames)

    independent = format_reference.read(data)
    assert independent.frames == indices.tolist()
    assert independent.num_samples == 450 * num_frames
    cut = [n for n in independent.chunk_frames[:-1] if n != chunk_frames]
    assert not cut, "all chunks but the last are full"


@quick
@given(
    points=st.lists(alphabets, min_size=1, max_size=4),
    num_frames=st.integers(1, 200),
    where=st.sampled_from(["first", "last", "anywhere"]),
    seed=st.integers(0, 99),
)
def test_packing_agrees_with_plain_integers_and_with_its_bound(points, num_frames, where, seed):
    indices = random_indices(points, num_frames, seed)
    if where != "anywhere":  # the ends of the alphabet, where carries and the wider last symbol are
        indices[:] = 0 if where == "first" else np.array(points) - 1
    payload = pack(indices, tuple(points))
    assert len(payload) <= max_packed_bytes(num_frames, tuple(points))
    np.testing.assert_array_equal(unpack(payload, num_frames, tuple(points)), indices)
    assert format_reference.decode_payload(payload, num_frames, points) == indices.tolist()


def test_64_pairs_of_every_kind():
    points = [1, 2, 3, 5, 85, 145, 4096, 1 << 20] * 8
    indices = random_indices(points, 700)
    data = write_file(indices, header(points))
    np.testing.assert_array_equal(read_all(Reader(io.BytesIO(data))), indices)
    bits = 700 * np.log2(points).sum()
    assert 8 * len(data) < 1.02 * bits


def test_alphabets_of_one_cost_nothing():
    plain = write_file(random_indices([85], 300), header([85]))
    padded_indices = np.pad(random_indices([85], 300), ((0, 0), (0, 63)))
    padded = write_file(padded_indices, header([85] + [1] * 63))
    assert len(padded) - len(plain) == 2  # another run of points in the header
    nothing = write_file(np.zeros((10, 2), dtype=np.uint8), header([1, 1]))
    assert read_all(Reader(io.BytesIO(nothing))).tolist() == [[0, 0]] * 10


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    "points", [[85] * 3, [49] * 3 + [81] * 6, [85] * 3 + [145] * 6, [85] * 3 + [145] * 15], ids=len
)
def test_ten_seconds_cost_two_percent_more_than_their_bits(points, streamed):
    """53.3 frames/s; everything after the header counts, the trailer too."""
    num_samples, num_frames = 240_000, 534
    about = header(points, None if streamed else num_samples)
    for seed in range(10):
        data = write_file(random_indices(points, num_frames, seed), about, num_samples=num_samples)
        body = len(data) - len(about.to_bytes())
        assert body <= 1.02 * num_frames * np.log2(points).sum() / 8
        assert len(about.to_bytes()) < 45


def test_a_long_file_costs_two_percent_more_than_its_bits():
    points, num_frames = [85] * 3, 20 * 512
    data = write_file(random_indices(points, num_frames), header(points))
    assert len(data) <= 1.02 * num_frames * np.log2(points).sum() / 8
    assert format_reference.read(data).chunk_frames == [512] * 20
    assert format_reference.read(write_file(random_indices([2], 1279), header([2]))).chunk_frames == [
        512,
        767,
    ]


def golden_indices() -> np.ndarray:
    frame, pair = np.ogrid[:60, :6]
    return (7 * frame * (pair + 3) + 1_048_573 * frame * frame * pair + pair) % np.array(GOLDEN_POINTS)


GOLDEN_POINTS = (85, 85, 1, 145, 4096, 1 << 20)


@pytest.mark.parametrize("version", [1, 2])
def test_the_golden_files_are_still_read_and_the_newer_is_still_what_is_written(version):
    """The format for ever: should this fail, the code (or a new `constriction`) is wrong, not the file.

    A file is the `written` of this test as it was at its version, which `format_reference` reads the same.
    """
    indices = golden_indices()
    about = Header("golden", "fedcba9876543210", 44_100, 24_000, 450, GOLDEN_POINTS, None)
    data = (DATA / f"golden-{version}.q2d2").read_bytes()
    if version == 2:
        assert write_file(indices, about, 20, num_samples=49_612) == data
    reader = Reader(io.BytesIO(data))
    np.testing.assert_array_equal(read_all(reader), indices)
    assert reader.header == Header("golden", "fedcba9876543210", 44_100, 24_000, 450, GOLDEN_POINTS, 49_612)
    independent = format_reference.read(data)
    assert independent.frames == indices.tolist()
    assert independent.chunk_frames == [20, 20, 20]
    assert independent.num_samples == 49_612


def test_a_prefix_of_the_pairs_is_a_file_with_fewer_points():
    indices = random_indices([85] * 3 + [145] * 6, 100)
    low = write_file(indices[:, :3], header([85] * 3))
    np.testing.assert_array_equal(read_all(Reader(io.BytesIO(low))), indices[:, :3])


def test_read_equals_slices():
    indices = random_indices([85, 145], 97)
    reader = Reader(io.BytesIO(write_file(indices, header([85, 145]), 10)))
    for start in range(98):
        for stop in range(start, 98, 7):
            np.testing.assert_array_equal(reader.read(start, stop), indices[start:stop])
    iterator = iter(reader)
    next(iterator)
    reader.read(90, 97)  # in between, without a trace
    np.testing.assert_array_equal(next(iterator)[1], indices[10:20])
    for start, stop in [(-1, 3), (3, 2), (0, 98)]:
        with pytest.raises(ValueError, match="of a file of 97"):
            reader.read(start, stop)


def test_a_file_may_begin_in_the_middle_of_another():
    indices = random_indices([85], 40)
    file = io.BytesIO(b"something else" + write_file(indices, header([85]), 10))
    file.seek(len(b"something else"))
    reader = Reader(file)
    np.testing.assert_array_equal(read_all(reader), indices)
    np.testing.assert_array_equal(reader.read(15, 25), indices[15:25])


def test_a_pipe_is_read_as_it_is_written():
    """The first chunk arrives before the writer has written the second."""
    indices = random_indices([85] * 3, 64)
    read_end, write_end = os.pipe()
    arrived = threading.Event()

    def produce() -> None:
        with open(write_end, "wb") as file:
            writer = Writer(file, header([85] * 3), 16)
            writer.write(indices[:32])
            arrived.wait(10)
            writer.write(indices[32:])
            writer.close(64 * 450)

    thread = threading.Thread(target=produce)
    thread.start()
    with open(read_end, "rb") as file:
        reader = Reader(file)
        parts = []
        for _, part in reader:
            arrived.set()
            parts.append(part)
        with pytest.raises(io.UnsupportedOperation, match="only once"):
            next(iter(reader))
        with pytest.raises(io.UnsupportedOperation, match="at random"):
            reader.read(0, 1)
    thread.join()
    np.testing.assert_array_equal(np.concatenate(parts), indices)
    assert reader.header.num_samples == 64 * 450
    assert reader.damage == []


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint32, np.int64, np.uint64])
def test_any_integers_in_int64_out(dtype):
    indices = random_indices([85, 100], 9).astype(dtype)
    np.testing.assert_array_equal(read_all(Reader(io.BytesIO(write_file(indices, header([85, 100]))))), indices)


def test_an_index_outside_its_alphabet_is_refused_and_nothing_appended():
    writer = Writer(io.BytesIO(), header([85, 145]), 4)
    writer.write(random_indices([85, 145], 9))
    for value in (-1, 145, 1 << 40):
        bad = np.zeros((5, 2), dtype=np.int64)
        bad[3, 1] = value
        with pytest.raises(ValueError, match=rf"index {value} of codebook 1 in frame 12 is outside 0\.\.144"):
            writer.write(bad)
    with pytest.raises(ValueError, match="frame 9 "):
        writer.write(np.full((1, 2), (1 << 64) - 1, dtype=np.uint64))
    assert writer.num_frames == 9
    with pytest.raises(ValueError, match=r"shape \(4, 3\), not \(frames, 2\)"):
        writer.write(np.zeros((4, 3), dtype=np.int64))
    with pytest.raises(TypeError):
        writer.write(np.zeros((4, 2)))


def test_the_writer_insists_on_one_number_of_samples():
    for about, samples, complaint in [
        (header([85]), None, "leaves num_samples open"),
        (header([85], 900), 901, "but the header says 900"),
        (header([85], 5 * 450), None, "do not fit 3 frames"),
        (header([85]), -1, "do not fit 3 frames"),
    ]:
        writer = Writer(io.BytesIO(), about)
        writer.write(np.zeros((3, 1), dtype=np.int64))
        with pytest.raises(ValueError, match=complaint):
            writer.close(samples)
    writer = Writer(io.BytesIO(), header([85], 900))
    writer.write(np.zeros((2, 1), dtype=np.int64))
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.write(np.zeros((1, 1), dtype=np.int64))
    for chunk_frames in (0, 2049):
        with pytest.raises(ValueError, match="chunk_frames"):
            Writer(io.BytesIO(), header([85]), chunk_frames)


def test_a_writer_writes_no_file_that_no_reader_takes(monkeypatch):
    monkeypatch.setattr("q2d2.bitstream.writer.MAX_TRAILER_BYTES", 100)
    writer = Writer(io.BytesIO(), header([85]), 1)
    with pytest.raises(ValueError, match="seek table is full"):
        writer.write(np.zeros((100, 1), dtype=np.int64))


@pytest.mark.parametrize(
    "changes",
    [
        {"model": ""},
        {"model": "x" * 65},
        {"model": "two\nlines"},
        {"weights": "0123456789ABCDEF"},
        {"weights": "0123"},
        {"sample_rate_hz": 0},
        {"codec_rate_hz": 10**7},
        {"hop": 0},
        {"points": ()},
        {"points": (2,) * 65},
        {"points": (0,)},
        {"points": ((1 << 20) + 1,)},
        {"prior": "0123"},
        {"num_samples": -1},
        {"num_samples": 1 << 42},
    ],
    ids=str,
)
def test_an_impossible_header_is_refused(changes):
    fields = dict(vars(header([85, 85])), **changes)
    with pytest.raises(ValueError, match=r"is not in|model is|weights is|prior is"):
        Header(**fields)


def test_the_largest_header_fits():
    points = tuple(range((1 << 20) - 63, (1 << 20) + 1))
    about = Header("\N{GRINNING FACE}" * 64, "f" * 16, 10**6, 10**6, 1 << 16, points, (1 << 42) - 1)
    assert len(about.to_bytes()) <= MAX_HEADER_BYTES
    assert Reader(Pipe(about.to_bytes())).header == about


def test_the_first_bytes_tell_what_is_wrong():
    data = write_file(random_indices([85], 5), header([85]))
    for length in range(len(header([85]).to_bytes())):
        with pytest.raises(TruncatedError, match=f"truncated: the file ends at byte {length}"):
            Reader(io.BytesIO(data[:length]))
    with pytest.raises(VersionError, match="version 3 is unknown: this program reads versions 1 and 2"):
        Reader(io.BytesIO(data[:4] + b"\x03" + data[5:]))
    with pytest.raises(HeaderError, match="checksum"):
        Reader(io.BytesIO(data.replace(b"speech", b"Speech")))
