"""Damaged `.q2d2` files: the right indices or a BitstreamError, in little memory and time."""

import io
from typing import Literal

import numpy as np
import pytest
from bitstream_files import (
    OPENERS,
    Pipe,
    both,
    header,
    header_by,
    lasting_indices,
    little_memory,
    outcome,
    random_indices,
    read_all,
    small_prior,
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
    Prior,
    Reader,
    TrailingDataError,
    TruncatedError,
    VersionError,
)

POINTS = (85, 1, 145)
STARTS = [0, 10, 20, 30, 40, 54]  # the last chunk takes what is left


class Case:
    """A file of five chunks."""

    def __init__(self, prior: Prior | None) -> None:
        about = header(POINTS, 54 * 450) if prior is None else header_by(prior, 3, 54 * 450)
        self.header_bytes = len(about.to_bytes())
        self.priors = () if prior is None else (prior,)
        self.indices = np.concatenate([lasting_indices(POINTS, 30), random_indices(POINTS, 24)])
        self.data = write_file(self.indices, about, 10, num_samples=54 * 450, prior=prior)
        table = self.reader(io.BytesIO(self.data))._table
        assert table is not None
        self.offsets = table.offsets.tolist()

    def reader(self, file: io.BytesIO, on_damage: Literal["raise", "skip"] = "raise") -> Reader:
        return Reader(file, on_damage, self.priors)

    def outcome(self, file: io.BytesIO) -> np.ndarray | BitstreamError:
        return outcome(file, self.priors)

    def salvaged(self, file: io.BytesIO) -> tuple[list[int], list[Damage]]:
        """Which chunks come out of a file whose header is whole (those that do are right), and the damage."""
        reader = self.reader(file, on_damage="skip")
        chunks = []
        for start_frame, indices in reader:
            chunks.append(STARTS.index(start_frame))
            np.testing.assert_array_equal(indices, self.indices[start_frame : STARTS[chunks[-1] + 1]])
        return chunks, reader.damage

    def chunk_of(self, position: int) -> int | None:
        found = int(np.searchsorted(self.offsets, position, side="right")) - 1
        return found if 0 <= found < 5 else None


PLAIN, CODED = Case(None), Case(small_prior(POINTS))
cases = pytest.mark.parametrize("case", [PLAIN, CODED], ids=["plain", "coded"])
quick = settings(max_examples=300, deadline=None)


@both
@cases
def test_every_flipped_byte_is_an_error_and_costs_one_chunk_at_most(case, opened):
    for position in range(len(case.data)):
        for flip in (1, 0x80, 0xFF):
            data = bytearray(case.data)
            data[position] ^= flip
            assert isinstance(case.outcome(opened(bytes(data))), BitstreamError), position
            if position < case.header_bytes:
                with pytest.raises(BitstreamError):
                    case.reader(opened(bytes(data)), on_damage="skip")
                continue
            chunks, damage = case.salvaged(opened(bytes(data)))
            assert damage
            hit = case.chunk_of(position)
            if opened is io.BytesIO or hit is None:
                assert chunks == [n for n in range(5) if n != hit]
            else:
                assert chunks[:hit] == list(range(hit))
            if opened is io.BytesIO and hit is not None:
                (lost,) = damage
                assert (lost.start_frame, lost.num_frames) == (STARTS[hit], STARTS[hit + 1] - STARTS[hit])


@cases
def test_each_kind_of_damage_has_its_own_error(case):
    def flipped(position: int) -> bytes:
        return case.data[:position] + bytes([case.data[position] ^ 0x40]) + case.data[position + 1 :]

    trailer = case.offsets[-1]
    for data, error, message in [
        (flipped(0), NotQ2D2Error, "not a .q2d2 file: it does not begin with Q2D2"),
        (b"RIFF" + case.data, NotQ2D2Error, "not a .q2d2 file"),
        (b"", TruncatedError, "the file ends at byte 0"),
        (flipped(4), VersionError, "format version 66 is unknown"),
        (flipped(5), HeaderError, "damaged header: 6[45] is no kind"),
        (flipped(12), HeaderError, "damaged header: its checksum"),
        (flipped(case.offsets[2] + 9), DamagedChunkError, f"damaged chunk at byte {case.offsets[2]}: "),
        (flipped(trailer + 3), DamagedTrailerError, "damaged trailer: its checksum"),
        (flipped(len(case.data) - 1), DamagedTrailerError, "its last bytes do not point back to it"),
        (flipped(len(case.data) - 5), DamagedTrailerError, "its last bytes do not point back to it"),
        (case.data[:trailer], TruncatedError, f"ends at byte {trailer}, after 54 frames and before its trailer"),
        (case.data[: trailer - 1], TruncatedError, "after 40 frames and before its trailer"),
        (case.data + b"\n", TrailingDataError, f"goes on after its trailer, from byte {len(case.data)}"),
        (case.data + case.data, TrailingDataError, "goes on after its trailer"),
        (
            case.data[: case.offsets[1]] + case.data[case.offsets[2] :],
            DamagedChunkError,
            "frame 20 where frame 10 belongs",
        ),
    ]:
        for opened in OPENERS:
            with pytest.raises(error, match=message):
                read_all(case.reader(opened(data)))


