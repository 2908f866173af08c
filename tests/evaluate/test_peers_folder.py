"""Folders of outputs: each clip gets the file of its name, or an error that says which file was looked for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from q2d2 import audio
from q2d2.evaluate.peers import Clip, PeerError, peer
from q2d2.evaluate.run import score_clip

RATE_HZ = 24_000


def level(value: float, duration_s: float = 0.5) -> np.ndarray:
    """A signal that is told apart by its level."""
    return np.full(round(duration_s * RATE_HZ), value, np.float32)


def level_of(clip: str, tmp_path: Path, duration_s: float = 0.5) -> float:
    """Of what the peer x=out gives for a clip."""
    coded = peer(f"x={tmp_path / 'out'}").code(Clip(clip, level(0, duration_s), RATE_HZ))
    assert coded.samples.ndim == 1 and np.ptp(coded.samples) < 1e-3
    return round(float(coded.samples.mean()), 2)


@pytest.mark.parametrize(
    "files",
    [
        ("a/one.wav", "b/one.flac", "two.wav"),  # the tree of the clips
        ("a/one.flac.wav", "b/one.flac.wav", "two.v2.flac.wav"),  # after the whole name
        ("a/one.wav", "b/one.flac", "elsewhere/two.aiff"),
        ("a/one.wav", "b/one.flac", "two.v2.wav", "a/two.v2.wav"),  # the same place goes first
    ],
)
def test_each_clip_gets_its_own_output(files: Sequence[str], tmp_path: Path, audio_file) -> None:
    clips = ["a/one.flac", "b/one.flac", "two.v2.flac" if "v2" in files[2] else "two.flac"]
    for number, file in enumerate(files):
        audio_file(level(0.1 * (number + 1)), RATE_HZ, f"out/{file}")
    assert [level_of(clip, tmp_path) for clip in clips] == [0.1, 0.2, 0.3]


def test_outputs_in_one_heap_are_found_by_their_stem(tmp_path: Path, audio_file) -> None:
    audio_file(level(0.1), RATE_HZ, "out/one.wav")
    audio_file(np.stack([level(0.1), level(0.3)], axis=1), RATE_HZ, "out/two.wav")  # stereo: the mean
    assert level_of("speaker/chapter/one.flac", tmp_path) == 0.1 and level_of("two.flac", tmp_path) == 0.2


def test_what_is_missing_or_ambiguous_is_an_error_with_names(tmp_path: Path, audio_file) -> None:
    for file in ("a/one.wav", "a/one.flac", "b/two.wav", "c/two.wav", "short.wav"):
        audio_file(level(0.1), RATE_HZ, f"out/{file}")
    out = tmp_path / "out"
    for clip, message in {
        "a/three.flac": f"x: {out} has no file for a/three.flac: it would be {Path('a/three')}.*",
        "a/one.flac": f"x: {out / 'a/one.flac'} and {out / 'a/one.wav'} may both be for a/one.flac",
        "two.flac": f"x: {out / 'b/two.wav'} and {out / 'c/two.wav'} may both be for two.flac",
    }.items():
        with pytest.raises(PeerError) as raised:
            level_of(clip, tmp_path)
        assert str(raised.value).startswith(message)
    assert level_of("short.flac", tmp_path, 1.4) == 0.1
    with pytest.raises(PeerError, match=r"short\.wav: lasts 0\.50 s, but short\.flac 1\.60 s: not the same clip"):
        level_of("short.flac", tmp_path, 1.6)


def test_sizes_are_those_of_the_coded_files_or_not_known(tmp_path: Path, audio_file) -> None:
    out, coded = tmp_path / "out", tmp_path / "coded"
    for clip in ("one", "two"):
        audio_file(level(0.1), RATE_HZ, f"out/{clip}.wav")
    coded.mkdir()
    (coded / "one.bits").write_bytes(bytes(123))
    (coded / ".one.bits").write_bytes(bytes(5))  # hidden
    bare, sized = peer(f"x={out}"), peer(f"x={out}{os.pathsep}{coded}")
    one, two = (Clip(f"{name}.flac", level(0), RATE_HZ) for name in ("one", "two"))
    assert bare.code(one)[2:6] == (None, None, None, "no coded files were given")
    assert sized.code(one)[2:4] == (123, None) and "payload" in sized.code(one).note
    with pytest.raises(PeerError, match=r"coded has no file for two\.flac"):
        sized.code(two)


def test_a_folder_is_scored_like_any_other_peer(tmp_path: Path, speech_like, audio_file) -> None:
    speech = speech_like(1.0)
    path = audio_file(speech, RATE_HZ, "data/a.flac")
    audio_file(np.concatenate([np.zeros(240, np.float32), speech]), RATE_HZ, "out/a.wav")  # 10 ms late
    (row,), indices = score_clip(path, "a.flac", [peer(f"theirs={tmp_path / 'out'}")], metrics=())
    assert (row.system, row.delay_ms, row.file_bytes, row.tokens, indices) == ("theirs", 10, None, None, None)
    assert row.note == "no coded files were given"


def test_what_names_no_folder_is_refused(tmp_path: Path, audio_file) -> None:
    audio_file(level(0.1), RATE_HZ, "out/a.wav")
    out = tmp_path / "out"
    for text in (f"={out}", "x=", os.pathsep.join([f"x={out}", str(out), str(out)])):
        with pytest.raises(PeerError, match="give NAME=DECODED"):
            peer(text)
    with pytest.raises(PeerError, match=r"x: .*nowhere is no folder"):
        peer(f"x={out}{os.pathsep}{tmp_path / 'nowhere'}")
    (out / "a.wav").write_bytes(b"RIFF")
    with pytest.raises(audio.AudioError, match=r"a\.wav"):
        peer(f"x={out}").code(Clip("a.wav", level(0), RATE_HZ))
