"""Folders: the same tree, no two files for one target, and bad files that stop nobody."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import make_speech_like
from small_codecs import make_codec

from q2d2.audio import AudioError
from q2d2.codec import Codec
from q2d2.folders import _target_names, decode_folder, encode_folder
from q2d2.opening import FileError


@pytest.fixture(scope="module")
def codec() -> Codec:
    return make_codec()


@pytest.fixture
def clips(audio_file, tmp_path) -> Path:
    for seed, name in enumerate(("a.wav", "deep/er/b.flac", "deep/er/b.wav", "deep/c.ogg")):
        audio_file(make_speech_like(0.1 + 0.1 * seed, seed=seed), name=f"clips/{name}")
    (tmp_path / "clips" / "notes.txt").write_text("not audio, and not touched")
    return tmp_path / "clips"


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_the_tree_there_and_back(codec, clips, tmp_path):
    result = encode_folder(codec, clips, tmp_path / "tokens" / "new", "1k")
    assert result == (4, 0, [], [])
    names = {"a.q2d2", "deep/er/b.flac.q2d2", "deep/er/b.wav.q2d2", "deep/c.q2d2"}
    assert tree(tmp_path / "tokens" / "new") == names
    result = decode_folder(codec, tmp_path / "tokens", tmp_path / "back")
    assert result == (4, 0, [], [])
    assert tree(tmp_path / "back" / "new") == {name.replace(".q2d2", ".wav") for name in names}
    for clip, back in (("a.wav", "a.wav"), ("deep/er/b.flac", "deep/er/b.flac.wav")):
        assert soundfile.info(clips / clip).frames == soundfile.info(tmp_path / "back" / "new" / back).frames


def test_bad_files_are_listed_and_the_rest_goes_on(codec, clips, tmp_path):
    (clips / "bad.wav").write_text("no audio")
    soundfile.write(clips / "nan.wav", np.array([np.nan]), 24_000, subtype="FLOAT")
    result = encode_folder(codec, clips, tmp_path / "tokens")
    assert (result.done, len(result.failed)) == (4, 2)
    assert [Path(line.split(":")[0]).name for line in result.failed] == ["bad.wav", "nan.wav"]
    assert len(tree(tmp_path / "tokens")) == 4

    file = tmp_path / "tokens" / "a.q2d2"
    file.write_bytes(file.read_bytes()[:-20])
    result = decode_folder(codec, tmp_path / "tokens", tmp_path / "back")
    assert result.done == 3 and "a.q2d2: truncated" in result.failed[0]
    (tmp_path / "tokens" / "a.q2d2").unlink()


def test_damage_that_is_skipped_is_noted(codec, clips, tmp_path):
    encode_folder(codec, clips, tmp_path / "tokens")
    file = tmp_path / "tokens" / "a.q2d2"
    file.write_bytes(file.read_bytes()[:-1])
    result = decode_folder(codec, tmp_path / "tokens", tmp_path / "back", on_damage="skip")
    assert (result.done, result.failed) == (4, []) and "truncated" in result.notes[0]


def test_what_is_there_stays_until_told_otherwise(codec, clips, tmp_path):
    encode_folder(codec, clips, tmp_path / "tokens", "1k")
    (tmp_path / "tokens" / "a.q2d2").write_text("mine")
    (tmp_path / "tokens" / "deep" / "c.q2d2").unlink()
    assert encode_folder(codec, clips, tmp_path / "tokens", "1k")[:2] == (1, 3)
    assert (tmp_path / "tokens" / "a.q2d2").read_text() == "mine"
    assert encode_folder(codec, clips, tmp_path / "tokens", "1k", overwrite=True)[:2] == (4, 0)
    assert (tmp_path / "tokens" / "a.q2d2").read_bytes().startswith(b"Q2D2")


def test_a_folder_with_nothing_to_do(codec, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileError, match="empty: holds no files"):
        encode_folder(codec, tmp_path / "empty", tmp_path / "out")
    with pytest.raises(FileError, match="empty: holds no files"):
        decode_folder(codec, tmp_path / "empty", tmp_path / "out")
    with pytest.raises(AudioError, match="is not a folder"):
        encode_folder(codec, tmp_path / "nowhere", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_two_sources_share_a_target():
    sources = [Path(name) for name in ("a.wav", "a.flac", "a.wav.mp3", "b.wav", "sub/a.wav")]
    names = _target_names(sources, ".q2d2")
    assert len(set(names)) == len(names)
    assert [str(name) for name in names[3:]] == ["b.q2d2", "sub/a.q2d2"]