@both
@cases
def test_every_truncation_says_so_and_its_whole_chunks_can_be_had(case, opened):
    for length in range(len(case.data)):
        error = case.outcome(opened(case.data[:length]))
        assert isinstance(error, TruncatedError), length
        if length < case.header_bytes:
            continue
        chunks, damage = case.salvaged(opened(case.data[:length]))
        whole = sum(end <= length for end in case.offsets[1:])
        assert chunks == list(range(whole))
        assert damage == [Damage(STARTS[whole], None, str(error))]


@cases
def test_a_damaged_chunk_in_a_pipe_or_a_truncated_file_costs_that_chunk(case):
    for hit in range(5):
        data = bytearray(case.data)
        data[case.offsets[hit + 1] - 1] ^= 1
        for file in (Pipe(data), Pipe(data[: case.offsets[-1]]), io.BytesIO(data[: case.offsets[-1]])):
            chunks, damage = case.salvaged(file)
            assert chunks == [n for n in range(5) if n != hit]
            assert damage[0].start_frame == STARTS[hit]
            if hit < 4 or len(file.getvalue()) == len(case.data):  # else nothing tells what the last one held
                assert damage[0].num_frames == STARTS[hit + 1] - STARTS[hit]
            assert "its checksum does not match" in damage[0].reason


@both
@cases
def test_missing_repeated_and_swapped_chunks_are_noticed(case, opened):
    parts = [case.data[a:b] for a, b in zip([0, *case.offsets], [*case.offsets, len(case.data)], strict=True)]
    for order, chunks in [
        ([0, 1, 2, 4, 5, 6], [0, 1, 3, 4]),
        ([0, 1, 2, 2, 3, 4, 5, 6], [0, 1, 2, 3, 4]),
        ([0, 1, 3, 2, 4, 5, 6], [0, 3, 4] if opened is io.BytesIO else [0, 2, 3, 4]),
        ([0, 1, 2, 3, 4, 6], [0, 1, 2, 3]),
        ([0, 6], []),
    ]:
        data = b"".join(parts[n] for n in order)
        assert isinstance(case.outcome(opened(data)), BitstreamError)
        assert case.salvaged(opened(data))[0] == chunks
        assert case.salvaged(opened(data))[1]


@cases
def test_trailing_data_and_a_damaged_trailer_cost_no_frames(case):
    for data, num_frames in [(case.data + b"\0", 0), (case.data + case.data, 0), (case.data[:-1] + b"?", None)]:
        for opened in OPENERS:
            chunks, damage = case.salvaged(opened(data))
            assert chunks == [0, 1, 2, 3, 4]
            assert [(lost.start_frame, lost.num_frames) for lost in damage] == [(54, num_frames)]


@cases
def test_read_is_all_or_nothing(case):
    data = bytearray(case.data)
    data[case.offsets[3] - 1] ^= 1
    for on_damage in ("raise", "skip"):
        reader = case.reader(io.BytesIO(data), on_damage)
        np.testing.assert_array_equal(reader.read(0, 20), case.indices[:20])
        np.testing.assert_array_equal(reader.read(30, 54), case.indices[30:])
        with pytest.raises(DamagedChunkError, match="frames 20 to 29 are lost"):
            reader.read(15, 25)
    with pytest.raises(BitstreamError, match="no trailer"):
        case.reader(io.BytesIO(case.data[:-1]), on_damage="skip").read(0, 1)


@cases
def test_damage_is_that_of_the_latest_iteration(case):
    for data in (case.data[:-3], case.data[:-3] + b"???"):
        reader = case.reader(io.BytesIO(data), on_damage="skip")
        assert reader.damage == []
        first = [start for start, _ in reader], reader.damage
        assert ([start for start, _ in reader], reader.damage) == first
        assert len(reader.damage) == 1
        assert reader.num_frames is None
    with pytest.raises((ValueError, TypeError), match="raise"):
        case.reader(io.BytesIO(case.data), "ignore")  # type: ignore[arg-type]


edits = st.lists(
    st.tuples(
        st.sampled_from(["insert", "delete", "overwrite", "repeat"]),
        st.integers(0, len(PLAIN.data)),
        st.binary(min_size=1, max_size=40),
    ),
    min_size=1,
    max_size=4,
)


def edited(data: bytes, changes: list[tuple[str, int, bytes]]) -> bytes:
    for kind, at, new in changes:
        skipped = at if kind == "insert" else at + len(new)
        middle = b"" if kind == "delete" else data[at:skipped] * 2 if kind == "repeat" else new
        data = data[:at] + middle + data[skipped:]
    return data


@both
@quick
@given(changes=edits)
@cases
def test_any_edit_gives_the_right_indices_or_an_error(case, opened, changes):
    data = edited(case.data, changes)
    with little_memory():
        got = case.outcome(opened(data))
        assert isinstance(got, BitstreamError) != (data == case.data)
        if data[: case.header_bytes] == case.data[: case.header_bytes]:
            assert data == case.data or case.salvaged(opened(data))[1]


@both
@quick
@given(data=st.binary(max_size=300), keep=st.integers(0, PLAIN.header_bytes + 4))
@cases
def test_random_bytes_give_an_error(case, opened, data, keep):
    with little_memory():
        assert isinstance(case.outcome(opened(case.data[:keep] + data)), BitstreamError)


def test_a_reader_holds_one_chunk_of_a_long_file():
    indices = random_indices([85] * 3, 100_000)
    data = write_file(indices, header([85] * 3))
    for opened in OPENERS:
        file = opened(data)
        with little_memory(len(data) // 2):
            assert sum(len(part) for _, part in Reader(file)) == len(indices)
