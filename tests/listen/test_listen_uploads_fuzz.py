"""Whatever is sent to the demo, it becomes a clip or one line of words; the server goes on, in bounded time and memory.

Most cases go through the functions that read files, in this process; some through the whole server.
"""

from __future__ import annotations

import io
import re
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from conftest import make_speech_like
from demo_clients import audio_bytes, opened, outcome, send

from q2d2.audio import AudioError, to_int16
from q2d2.bitstream import BitstreamError, Reader
from q2d2.listen.demo import Limits, reading
from q2d2.listen.demo.reading import Recording, beginning, beginning_apart

RATE_HZ = 24_000
CASES = 30  # of each kind of file
NAME = "from outside"
LIMITS = Limits(longest_s=0.5)
FORMS = {
    "wav": {"form": "WAV"},
    "float wav": {"form": "WAV", "subtype": "FLOAT"},
    "flac": {"form": "FLAC"},
    "ogg": {"form": "OGG", "subtype": "VORBIS"},
    "mp3": {"form": "MP3"},
}


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    return make_speech_like(0.6, RATE_HZ)


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """One to three of the things that happen to bytes, at the beginning more often than elsewhere."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        reach = 64 if rng.random() < 0.5 else len(changed)
        at = int(rng.integers(0, max(1, min(reach, len(changed)))))
        kind = rng.integers(0, 6)
        if kind == 0 and changed:
            changed[min(at, len(changed) - 1)] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1:
            del changed[at:]
        elif kind == 2:
            changed[at:at] = rng.bytes(int(rng.integers(1, 20)))
        elif kind == 3:
            changed[at : at + 4] = b"\xff" * 4
        elif kind == 4:
            changed[at : at + 4] = struct.pack("<I", int(rng.integers(0, 2**32)))
        else:
            del changed[at : at + int(rng.integers(1, 200))]
    return bytes(changed)


def read_here(data: bytes, folder: Path) -> Recording | str:
    """What is read of a file, or the words about it; AssertionError where either is none that a page may show."""
    source = folder / "upload"
    source.write_bytes(data)
    try:
        found = beginning(source, NAME, LIMITS)
    except AudioError as error:
        words = str(error)
        assert words.startswith(NAME) and "\n" not in words and str(folder) not in words, words
        return words
    assert 1 <= len(found.wav) <= LIMITS.samples_at(found.sample_rate_hz)
    assert found.wav.dtype == np.float32 and np.isfinite(found.wav).all()
    return found


@pytest.mark.parametrize("kind", FORMS)
def test_damaged_audio_is_read_or_refused(kind, clip, tmp_path):
    data = audio_bytes(clip, RATE_HZ, **FORMS[kind])
    whole = read_here(data, tmp_path)
    assert isinstance(whole, Recording) and whole.is_cut
    rng = np.random.default_rng(len(kind))
    results = [read_here(damaged(data, rng), tmp_path) for _ in range(CASES)]
    assert any(isinstance(result, str) for result in results)
    if kind in ("wav", "mp3"):  # without checksums; or the damage would be too much
        assert any(isinstance(result, Recording) for result in results)


def test_damaged_tokens_are_read_or_refused(clip, small_codec):
    data = small_codec.compress(clip, RATE_HZ)
    rng = np.random.default_rng(0)
    for _ in range(5 * CASES):
        try:
            reader = Reader(io.BytesIO(damaged(data, rng)))
            frames = sum(len(chunk) for _, chunk in reader)
        except BitstreamError as error:
            assert "\n" not in str(error)
        else:
            assert frames == reader.num_frames


def wav_header(*, channels: int = 1, rate_hz: int = RATE_HZ, size: int = 200, bits: int = 16) -> bytes:
    width = channels * bits // 8
    layout = struct.pack("<HHIIHH", 1, channels, rate_hz, rate_hz * width % 2**32, width % 2**16, bits)
    riff = struct.pack("<4sI4s4sI", b"RIFF", min(size + 36, 2**32 - 1), b"WAVE", b"fmt ", 16)
    return riff + layout + struct.pack("<4sI", b"data", size)


FORGED = {
    "as long as can be said": wav_header(size=2**32 - 1) + bytes(200),
    "as long as can be said, with many channels": wav_header(size=2**32 - 1, channels=1000) + bytes(20_000),
    "a thousand channels": wav_header(channels=1000, size=20_000) + bytes(20_000),
    "more channels than bytes": wav_header(channels=65_535, size=200) + bytes(200),
    "no channels": wav_header(channels=0) + bytes(200),
    "no rate": wav_header(rate_hz=0) + bytes(200),
    "one sample in a second": wav_header(rate_hz=1) + bytes(200),
    "four billion samples in a second": wav_header(rate_hz=4_000_000_000) + bytes(200),
    "no bits": wav_header(bits=0) + bytes(200),
    "no samples": wav_header(size=0),
    "a header and no more": wav_header(),
    "four letters": b"RIFF",
    "a zero": b"\0",
    "zeros": bytes(100_000),
    "a raw file's name is no matter": b"\x01\x02" * 500,
    "mp3 frames that say nothing": b"\xff\xfb\x90\x00" * 5000,
    "ogg pages without end": b"OggS" + b"\xff" * 5000,
    "not a number": audio_bytes(np.array([0.1, np.nan]), RATE_HZ, subtype="FLOAT"),
    "infinitely loud": audio_bytes(np.array([0.1, np.inf]), RATE_HZ, subtype="DOUBLE"),
}


@pytest.mark.parametrize("what", FORGED)
def test_forged_headers_are_read_or_refused(what, tmp_path):
    read_here(FORGED[what], tmp_path)


def test_of_hours_of_silence_the_beginning_is_read(tmp_path):
    bomb = audio_bytes(np.zeros(600 * 48_000, np.int16), 48_000, "FLAC")
    assert len(bomb) < 2**20
    found = read_here(bomb, tmp_path)
    assert isinstance(found, Recording)
    assert (len(found.wav), found.is_cut) == (24_000, True)


# -- the child ---------------------------------------------------------------------------------------------------------


def apart(data: bytes, folder: Path, limits: Limits) -> Recording | str:
    (folder / "upload").write_bytes(data)
    try:
        return beginning_apart(folder / "upload", folder / "samples.npy", NAME, limits)
    except AudioError as error:
        return str(error)


def test_the_child_reads_what_is_read_here(clip, tmp_path):
    data = audio_bytes(to_int16(clip), RATE_HZ, "FLAC")
    here, there = read_here(data, tmp_path), apart(data, tmp_path, LIMITS)
    assert isinstance(here, Recording) and isinstance(there, Recording)
    assert np.array_equal(here.wav, there.wav)
    assert here[1:] == there[1:]


def test_a_child_gets_no_more_time_and_memory_than_it_should(clip, tmp_path):
    slow = apart(audio_bytes(clip, RATE_HZ), tmp_path, Limits(decoding_s=0.01))
    assert slow == f"{NAME}: takes more than 0.01 s to read; convert it to WAV first"
    wide = audio_bytes(np.zeros((400_000, 8), np.int16), 48_000, "FLAC")
    assert isinstance(apart(wide, tmp_path, LIMITS), Recording)
    hungry = apart(wide, tmp_path, Limits(decoding_bytes=64 * 2**20))
    # some decoders bear a lack of memory, and some do not
    assert isinstance(hungry, str) and re.search("takes more than 64 MiB|breaks the decoder|cannot be read", hungry), (
        hungry
    )
    assert hungry.startswith(f"{NAME}: ") and "\n" not in hungry


def test_a_child_that_breaks_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "broken_decoder.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(reading, "_CHILD", "import broken_decoder")
    assert apart(b"x", tmp_path, LIMITS) == f"{NAME}: breaks the decoder (SIGSEGV); convert it to WAV first"
    (tmp_path / "broken_decoder.py").write_text("import sys\nsys.exit(3)\n")
    assert apart(b"x", tmp_path, LIMITS) == f"{NAME}: breaks the decoder (exit status 3); convert it to WAV first"


def test_a_child_imports_nothing_from_the_current_folder(clip, tmp_path, monkeypatch):
    (tmp_path / "soundfile.py").write_text("import os\nos._exit(7)\n")
    monkeypatch.chdir(tmp_path)
    assert isinstance(apart(audio_bytes(clip, RATE_HZ), tmp_path, LIMITS), Recording)


# -- the whole way -----------------------------------------------------------------------------------------------------


def test_the_server_outlives_whatever_is_sent(clip, small_codec):
    rng = np.random.default_rng(1)
    tokens = small_codec.compress(clip, RATE_HZ)
    loud = audio_bytes(np.array([1e30]), RATE_HZ, subtype="DOUBLE")
    files = [damaged(tokens, rng) for _ in range(5)]
    files += [damaged(audio_bytes(clip, RATE_HZ, **form), rng) for form in (FORMS["wav"], FORMS["mp3"])]
    files += [FORGED["as long as can be said, with many channels"], FORGED["no rate"], loud]
    with opened(small_codec, LIMITS) as client:
        for data in files:
            progress = outcome(client, send(client, data, NAME))
            if progress["state"] == "failed":
                words = progress["error"]
                assert words.startswith(NAME) and "\n" not in words and "went wrong" not in words
                assert tempfile.gettempdir() not in words
        assert progress["error"] == f"{NAME}: the clip reaches 1e+30: full scale is 1 (divide 16-bit values by 32768)"
        assert outcome(client, send(client, audio_bytes(clip, RATE_HZ)))["state"] == "done"
