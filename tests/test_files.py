"""One file through a codec: exact lengths, bounded pieces equal to the whole, damage, and targets that are safe."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import make_speech_like
from small_codecs import NOT_LOCAL, make_codec

from q2d2 import bitstream
from q2d2.audio import AudioError
from q2d2.bitstream import Reader, Writer
from q2d2.bitstream.records import Payload
from q2d2.checkpoint import load, save
from q2d2.clips import WINDOW
from q2d2.codec import Codec
from q2d2.files import DamagedError, decode_file, encode_file
from q2d2.opening import FileError

RATE_HZ = 24_000
CHUNK = 512  # frames


@pytest.fixture(scope="module")
def codec(tmp_path_factory) -> Codec:
    folder = tmp_path_factory.mktemp("model")
    save(make_codec(), folder)
    return load(folder)


def noise(duration_s: float, sample_rate_hz: int = RATE_HZ) -> np.ndarray:
    """Something to encode, sooner made than speech."""
    return np.random.default_rng(0).normal(0, 0.1, round(duration_s * sample_rate_hz)).astype(np.float32)


def read_indices(path: Path) -> np.ndarray:
    with path.open("rb") as file:
        return np.concatenate([indices for _, indices in Reader(file)])


def names(folder: Path) -> set[str]:
    """All that is there, hidden files and half-written ones included."""
    return {path.name for path in folder.iterdir()}


# -- there and back ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sample_rate_hz", [8_000, 16_000, 22_050, 24_000, 44_100, 48_000])
def test_lengths_are_exact(codec, audio_file, tmp_path, sample_rate_hz):
    wav = noise(RATE_HZ * 7.1 / sample_rate_hz, sample_rate_hz)
    for length in (1, 449, 450, 451, RATE_HZ * 7 + 13):
        source = audio_file(wav[:length], sample_rate_hz)
        made = encode_file(codec, source, tmp_path / "a.q2d2", "1k", overwrite=True)
        assert decode_file(codec, tmp_path / "a.q2d2", tmp_path / "b.wav", overwrite=True) == []
        about = soundfile.info(tmp_path / "b.wav")
        assert (about.frames, about.samplerate, about.channels) == (length, sample_rate_hz, 1)
        assert made.duration_s == length / sample_rate_hz
        assert made.num_bytes == (tmp_path / "a.q2d2").stat().st_size
        assert made.bitrate_bps == 8 * made.num_bytes / made.duration_s


@pytest.mark.parametrize("sample_rate_hz", [24_000, 44_100])
def test_a_file_in_pieces_is_the_clip_in_one(codec, audio_file, tmp_path, sample_rate_hz):
    wav = noise((WINDOW + 177) * codec.hop / RATE_HZ, sample_rate_hz)
    source = audio_file(wav, sample_rate_hz, subtype="FLOAT")
    encode_file(codec, source, tmp_path / "a.q2d2", "3k")
    codes = codec.encode(wav, sample_rate_hz, "3k")
    assert np.array_equal(read_indices(tmp_path / "a.q2d2"), codes.indices.numpy())
    decode_file(codec, tmp_path / "a.q2d2", tmp_path / "b.wav")
    decoded, _ = soundfile.read(tmp_path / "b.wav", dtype="float32")
    assert np.abs(decoded - np.clip(codec.decode(codes), -1, 1)).max() <= 1e-4
    assert (tmp_path / "a.q2d2").read_bytes() == codec.compress(wav, sample_rate_hz, "3k")


def test_the_rate_decides_on_the_bytes(codec, audio_file, tmp_path):
    source = audio_file(make_speech_like(10.0))
    for rate in ("1k", "3k", "7k"):
        made = encode_file(codec, source, tmp_path / f"{rate}.q2d2", rate)
        with (tmp_path / f"{rate}.q2d2").open("rb") as file:
            header = Reader(file).header
        payload = made.num_bytes - len(header.to_bytes())
        assert payload <= 1.02 * codec.bitrate_bps(rate) * 10 / 8 + 20
    highest, lowest = read_indices(tmp_path / "7k.q2d2"), read_indices(tmp_path / "1k.q2d2")
    assert np.array_equal(highest[:, : lowest.shape[1]], lowest)


def test_stereo_is_the_mean_of_its_channels(codec, audio_file, tmp_path):
    left, right = make_speech_like(1.0, seed=1), make_speech_like(1.0, seed=2)
    encode_file(codec, audio_file(np.stack([left, right], 1), subtype="FLOAT"), tmp_path / "a.q2d2")
    mean = (left.astype(float) + right) / 2
    assert np.array_equal(read_indices(tmp_path / "a.q2d2"), codec.encode(mean, RATE_HZ).indices.numpy())


def test_silence_is_the_same_token_throughout(codec, audio_file, tmp_path):
    encode_file(codec, audio_file(np.zeros(RATE_HZ, np.float32)), tmp_path / "a.q2d2")
    assert (read_indices(tmp_path / "a.q2d2") == codec.silence.numpy()).all()
    decode_file(codec, tmp_path / "a.q2d2", tmp_path / "b.wav")
    assert np.isfinite(soundfile.read(tmp_path / "b.wav")[0]).all()


def test_beyond_full_scale_is_encoded_as_it_is_and_decoded_within(codec, audio_file, tmp_path):
    loud = 5 * make_speech_like(1.0)
    encode_file(codec, audio_file(loud, subtype="FLOAT"), tmp_path / "a.q2d2")
    assert np.array_equal(read_indices(tmp_path / "a.q2d2"), codec.encode(loud, RATE_HZ).indices.numpy())
    decode_file(codec, tmp_path / "a.q2d2", tmp_path / "b.wav")
    assert np.abs(soundfile.read(tmp_path / "b.wav")[0]).max() <= 1


@pytest.mark.parametrize("suffix", [".flac", ".ogg", ".mp3"])
def test_other_kinds_of_audio_in(codec, audio_file, tmp_path, suffix):
    source = audio_file(make_speech_like(1.0), name=f"clip{suffix}")
    encode_file(codec, source, tmp_path / "a.q2d2")
    decode_file(codec, tmp_path / "a.q2d2", tmp_path / "b.flac")
    assert soundfile.info(tmp_path / "b.flac").frames == len(soundfile.read(source)[0])


def test_a_codec_that_is_not_local_does_files_too(audio_file, tmp_path):
    codec = make_codec(NOT_LOCAL)
    encode_file(codec, audio_file(make_speech_like(0.5)), tmp_path / "a.q2d2")
    decode_file(codec, tmp_path / "a.q2d2", tmp_path / "b.wav")
    assert soundfile.info(tmp_path / "b.wav").frames == RATE_HZ // 2


# -- sources that are no good ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (np.array([0, 0.5, np.nan, 0], np.float32), "not a number"),
        (np.array([0, np.inf], np.float32), "infinite"),
        (np.zeros(0, np.float32), "holds no samples"),
        (np.full(1000, 20_000, np.float32), "full scale is 1"),
    ],
)
def test_audio_that_is_none_is_named_and_leaves_no_target(codec, audio_file, tmp_path, samples, reason):
    source = audio_file(samples, subtype="FLOAT")
    with pytest.raises((AudioError, FileError), match=f"clip.wav: .*{reason}"):
        encode_file(codec, source, tmp_path / "a.q2d2")
    assert names(tmp_path) == {"clip.wav"}


def test_an_empty_file_and_no_audio_at_all(codec, tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("hello" * 100)
    for name, reason in (("empty.wav", "is empty"), ("text.wav", "is not audio"), ("nowhere.wav", "cannot be opened")):
        with pytest.raises(AudioError, match=f"{name}: {reason}"):
            encode_file(codec, tmp_path / name, tmp_path / "a.q2d2")
    assert names(tmp_path) == {"empty.wav", "text.wav"}


def test_what_is_no_q2d2_file_or_anothers(codec, audio_file, tmp_path):
    wav = audio_file(make_speech_like(0.1))
    with pytest.raises(FileError, match="clip.wav: not a .q2d2 file"):
        decode_file(codec, wav, tmp_path / "b.wav")
    with pytest.raises(FileNotFoundError):
        decode_file(codec, tmp_path / "nowhere.q2d2", tmp_path / "b.wav")
    encode_file(make_codec(NOT_LOCAL), wav, tmp_path / "other.q2d2")
    with pytest.raises(FileError, match="other.q2d2: the file was written by another codec"):
        decode_file(codec, tmp_path / "other.q2d2", tmp_path / "b.wav")
    assert names(tmp_path) == {"clip.wav", "other.q2d2"}


def test_a_file_without_frames(codec, tmp_path):
    with (tmp_path / "a.q2d2").open("wb") as file:
        Writer(file, codec.header(RATE_HZ)).close(0)
    with pytest.raises(FileError, match="a.q2d2: holds no frames"):
        decode_file(codec, tmp_path / "a.q2d2", tmp_path / "b.wav")
    assert names(tmp_path) == {"a.q2d2"}


# -- damage ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def long_file(codec, tmp_path) -> Path:
    """Four chunks of anything but silence."""
    wav = noise(4 * CHUNK * codec.hop / RATE_HZ)
    (tmp_path / "a.q2d2").write_bytes(codec.compress(wav, RATE_HZ, "1k"))
    return tmp_path / "a.q2d2"


def expected(codec: Codec, whole: np.ndarray, missing: slice) -> np.ndarray:
    indices = whole.copy()
    indices[missing] = codec.silence.numpy()[: whole.shape[1]]
    (wav,) = np.concatenate(list(codec.decode_blocks([indices])))[None]
    return np.clip(wav, -1, 1)


def damage(path: Path, chunk: int) -> None:
    """Turn over one bit within this chunk."""
    data = bytearray(path.read_bytes())
    with path.open("rb") as file:
        offsets = Reader(file)._table.offsets
    data[(offsets[chunk] + offsets[chunk + 1]) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("chunk", [0, 2, 3])
def test_a_damaged_chunk_is_an_error_or_silence(codec, long_file, tmp_path, chunk):
    whole = read_indices(long_file)
    damage(long_file, chunk)
    with pytest.raises(DamagedError, match=r"a.q2d2: damaged chunk at (byte|frame) \d+"):
        decode_file(codec, long_file, tmp_path / "b.wav")
    assert names(tmp_path) == {"a.q2d2"}
    (line,) = decode_file(codec, long_file, tmp_path / "b.wav", on_damage="skip")
    start, stop = CHUNK * chunk / codec.frame_rate_hz, CHUNK * (chunk + 1) / codec.frame_rate_hz
    assert line.startswith(f"{long_file}: silence from {start:.2f} to {stop:.2f} s: damaged chunk")
    decoded, _ = soundfile.read(tmp_path / "b.wav", dtype="float32")
    hoped = expected(codec, whole, slice(CHUNK * chunk, CHUNK * (chunk + 1)))
    assert np.abs(decoded - hoped).max() <= 1e-4


def test_what_is_left_of_a_truncated_file(codec, long_file, tmp_path):
    whole = read_indices(long_file)
    long_file.write_bytes(long_file.read_bytes()[: round(0.6 * long_file.stat().st_size)])
    with pytest.raises(DamagedError, match="a.q2d2: truncated"):
        decode_file(codec, long_file, tmp_path / "b.wav")
    (line,) = decode_file(codec, long_file, tmp_path / "b.wav", on_damage="skip")
    assert line.startswith(f"{long_file}: ends at 19.20 s: truncated")
    decoded, _ = soundfile.read(tmp_path / "b.wav", dtype="float32")
    assert len(decoded) == 2 * CHUNK * codec.hop
    assert np.abs(decoded - expected(codec, whole[: 2 * CHUNK], slice(0))).max() <= 1e-4


def test_a_lost_trailer_and_bytes_after_it(codec, long_file, tmp_path):
    data = long_file.read_bytes()
    for changed, reason in ((data[:-1], "truncated"), (data + b"more", "goes on after its trailer")):
        long_file.write_bytes(changed)
        with pytest.raises(DamagedError, match=reason):
            decode_file(codec, long_file, tmp_path / "b.wav", overwrite=True)
        (line,) = decode_file(codec, long_file, tmp_path / "b.wav", on_damage="skip", overwrite=True)
        assert reason in line
        assert soundfile.info(tmp_path / "b.wav").frames == 4 * CHUNK * codec.hop


def test_nothing_left_and_a_gap_beyond_belief(codec, tmp_path, monkeypatch):
    header = codec.header(RATE_HZ, "1k")
    path = tmp_path / "a.q2d2"
    path.write_bytes(header.to_bytes())
    with pytest.raises(DamagedError, match="not one whole chunk is left"):
        decode_file(codec, path, tmp_path / "b.wav", on_damage="skip")
    month = 30 * 86_400 * 53
    chunk = bitstream.records.pack_chunk(
        month, 1, Payload(bitstream.packing.pack(np.zeros((1, 2), int), header.points), False), has_prior=False
    )
    path.write_bytes(header.to_bytes() + chunk)
    with pytest.raises(DamagedError, match=f"frames 0 to {month} are missing, more than"):
        decode_file(codec, path, tmp_path / "b.wav", on_damage="skip")
    assert names(tmp_path) == {"a.q2d2"}


# -- targets -----------------------------------------------------------------------------------------------------------


def test_targets_are_not_replaced_unasked(codec, audio_file, tmp_path):
    source, target = audio_file(make_speech_like(0.1)), tmp_path / "a.q2d2"
    target.write_text("precious")
    with pytest.raises(FileError, match="a.q2d2: exists already; --overwrite replaces it"):
        encode_file(codec, source, target)
    assert target.read_text() == "precious"
    encode_file(codec, source, target, overwrite=True)
    back = tmp_path / "b.wav"
    back.write_text("precious")
    with pytest.raises(FileError, match="b.wav: exists already"):
        decode_file(codec, target, back)
    assert back.read_text() == "precious"
    assert names(tmp_path) == {"clip.wav", "a.q2d2", "b.wav"}


def test_a_failure_keeps_the_old_target(codec, audio_file, tmp_path):
    source = audio_file(np.array([0, np.nan], np.float32), subtype="FLOAT")
    (tmp_path / "a.q2d2").write_text("precious")
    with pytest.raises(AudioError):
        encode_file(codec, source, tmp_path / "a.q2d2", overwrite=True)
    assert (tmp_path / "a.q2d2").read_text() == "precious"
    assert names(tmp_path) == {"clip.wav", "a.q2d2"}


def test_targets_that_cannot_be(codec, audio_file, tmp_path):
    source = audio_file(make_speech_like(0.1))
    (tmp_path / "same.q2d2").symlink_to(source)
    for target, reason in (
        (tmp_path, "is a folder"),
        (tmp_path / "a.wav", "should end in .q2d2"),
        (tmp_path / "no" / "a.q2d2", "there is no folder"),
        (tmp_path / "same.q2d2", "is the source as well"),
    ):
        with pytest.raises(FileError, match=reason):
            encode_file(codec, source, target, overwrite=True)
    encode_file(codec, source, tmp_path / "a.q2d2")
    with pytest.raises(AudioError, match=r"change the suffix"):
        decode_file(codec, tmp_path / "a.q2d2", tmp_path / "b.doc")
    assert names(tmp_path) == {"clip.wav", "same.q2d2", "a.q2d2"}


def test_a_link_stays_and_what_it_leads_to_is_replaced(codec, audio_file, tmp_path):
    (tmp_path / "real.q2d2").touch()
    (tmp_path / "link.q2d2").symlink_to(tmp_path / "real.q2d2")
    encode_file(codec, audio_file(make_speech_like(0.1)), tmp_path / "link.q2d2", overwrite=True)
    assert (tmp_path / "link.q2d2").is_symlink() and len(read_indices(tmp_path / "real.q2d2"))


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="needs devices")
def test_devices_are_written_to_and_not_replaced(codec, audio_file, tmp_path):
    encode_file(codec, audio_file(make_speech_like(0.1)), "/dev/null")
    encode_file(codec, tmp_path / "clip.wav", tmp_path / "a.q2d2")
    decode_file(codec, tmp_path / "a.q2d2", "/dev/null")
    assert not os.path.isfile("/dev/null")
