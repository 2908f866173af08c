"""A part of a file: what the whole one holds there, and no more of the file read than that takes."""

import io

import numpy as np
import pytest
from conftest import make_speech_like
from hypothesis import given, settings
from hypothesis import strategies as st
from small_codecs import LIVE_TOKENS, NOT_LOCAL, make_codec

from q2d2.bitstream import DamagedChunkError, Reader, Writer
from q2d2.excerpt import decode_part, part_length

CODEC = make_codec(LIVE_TOKENS)
RATES = (24_000, 8000, 44_100)


class Counting(io.BytesIO):
    """A file, and how many bytes of it have been read."""

    num_read = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.num_read += len(data)
        return data


def file_of(codec, wav, sample_rate_hz, chunk_frames=64) -> bytes:
    """Of many chunks."""
    codes = codec.encode(wav, sample_rate_hz, 3)
    file = io.BytesIO()
    writer = Writer(file, codec.header(sample_rate_hz, 3), chunk_frames)
    writer.write(codes.indices.numpy())
    writer.close(len(wav))
    return file.getvalue()


WAV = make_speech_like(12.0, seed=8)
FILES = {rate: file_of(CODEC, WAV, rate) for rate in RATES}
WHOLE = {rate: CODEC.decompress(data) for rate, data in FILES.items()}


@settings(max_examples=40)
@given(st.sampled_from(RATES), st.integers(0, len(WAV) - 1), st.integers(1, 60_000))
def test_a_part_is_what_the_whole_holds_there(sample_rate_hz, first, count):
    count = min(count, len(WAV) - first)
    part = np.concatenate(list(decode_part(CODEC, Reader(io.BytesIO(FILES[sample_rate_hz])), first, count)))
    np.testing.assert_allclose(part, WHOLE[sample_rate_hz][first : first + count], atol=1e-4)


def test_the_whole_in_pieces_of_a_second():
    reader = Reader(io.BytesIO(FILES[24_000]))
    parts = [np.concatenate(list(decode_part(CODEC, reader, s * 24_000, 24_000))) for s in range(12)]
    np.testing.assert_allclose(np.concatenate(parts), WHOLE[24_000], atol=1e-4)


def test_a_codec_that_is_not_local_decodes_all_and_cuts():
    codec, wav = make_codec(NOT_LOCAL), make_speech_like(2.0)
    data = file_of(codec, wav, 16_000)
    part = np.concatenate(list(decode_part(codec, Reader(io.BytesIO(data)), 5000, 3000)))
    np.testing.assert_allclose(part, codec.decompress(data)[5000:8000], atol=1e-4)


def test_only_the_chunks_of_the_part_are_read():
    """Five minutes, of which a second takes the seek table and a few chunks."""
    wav = np.tile(WAV, 25)
    data = file_of(CODEC, wav, 24_000)
    file = Counting(data)
    reader = Reader(file)
    assert len(np.concatenate(list(decode_part(CODEC, reader, 200 * 24_000, 24_000)))) == 24_000
    chunks = len(data) / (len(wav) / 450 / 64)
    assert file.num_read < 3000 + 8 * chunks < len(data) / 5


def test_damage_elsewhere_does_not_matter_and_damage_within_does():
    data = bytearray(FILES[24_000])
    data[len(data) // 10] ^= 0xFF  # about a second in
    reader = Reader(io.BytesIO(bytes(data)))
    late = np.concatenate(list(decode_part(CODEC, reader, 8 * 24_000, 24_000)))
    np.testing.assert_allclose(late, WHOLE[24_000][8 * 24_000 : 9 * 24_000], atol=1e-4)
    with pytest.raises(DamagedChunkError):
        list(decode_part(CODEC, reader, 24_000, 24_000))


@pytest.mark.parametrize(
    ("start_s", "length_s", "expected"),
    [
        (0.0, None, (0, 1000)),
        (0.5, 0.25, (500, 250)),
        (0.9, 7.0, (900, 100)),
        (0.9999, None, (999, 1)),
        (0, 1e-9, (0, 1)),
    ],
)
def test_where_a_part_lies(start_s, length_s, expected):
    assert part_length(1000, 1000, float(start_s), length_s) == expected


@pytest.mark.parametrize(
    ("start_s", "length_s", "reason"),
    [
        (1.0, None, "lasts 1.000 s: there is nothing at 1.000"),
        (-1.0, None, "at least 0"),
        (0.0, 0.0, "above 0"),
        (float("nan"), 1.0, "at least 0"),
    ],
)
def test_parts_that_are_none(start_s, length_s, reason):
    with pytest.raises(ValueError, match=reason):
        part_length(1000, 1000, start_s, length_s)
