"""The demo: its files, its table, its picture, and what it does without the packages for the last two."""

import io
import sys

import numpy as np
import pytest
import soundfile
from conftest import make_speech_like
from PIL import Image
from small_codecs import NOT_LOCAL, make_codec

from q2d2 import audio, cli, demo
from q2d2.checkpoint import load, save
from q2d2.opening import FileError

NAMES = {"original.wav", "1k.q2d2", "1k.wav", "3k.q2d2", "3k.wav", "7k.q2d2", "7k.wav", "demo.png"}


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    save(make_codec(), folder)
    return load(folder)


@pytest.fixture(scope="module")
def shown(codec, tmp_path_factory):
    return demo.run(codec, None, tmp_path_factory.mktemp("demo"))


def test_the_shipped_clip():
    wav, sample_rate_hz = audio.read(demo.CLIP)
    assert sample_rate_hz == 24_000 and wav.shape[1] == 1 and len(wav) > 4 * 24_000
    assert demo.CLIP.stat().st_size < 300_000 and "CC0" in (demo.CLIP.parent / "README.md").read_text()


def test_files_and_rows(codec, shown):
    assert {path.name for path in shown.out.iterdir()} == NAMES
    original, rate_hz = soundfile.read(shown.out / "original.wav")
    assert [row.rate for row in shown.rows] == ["1k", "3k", "7k"] and shown.notes == []
    for row in shown.rows:
        assert row.num_bytes == (shown.out / f"{row.rate}.q2d2").stat().st_size
        assert row.bitrate_bps == 8 * row.num_bytes / shown.duration_s
        assert row.index_bps == codec.bitrate_bps(row.rate)
        assert 1 < row.pesq < 4.7 and -0.1 < row.stoi < 1
        assert row.encode_speed > 0 and row.decode_speed > 0
        decoded, _ = soundfile.read(shown.out / f"{row.rate}.wav", dtype="float32")
        assert len(decoded) == len(original) == round(shown.duration_s * rate_hz)
        made = codec.decompress((shown.out / f"{row.rate}.q2d2").read_bytes())
        assert np.abs(decoded - np.clip(made, -1, 1)).max() <= 1e-4


def test_the_table(shown):
    lines = demo.table(shown).splitlines()
    heading = next(line for line in lines if line.startswith("rate"))
    rows = [line for line in lines if line[:2] in ("1k", "3k", "7k")]
    assert len(rows) == 3 and {len(row) for row in rows} == {len(heading)}
    assert f"{shown.duration_s:.2f} s" in lines[0] and str(shown.out) in lines[0]


def test_the_picture(shown):
    data = (shown.out / "demo.png").read_bytes()
    assert len(data) < 300_000
    image = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert image.shape[1] == 1600
    assert (image[0] == 255).all() and len(np.unique(image[200:400] @ [65536, 256, 1])) > 20


def test_it_replaces_nothing_unasked(codec, shown):
    with pytest.raises(FileError, match="exists already; --overwrite replaces the files of an earlier demo"):
        demo.run(codec, None, shown.out)


def test_from_the_command_line(codec, tmp_path, audio_file, capsys, monkeypatch):
    save(codec, tmp_path / "model")
    clip = audio_file(np.stack([make_speech_like(1.2, 44_100)] * 2, 1), 44_100, name="stereo.flac")
    arguments = ["demo", str(clip), "--out", str(tmp_path / "out"), "--model", str(tmp_path / "model")]
    assert cli.main(arguments) == 0
    said = capsys.readouterr()
    assert said.err == "" and "1.20 s of speech" in said.out
    assert {path.name for path in (tmp_path / "out").iterdir()} == NAMES
    assert soundfile.info(tmp_path / "out" / "1k.wav").samplerate == 44_100
    assert cli.main(arguments) == 1 and "exists already" in capsys.readouterr().err


def test_without_the_packages_that_measure_and_draw(codec, tmp_path, audio_file, monkeypatch):
    for name in ("pesq", "pystoi", "matplotlib", "matplotlib.axes", "q2d2.picture"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delattr("q2d2.picture")
    result = demo.run(codec, audio_file(make_speech_like(1.0)), tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == NAMES - {"demo.png"}
    assert all(row.pesq is None and row.stoi is None for row in result.rows)
    assert len(result.notes) == 2 and all("pip install 'q2d2[demo]'" in note for note in result.notes)
    assert demo.table(result).count(" - ") == 6


@pytest.mark.parametrize("samples", [np.zeros(24_000, np.float32), np.full(1, 0.1, np.float32)])
def test_clips_without_speech(codec, tmp_path, audio_file, samples):
    result = demo.run(codec, audio_file(samples), tmp_path / "out")
    assert all(row.pesq is None and row.stoi is None for row in result.rows)
    assert (tmp_path / "out" / "demo.png").is_file()


def test_only_the_beginning_of_a_long_clip(codec, tmp_path, audio_file, monkeypatch):
    monkeypatch.setattr(demo, "LONGEST_S", 0.5)
    monkeypatch.setattr(demo, "_picture", lambda *numbers: None)
    assert demo.run(codec, audio_file(make_speech_like(2.0)), tmp_path / "out").duration_s == 0.5


def test_a_codec_of_one_rate(tmp_path, audio_file):
    result = demo.run(make_codec(NOT_LOCAL), audio_file(make_speech_like(0.5)), tmp_path / "out")
    assert [row.rate for row in result.rows] == ["not-local"]
