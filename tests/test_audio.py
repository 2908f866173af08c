"""Audio files: every way in and out, damaged ones included."""

import os
import struct
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import soundfile

from q2d2 import audio
from q2d2.audio import AudioError, Writer

LOSSLESS = {
    "clip.wav": {},
    "clip.flac": {},
    "float.wav": {"subtype": "FLOAT"},
    "deep.wav": {"subtype": "PCM_24"},
}
LOSSY = {"clip.ogg": {}, "clip.mp3": {}, "vbr.mp3": {"bitrate_mode": "VARIABLE"}}


def error_of(action, *arguments, **keywords) -> str:
    """The one line of the AudioError that `action` must end with."""
    with pytest.raises(AudioError) as caught:
        action(*arguments, **keywords)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture
def feed_stdin(monkeypatch, tmp_path_factory):
    """`feed_stdin(data)`: what standard input will hold."""
    with ExitStack() as opened:

        def feed(data: bytes) -> None:
            path = tmp_path_factory.mktemp("stdin") / "data"
            path.write_bytes(data)
            monkeypatch.setattr(sys, "stdin", opened.enter_context(path.open(encoding="latin1")))

        yield feed


# Reading


@pytest.mark.parametrize("name", [*LOSSLESS, *LOSSY])
def test_reads_formats_whole_and_in_blocks(name, speech_like, audio_file):
    signal = speech_like(3)
    path = audio_file(signal, name=name, **{**LOSSLESS, **LOSSY}[name])
    samples, sample_rate_hz = audio.read(path)
    assert sample_rate_hz == 24_000 and samples.dtype == np.float32 and samples.shape == (len(signal), 1)
    if name in LOSSLESS:
        assert np.abs(samples[:, 0] - signal).max() <= 1 / 32768
    else:
        assert (samples[:, 0] - signal).std() < 0.2 * signal.std()
    with audio.open_blocks(path, block_s=0.0417) as blocks:
        assert blocks.num_frames == len(signal) and blocks.num_channels == 1
        parts = list(blocks)
        assert max(map(len, parts)) == 1001
        np.testing.assert_allclose(np.concatenate(parts), samples, atol=1e-6)
        if name != "vbr.mp3":  # a second look starts over
            np.testing.assert_allclose(np.concatenate(list(blocks)), samples, atol=1e-6)


@pytest.mark.parametrize("name", [*LOSSLESS, *LOSSY])
def test_reads_a_part_as_it_is_in_the_whole(name, speech_like, audio_file):
    path = audio_file(speech_like(3), name=name, **{**LOSSLESS, **LOSSY}[name])
    whole, _ = audio.read(path)
    for start, length in ((0, 100), (12_345, 5_000), (70_000, 5_000), (72_000, 10)):
        part, _ = audio.read(path, start, length)
        assert len(part) == min(length, 72_000 - start)
        if name in LOSSLESS or start == 0:
            np.testing.assert_allclose(part, whole[start : start + length], atol=1e-5)
    assert "72000 samples" in error_of(audio.read, path, 72_001, 1)


@pytest.mark.parametrize("sample_rate_hz", [8_000, 11_025, 44_100, 192_000])
@pytest.mark.parametrize("num_channels", [1, 2, 6])
def test_reads_any_rate_and_channel_count(sample_rate_hz, num_channels, audio_file):
    signal = np.random.default_rng(0).uniform(-1, 1, (1000, num_channels)).astype(np.float32)
    samples, rate = audio.read(audio_file(signal, sample_rate_hz, subtype="FLOAT"))
    assert rate == sample_rate_hz
    np.testing.assert_array_equal(samples, signal)
    np.testing.assert_allclose(audio.to_mono(samples), signal.mean(axis=1), atol=1e-6)


def test_reads_int16_mono(speech_like, audio_file):
    signal = speech_like(1)
    samples = audio.read_int16(audio_file(np.stack([signal, -signal, signal], axis=1), subtype="FLOAT"))
    assert samples.dtype == np.int16
    np.testing.assert_allclose(samples / 32768, signal / 3, atol=0.5 / 32768 + 1e-6)


