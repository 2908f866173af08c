"""Damaged `.q2d2` files: the right indices or a BitstreamError, in little memory and time."""

import io

import numpy as np
import pytest
from bitstream_files import (
    OPENERS,
    Pipe,
    both,
    header,
    little_memory,
    outcome,
    random_indices,
    read_all,
    write_file,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from q2d2.bitstream import (
    BitstreamError,
    Damage,
    DamagedChunkError,
    DamagedTrailerError,
    HeaderError,
    NotQ2D2Error,
    Reader,
    TrailingDataError,
    TruncatedError,
    VersionError,
)

POINTS = (85, 1, 145)
ABOUT = header(POINTS, 54 * 450)
HEADER_BYTES = len(ABOUT.to_bytes())
INDICES = random_indices(POINTS, 54)
STARTS = [0, 10, 20, 30, 40, 54]  # the last chunk takes what is left
DATA = write_file(INDICES, ABOUT, 10, num_samples=54 * 450)
OFFSETS = Reader(io.BytesIO(DATA))._table.offsets.tolist()  # type: ignore[union-attr]

quick = settings(max_examples=300, deadline=None)


def salvaged(file: io.BytesIO) -> tuple[list[int], list[Damage]]:
    """Which chunks come out of a file whose header is whole (those that do are right), and the damage."""
    reader = Reader(file, on_damage="skip")
    chunks = []
    for start_frame, indices in reader:
        chunks.append(STARTS.index(start_frame))
        np.testing.assert_array_equal(indices, INDICES[start_frame : STARTS[chunks[-1] + 1]])
    return chunks, reader.damage


def chunk_of(position: int) -> int | None:
    found = int(np.searchsorted(OFFSETS, position, side="right")) - 1
    return found if 0 <= found < 5 else None


@both
def test_every_flipped_byte_is_an_error_and_costs_one_chunk_at_most(opened):
    for position in range(len(DATA)):
        for flip in (1, 0x80, 0xFF):
            data = bytearray(DATA)
            data[position] ^= flip
            assert isinstance(outcome(opened(bytes(data))), BitstreamError), position
            if position < HEADER_BYTES:
                with pytest.raises(BitstreamError):
                    Reader(opened(bytes(data)), on_damage="skip")
                continue
            chunks, damage = salvaged(opened(bytes(data)))
            assert damage
            hit = chunk_of(position)
            if opened is io.BytesIO or hit is None:
                assert chunks == [n for n in range(5) if n != hit]
            else:
                assert chunks[:hit] == list(range(hit))
            if opened is io.BytesIO and hit is not None:
                (lost,) = damage
                assert (lost.start_frame, lost.num_frames) == (STARTS[hit], STARTS[hit + 1] - STARTS[hit])


def test_each_kind_of_damage_has_its_own_error():
    def flipped(position: int) -> bytes:
        return DATA[:position] + bytes([DATA[position] ^ 0x40]) + DATA[position + 1 :]

    trailer = OFFSETS[-1]
    for data, error, message in [
        (flipped(0), NotQ2D2Error, "not a .q2d2 file: it does not begin with Q2D2"),
        (b"RIFF" + DATA, NotQ2D2Error, "not a .q2d2 file"),
        (b"", TruncatedError, "the file ends at byte 0"),
        (flipped(4), VersionError, "format version 65 is unknown"),
        (flipped(6), HeaderError, "damaged header: it claims"),
        (flipped(20), HeaderError, "damaged header: its checksum"),
        (flipped(OFFSETS[2] + 9), DamagedChunkError, f"damaged chunk at byte {OFFSETS[2]}: "),
        (flipped(trailer + 3), DamagedTrailerError, "damaged trailer: its checksum"),
        (flipped(len(DATA) - 1), DamagedTrailerError, "its last bytes do not point back to it"),
        (flipped(len(DATA) - 5), DamagedTrailerError, "its last bytes do not point back to it"),
        (DATA[:trailer], TruncatedError, f"ends at byte {trailer}, after 54 frames and before its trailer"),
        (DATA[: trailer - 1], TruncatedError, "after 40 frames and before its trailer"),
        (DATA + b"\n", TrailingDataError, f"goes on after its trailer, from byte {len(DATA)}"),
        (DATA + DATA, TrailingDataError, "goes on after its trailer"),
        (DATA[: OFFSETS[1]] + DATA[OFFSETS[2] :], DamagedChunkError, "frame 20 where frame 10 belongs"),
    ]:
        for opened in OPENERS:
            with pytest.raises(error, match=message):
                read_all(Reader(opened(data)))


@both
def test_every_truncation_says_so_and_its_whole_chunks_can_be_had(opened):
    for length in range(len(DATA)):
        error = outcome(opened(DATA[:length]))
        assert isinstance(error, TruncatedError), length
        if length < HEADER_BYTES:
            continue
        chunks, damage = salvaged(opened(DATA[:length]))
        whole = sum(end <= length for end in OFFSETS[1:])
        assert chunks == list(range(whole))
        assert damage == [Damage(STARTS[whole], None, str(error))]


def test_a_damaged_chunk_in_a_pipe_or_a_truncated_file_costs_that_chunk():
    for hit in range(5):
        data = bytearray(DATA)
        data[OFFSETS[hit + 1] - 1] ^= 1
        for file in (Pipe(data), Pipe(data[: OFFSETS[-1]]), io.BytesIO(data[: OFFSETS[-1]])):
            chunks, damage = salvaged(file)
            assert chunks == [n for n in range(5) if n != hit]
            assert damage[0].start_frame == STARTS[hit]
            if hit < 4 or len(file.getvalue()) == len(DATA):  # else nothing tells what the last one held
                assert damage[0].num_frames == STARTS[hit + 1] - STARTS[hit]
            assert "its checksum does not match" in damage[0].reason


@both
def test_missing_repeated_and_swapped_chunks_are_noticed(opened):
    parts = [DATA[a:b] for a, b in zip([0, *OFFSETS], [*OFFSETS, len(DATA)], strict=True)]
    for order, chunks in [
        ([0, 1, 2, 4, 5, 6], [0, 1, 3, 4]),
        ([0, 1, 2, 2, 3, 4, 5, 6], [0, 1, 2, 3, 4]),
        ([0, 1, 3, 2, 4, 5, 6], [0, 3, 4] if opened is io.BytesIO else [0, 2, 3, 4]),
        ([0, 1, 2, 3, 4, 6], [0, 1, 2, 3]),
        ([0, 6], []),
    ]:
        data = b"".join(parts[n] for n in order)
        assert isinstance(outcome(opened(data)), BitstreamError)
        assert salvaged(opened(data))[0] == chunks
        assert salvaged(opened(data))[1]


def test_trailing_data_and_a_damaged_trailer_cost_no_frames():
    for data, num_frames in [(DATA + b"\0", 0), (DATA + DATA, 0), (DATA[:-1] + b"?", None)]:
        for opened in OPENERS:
            chunks, damage = salvaged(opened(data))
            assert chunks == [0, 1, 2, 3, 4]
            assert [(lost.start_frame, lost.num_frames) for lost in damage] == [(54, num_frames)]


def test_read_is_all_or_nothing():
    data = bytearray(DATA)
    data[OFFSETS[3] - 1] ^= 1
    for on_damage in ("raise", "skip"):
        reader = Reader(io.BytesIO(data), on_damage)
        np.testing.assert_array_equal(reader.read(0, 20), INDICES[:20])
        np.testing.assert_array_equal(reader.read(30, 54), INDICES[30:])
        with pytest.raises(DamagedChunkError, match="frames 20 to 29 are lost"):
            reader.read(15, 25)
    with pytest.raises(BitstreamError, match="no trailer"):
        Reader(io.BytesIO(DATA[:-1]), on_damage="skip").read(0, 1)


def test_damage_is_that_of_the_latest_iteration():
    for data in (DATA[:-3], DATA[:-3] + b"???"):
        reader = Reader(io.BytesIO(data), on_damage="skip")
        assert reader.damage == []
        first = [start for start, _ in reader], reader.damage
        assert ([start for start, _ in reader], reader.damage) == first
        assert len(reader.damage) == 1
        assert reader.num_frames is None
    with pytest.raises((ValueError, TypeError), match="raise"):
        Reader(io.BytesIO(DATA), "ignore")  # type: ignore[arg-type]


edits = st.lists(
    st.tuples(
        st.sampled_from(["insert", "delete", "overwrite", "repeat"]),
        st.integers(0, len(DATA)),
        st.binary(min_size=1, max_size=40),
    ),
    min_size=1,
    max_size=4,
)


def edited(changes: list[tuple[str, int, bytes]]) -> bytes:
    data = DATA
    for kind, at, new in changes:
        skipped = at if kind == "insert" else at + len(new)
        middle = b"" if kind == "delete" else data[at:skipped] * 2 if kind == "repeat" else new
        data = data[:at] + middle + data[skipped:]
    return data


@both
@quick
@given(changes=edits)
def test_any_edit_gives_the_right_indices_or_an_error(opened, changes):
    data = edited(changes)
    with little_memory():
        got = outcome(opened(data))
        assert isinstance(got, BitstreamError) != (data == DATA)
        if data[:HEADER_BYTES] == DATA[:HEADER_BYTES]:
            assert data == DATA or salvaged(opened(data))[1]


@both
@quick
@given(data=st.binary(max_size=300), keep=st.integers(0, HEADER_BYTES + 4))
def test_random_bytes_give_an_error(opened, data, keep):
    with little_memory():
        assert isinstance(outcome(opened(DATA[:keep] + data)), BitstreamError)


def test_a_reader_holds_one_chunk_of_a_long_file():
    indices = random_indices([85] * 3, 100_000)
    data = write_file(indices, header([85] * 3))
    for opened in OPENERS:
        file = opened(data)
        with little_memory(len(data) // 2):
            assert sum(len(part) for _, part in Reader(file)) == len(indices)
