"""WAV through a pipe: what libsndfile reads of the same bytes, however they arrive, and before all of them have."""

import io
import os
import threading

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from q2d2 import audio
from q2d2.audio.live import UNKNOWN, LiveWav, NotLiveError

SUBTYPES = ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"]


class Dripping(io.RawIOBase):
    """A pipe that gives what it has in pieces of these sizes."""

    mode, name = "rb", "pipe"

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self._data, self._sizes, self._turn = data, sizes, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        count = min(len(buffer), self._sizes[self._turn % len(self._sizes)])
        self._turn += 1
        part, self._data = self._data[:count], self._data[count:]
        buffer[: len(part)] = part
        return len(part)


def wav_bytes(samples: np.ndarray, subtype: str = "PCM_16", container: str = "WAV") -> bytes:
    data = io.BytesIO()
    soundfile.write(data, samples, 16_000, format=container, subtype=subtype)
    return data.getvalue()


def all_of(wav: LiveWav) -> np.ndarray:
    parts = [np.zeros((0, wav.channels), np.float32)]
    while len(part := wav.read(1000)):
        parts.append(part)
    return np.concatenate(parts)


@settings(max_examples=60)
@given(
    subtype=st.sampled_from(SUBTYPES),
    container=st.sampled_from(["WAV", "WAVEX"]),
    channels=st.integers(1, 3),
    sizes=st.lists(st.integers(1, 700), min_size=1, max_size=5),
)
def test_equals_libsndfile_however_it_arrives(subtype, container, channels, sizes):
    samples = np.random.default_rng(0).uniform(-1, 1, (777, channels))
    data = wav_bytes(samples, subtype, container)
    expected, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    wav = LiveWav(io.BufferedReader(Dripping(data, sizes), 64))
    assert (wav.samplerate, wav.channels, wav.frames) == (rate, channels, 777)
    np.testing.assert_array_equal(all_of(wav), expected)


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0x80000000, 0xFFFFFFFF])
def test_sizes_that_nobody_has_counted(size):
    data = wav_bytes(np.zeros(100))
    wav = LiveWav(io.BytesIO(data[:40] + size.to_bytes(4, "little") + data[44:]))
    assert wav.frames == UNKNOWN and len(all_of(wav)) == 100


def test_chunks_around_the_samples_are_left_out():
    data = wav_bytes(np.full(5, 0.5))
    note = b"LIST" + (3).to_bytes(4, "little") + b"abc\0"
    wav = LiveWav(io.BytesIO(data[:12] + note + data[12:] + note))
    assert all_of(wav).ravel().tolist() == [0.5] * 5


def test_half_a_frame_at_the_end_is_none():
    assert len(all_of(LiveWav(io.BytesIO(wav_bytes(np.zeros((10, 2)))[:-3])))) == 9


def test_seeking_reads_on():
    wav = LiveWav(io.BytesIO(wav_bytes(np.arange(100) / 128)))
    wav.seek(7)
    assert wav.read(1)[0, 0] == 7 / 128


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RI",
        b"fLaC" + bytes(100),
        b"RIFF\0\0\0\0AVI " + bytes(100),
        wav_bytes(np.zeros(10))[:30],
        wav_bytes(np.zeros(10), "ULAW"),
        wav_bytes(np.zeros(1000), "IMA_ADPCM"),
        b"RIFF\0\0\0\0WAVEjunk" + (2**31).to_bytes(4, "little") + bytes(100),
        b"RIFF\0\0\0\0WAVEdata" + bytes(100),
    ],
    ids=["empty", "two bytes", "flac", "avi", "cut", "mu-law", "adpcm", "huge", "no format"],
)
def test_the_rest_is_handed_back_whole(data):
    pipe = io.BytesIO(data)
    with pytest.raises(NotLiveError) as raised:
        LiveWav(pipe)
    assert raised.value.head + pipe.read() == data


def test_mu_law_still_comes_through_a_pipe(tmp_path):
    data = wav_bytes(np.linspace(-1, 1, 100), "ULAW")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    feeder = threading.Thread(target=lambda: pipe.write_bytes(data))
    feeder.start()
    samples, _ = audio.read(pipe)
    feeder.join()
    np.testing.assert_array_equal(samples[:, 0], soundfile.read(io.BytesIO(data), dtype="float32")[0])


def test_blocks_come_before_the_pipe_is_full():
    """Of an open pipe, what has arrived."""
    reader, writer = os.pipe()
    data = wav_bytes(np.full(1000, 0.25))
    with os.fdopen(reader, "rb") as out, os.fdopen(writer, "wb") as into:
        into.write(data[: 44 + 200])
        into.flush()
        wav = LiveWav(out)
        assert len(wav.read(1000)) == 100


def test_a_pipe_that_ends_early_is_an_error_and_one_of_unknown_length_is_not(tmp_path):
    data = wav_bytes(np.zeros(16_000))
    endless = data[:40] + b"\xff\xff\xff\xff" + data[44:]
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for sent, length in ((data[:20_000], None), (endless[:20_000], (20_000 - 44) // 2)):
        feeder = threading.Thread(target=lambda sent=sent: pipe.write_bytes(sent))
        feeder.start()
        if length is None:
            with pytest.raises(audio.AudioError, match="ends at 0.624 s of 1.000 s"):
                audio.read(pipe)
        else:
            assert len(audio.read(pipe)[0]) == length
        feeder.join()