def test_mono_of_huge_channels_is_finite():
    huge = np.full((4, 2), np.finfo(np.float32).max, np.float32)
    np.testing.assert_array_equal(audio.to_mono(huge), huge[:, 0])


@pytest.mark.parametrize("spool_bytes", [64, 2**20])
def test_reads_a_pipe(spool_bytes, speech_like, audio_file, monkeypatch, feed_stdin):
    monkeypatch.setattr(audio.reading, "_SPOOL_BYTES", spool_bytes)
    path = audio_file(speech_like(1), name="clip.flac")
    feed_stdin(path.read_bytes())
    samples, sample_rate_hz = audio.read("-")
    np.testing.assert_array_equal(samples, audio.read(path)[0])

    pipe = path.with_name("pipe")
    os.mkfifo(pipe)
    feeder = threading.Thread(target=lambda: pipe.write_bytes(path.read_bytes()))
    feeder.start()
    np.testing.assert_array_equal(audio.read(pipe)[0], samples)
    feeder.join()


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFF000])
def test_reads_wav_streams_of_unstated_length(size, tmp_path):
    pcm = np.arange(-500, 500, dtype="<i2")
    header = struct.pack("<4sI8sIHHIIHH4sI", b"RIFF", size, b"WAVEfmt ", 16, 1, 1, 8000, 16000, 2, 16, b"data", size)
    (tmp_path / "stream.wav").write_bytes(header + pcm.tobytes())
    samples, _ = audio.read(tmp_path / "stream.wav")
    np.testing.assert_array_equal(samples[:, 0] * 32768, pcm)


def test_flac_length_is_not_trusted(speech_like, audio_file):
    path = audio_file(speech_like(3), name="clip.flac")
    data = bytearray(path.read_bytes())
    whole, _ = audio.read(path)
    data[21] &= 0xF0  # the low 36 bits of bytes 21..25 are the number of samples; 0 is "unknown"
    data[22:26] = bytes(4)
    path.write_bytes(data)
    with audio.open_blocks(path) as blocks:
        assert blocks.num_frames is None
        np.testing.assert_array_equal(np.concatenate(list(blocks)), whole)
    data[21] |= 0x0F  # 64 milliard samples: neither allocated nor believed
    path.write_bytes(data)
    assert "ends at 3.000 s" in error_of(audio.read, path)


@pytest.mark.parametrize("value, kind", [(np.nan, "not a number"), (np.inf, "infinite"), (-np.inf, "infinite")])
def test_names_the_first_bad_sample(value, kind, audio_file):
    signal = np.zeros((20_000, 2), np.float32)
    signal[13_000, 1] = signal[15_000] = value
    path = audio_file(signal, 8_000, subtype="FLOAT")
    message = error_of(audio.read, path)
    assert str(path) in message and "1.625000 s (number 13000)" in message and kind in message
    with audio.open_blocks(path, block_s=0.5) as blocks:
        assert "1.625000 s" in error_of(list, blocks)


def test_names_what_is_no_audio(tmp_path, feed_stdin):
    cases = {
        "missing.wav": (None, "No such file"),
        "empty.wav": (b"", "is empty"),
        "noise.wav": (b"hello world" * 99, "ffmpeg"),
        "noise.mp3": (b"hello world" * 99, "ffmpeg"),
        "short.wav": (b"RIFF", "ffmpeg"),
        "plain.raw": (bytes(99), "no header"),
    }
    for name, (content, reason) in cases.items():
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        message = error_of(audio.read, path)
        assert str(path) in message and reason in message, message
    assert "is a folder" in error_of(audio.read, tmp_path)
    soundfile.write(tmp_path / "none.wav", np.zeros(0, np.float32), 24_000)
    assert "holds no samples" in error_of(audio.read, tmp_path / "none.wav")
    soundfile.write(tmp_path / "slow.wav", np.zeros(9, np.float32), 1)
    assert "sample rate of 1 Hz" in error_of(audio.read, tmp_path / "slow.wav")
    feed_stdin(b"")
    assert "standard input: is empty" in error_of(audio.read, "-")
    feed_stdin(b"hello")
    assert "standard input: is not audio" in error_of(audio.read, "-")


def test_does_not_wait_for_a_terminal(monkeypatch):
    controller, terminal = os.openpty()
    with os.fdopen(terminal, "r") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert "is a terminal" in error_of(audio.read, "-")
    os.close(controller)


@pytest.mark.parametrize("name", ["clip.flac", "clip.mp3"])
def test_a_file_cut_short_is_an_error(name, speech_like, audio_file):
    path = audio_file(speech_like(3), name=name)
    data = path.read_bytes()
    for length in (len(data) * 2 // 3, len(data) // 8):
        path.write_bytes(data[:length])
        assert str(path) in error_of(audio.read, path)


def test_damage_is_an_error_or_other_samples(speech_like, audio_file):
    path = audio_file(speech_like(1), name="clip.flac")
    original = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(40):
        data = bytearray(original)
        for place in rng.integers(0, len(data), 5):
            data[place] ^= int(rng.integers(1, 256))
        path.write_bytes(data)
        try:
            samples, _ = audio.read(path)
        except AudioError as error:
            assert str(path) in str(error)
        else:
            assert np.isfinite(samples).all() and samples.size <= 8 * 24_000


def test_lists_audio_files_in_order(tmp_path, audio_file):
    for name in ("b.wav", "a/z.FLAC", "a/b/c.ogg", ".hidden.wav"):
        audio_file(np.zeros(10), name=name, format=name[-4:].strip(".").upper())
    (tmp_path / "notes.txt").write_text("no audio")
    assert [str(path.relative_to(tmp_path)) for path in audio.list_audio(tmp_path)] == [
        "a/b/c.ogg",
        "a/z.FLAC",
        "b.wav",
    ]
    assert "is not a folder" in error_of(audio.list_audio, tmp_path / "b.wav")


# Writing


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
@pytest.mark.parametrize("num_channels", [1, 2])
def test_writes_what_it_reads(suffix, num_channels, speech_like, tmp_path):
    signal = np.stack([speech_like(5, seed=seed) for seed in range(num_channels)], axis=1)  # more than one block
    path = tmp_path / f"out{suffix}"
    audio.write(path, signal, 24_000)
    samples, sample_rate_hz = audio.read(path)
    assert sample_rate_hz == 24_000 and samples.shape == signal.shape
    if suffix == ".ogg":
        assert (samples - signal).std() < 0.2 * signal.std()
    else:
        assert np.abs(samples - signal).max() <= 0.5 / 32768 + 1e-7
    with Writer(tmp_path / f"blocks{suffix}", 24_000, num_channels) as writer:
        for start in range(0, len(signal), 1009):
            writer.write(signal[start : start + 1009])
    in_blocks, _ = audio.read(tmp_path / f"blocks{suffix}")
    # libvorbis encodes the first packet from what it has seen of the signal by then
    np.testing.assert_allclose(in_blocks, samples, atol=0.01 if suffix == ".ogg" else 0)
    assert len(os.listdir(tmp_path)) == 2  # nothing temporary is left


def test_int16_is_exact_and_limited(tmp_path):
    every = np.arange(-32768, 32768).astype(np.float32) / 32768
    audio.write(tmp_path / "every.wav", every, 8_000)
    np.testing.assert_array_equal(audio.read(tmp_path / "every.wav")[0][:, 0], every)
    loud = np.array([-1e30, -1.5, -1, 1, 1.00001, 3, 3e38], np.float32)
    audio.write(tmp_path / "loud.wav", loud, 8_000)
    limited = soundfile.read(tmp_path / "loud.wav", dtype="int16")[0]
    np.testing.assert_array_equal(limited, [-32768] * 3 + [32767] * 4)
    audio.write(tmp_path / "float.wav", loud, 8_000, "float32")
    np.testing.assert_array_equal(audio.read(tmp_path / "float.wav")[0][:, 0], loud)


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "out.wav"
    audio.write(path, np.ones(10, np.float32), 8_000)
    before = path.read_bytes()
    silence = np.zeros(10, np.float32)

    def interrupted():
        with Writer(path, 8_000) as writer:
            writer.write(silence)
            raise KeyboardInterrupt

    def too_few():
        with Writer(path, 8_000, num_frames=11) as writer:
            writer.write(silence)

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "10 samples instead of 11" in error_of(too_few)
    assert "number 3" in error_of(audio.write, path, np.where(np.arange(10) == 3, np.nan, silence), 8_000)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["out.wav"]


def test_refuses_to_write(tmp_path, monkeypatch):
    samples = np.zeros((10, 2), np.float32)
    (tmp_path / "folder.wav").mkdir()
    assert "is a folder" in error_of(audio.write, tmp_path / "folder.wav", samples, 8_000)
    assert "there is no folder" in error_of(audio.write, tmp_path / "no" / "out.wav", samples, 8_000)
    assert ".wav, .flac, .ogg" in error_of(audio.write, tmp_path / "out.m4a", samples, 8_000)
    assert "written as .wav;" in error_of(audio.write, tmp_path / "out.flac", samples, 8_000, "float32")
    assert "sample rate of 1 Hz" in error_of(audio.write, tmp_path / "out.wav", samples, 1)
    assert "cannot be written" in error_of(audio.write, tmp_path / "out.flac", samples, 999_999)
    monkeypatch.setattr(audio.writing, "MAX_WAV_BYTES", 30)
    assert "4 GiB" in error_of(audio.write, tmp_path / "out.wav", samples, 8_000)
    with Writer(tmp_path / "out.flac", 8_000, num_channels=1) as writer:
        assert "2 channels instead of 1" in error_of(writer.write, samples)
    assert sorted(os.listdir(tmp_path)) == ["folder.wav", "out.flac"]


def test_writes_through_a_link_and_never_over_a_device(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "link.wav"
    link.symlink_to(tmp_path / "elsewhere" / "real.wav")
    audio.write(link, np.zeros(10, np.float32), 8_000)
    assert link.is_symlink() and len(audio.read(tmp_path / "elsewhere" / "real.wav")[0]) == 10
    audio.write("/dev/null", np.zeros(10, np.float32), 8_000)
    assert Path("/dev/null").is_char_device()
    assert "cannot be written" in error_of(audio.write, "/dev/full", np.zeros(10, np.float32), 8_000)


@pytest.mark.parametrize("sample_format", ["int16", "float32"])
@pytest.mark.parametrize("num_frames", [None, 5000])
def test_streams_wav_to_standard_output(sample_format, num_frames, speech_like, capfdbinary, feed_stdin, tmp_path):
    signal = speech_like(1)[:5000].reshape(-1, 2)
    stated = None if num_frames is None else len(signal)
    with Writer("-", 16_000, 2, stated, sample_format) as writer:
        for block in np.array_split(signal, 7):
            writer.write(block)
    data = capfdbinary.readouterr().out
    audio.write(tmp_path / "file.wav", signal, 16_000, sample_format)
    if num_frames is not None and sample_format == "int16":
        assert data == (tmp_path / "file.wav").read_bytes()
    feed_stdin(data)
    samples, sample_rate_hz = audio.read("-")
    assert sample_rate_hz == 16_000
    np.testing.assert_array_equal(samples, audio.read(tmp_path / "file.wav")[0])


def test_a_closed_pipe_is_one_line(monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        message = error_of(audio.write, "-", np.zeros(10**6, np.float32), 24_000)
    assert message.startswith("standard output: cannot be written")
