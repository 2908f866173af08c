"""PESQ and STOI against their known extremes, peers through programs of our own, so that the tests do not depend on
what a machine has installed; then whole evaluations."""

from __future__ import annotations

import csv
import io
import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas
import pesq
import pytest
import torch

from q2d2 import audio, checkpoint
from q2d2.codec import Codec
from q2d2.evaluate import EvaluateConfig, evaluate, peers
from q2d2.evaluate.metrics import METRICS, SAMPLE_RATE_HZ, Metric, MissingExtraError, Original, Score, UndefinedError
from q2d2.evaluate.metrics.pesq import pesq_wb
from q2d2.evaluate.metrics.stoi import stoi
from q2d2.evaluate.peers import Clip, Codec2, Coded, Opus, PeerError, ogg_packet_bytes, peer
from q2d2.evaluate.rows import read_rows
from q2d2.evaluate.run import misaligned, score_clip
from q2d2.presets import TINY

RATE_HZ = SAMPLE_RATE_HZ
CHOSEN = ("pesq_wb", "pesq_nb", "stoi")
CLASSIC = tuple(metric for metric in METRICS if metric.name in CHOSEN)
PERFECT = {"pesq_wb": 4.644, "pesq_nb": 4.549, "stoi": 1.0}  # P.862.2, P.862.1 at a raw score of 4.5; correlation


@dataclass(frozen=True)
class Late:
    """The identity, `delay` samples late, in two bytes a sample."""

    delay: int = 0
    may_delay: bool = True
    name: str = "late"

    def missing(self) -> str | None:
        return None

    def code(self, clip: Clip) -> Coded:
        late = np.concatenate([np.zeros(max(0, self.delay), np.float32), clip.wav[max(0, -self.delay) :]])
        return Coded(late, clip.sample_rate_hz, 2 * len(clip.wav) + 44, 2 * len(clip.wav))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    codec = Codec(TINY).eval()
    codec.measure_silence()
    folder = tmp_path_factory.mktemp("models") / "tiny"
    checkpoint.save(codec, folder)
    return str(folder)


# -- metrics -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sample_rate_hz", [16_000, 22_050, 24_000, 48_000])
def test_the_identity_has_the_highest_scores(sample_rate_hz: int, speech_like, audio_file) -> None:
    path = audio_file(speech_like(2.5, sample_rate_hz), sample_rate_hz)
    (result,), _ = score_clip(path, "clip", [Late()], CLASSIC)
    assert result.scores == pytest.approx(PERFECT, abs=2e-3)
    assert result.delay_ms == 0 and result.note == ""


def test_noise_lowers_every_score_and_more_noise_more(speech_like) -> None:
    speech = speech_like(2.5)
    noise = np.random.default_rng(0).standard_normal(len(speech)).astype(np.float32)
    for metric in CLASSIC:
        scores = [metric.measure(Original(speech), speech + level * noise)[metric.name] for level in (0, 0.003, 0.1)]
        assert scores[0] > scores[1] > scores[2], metric.name


def test_a_clip_without_a_score_says_why(speech_like, monkeypatch: pytest.MonkeyPatch) -> None:
    speech, silence = speech_like(1.5), np.zeros(36_000, np.float32)
    for metric in CLASSIC:
        with pytest.raises(UndefinedError, match="the original is silent"):
            metric.measure(Original(silence), speech)
        for length in (1, 100, 3000):
            with pytest.raises(UndefinedError, match="less than"):
                metric.measure(Original(speech[9000:][:length]), speech[9000:][:length])
    with pytest.raises(UndefinedError, match=r"less than 0\.4 s of speech"):
        stoi(np.concatenate([speech[9000:12_000], silence]), np.concatenate([speech[9000:12_000], silence]))
    with pytest.raises(UndefinedError, match="the decoded signal is silent"):
        pesq_wb(speech, silence)
    with monkeypatch.context() as patch:
        patch.setattr(pesq, "pesq", Mock(side_effect=pesq.NoUtterancesError("-6")))
        with pytest.raises(UndefinedError, match="no speech"):
            pesq_wb(speech, speech)
    assert stoi(speech, silence) == pytest.approx(0, abs=1e-6)


def test_a_missing_package_names_the_extra(speech_like, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, measure in (("pesq", pesq_wb), ("pystoi", stoi)):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, None)  # what Python takes for "cannot be imported"
            with pytest.raises(MissingExtraError, match=rf"{name} is not installed: pip install 'q2d2\[evaluate\]'"):
                measure(speech_like(1.0), speech_like(1.0))
    with monkeypatch.context() as patch:
        patch.setattr("q2d2.evaluate.metrics.base.find_spec", lambda name: None)
        for metric in CLASSIC:
            assert "not installed: pip install 'q2d2[evaluate]'" in metric.missing()


def test_a_peer_is_realigned_and_a_model_of_ours_is_not(speech_like, audio_file) -> None:
    path = audio_file(speech_like(2.5))
    delay = round(0.020 * RATE_HZ)
    (ours, theirs), _ = score_clip(path, "clip", [Late(delay, False, "ours"), Late(delay, True, "theirs")], CLASSIC)
    assert ours.delay_ms == theirs.delay_ms == 20
    assert theirs.scores["stoi"] == pytest.approx(1, abs=1e-3) and ours.scores["stoi"] < 0.9
    (error,) = misaligned("ours", [ours, theirs])
    assert "ours: its output lags by +20.0 ms" in error


# -- peers -------------------------------------------------------------------------------------------------------------

# An Ogg file with two packets of headers, then the input as one packet of many segments over two pages.
OPUSENC = """
def page(segments):
    return b"OggS" + bytes(22) + bytes([len(segments)]) + bytes(map(len, segments)) + b"".join(segments)
data = open(source, "rb").read()
parts = [data[i:i + 255] for i in range(0, len(data) + 1, 255)]
pages = [[b"OpusHead"], [b"T" * 255, b"ags"]] + [parts[i:i + 255] for i in range(0, len(parts), 255)]
open(target, "wb").write(b"".join(map(page, pages)))
"""
OPUSDEC = """
data, wav, pages = open(source, "rb").read(), b"", 0
while data:
    start = 27 + data[26]
    stop = start + sum(data[27:start])
    wav += data[start:stop] if pages >= 2 else b""
    data, pages = data[stop:], pages + 1
open(target, "wb").write(wav)
"""
COPY = 'open(target, "wb").write(open(source, "rb").read())'
TWENTY_MS_LATE = 'open(target, "wb").write(bytes(320) + open(source, "rb").read())'

Programs = Callable[..., None]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """`programs(name=body, ...)`: the only programs on the PATH; `source` and `target` are their last arguments."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def install(**bodies: str) -> None:
        for name, body in bodies.items():
            script = folder / name
            script.write_text(f"#!{sys.executable} -SE\nimport sys\nsource, target = sys.argv[-2:]\n{body}\n")
            script.chmod(0o755)

    return install


def test_opus_sizes_are_those_of_its_file_and_of_its_packets(programs: Programs, speech_like) -> None:
    programs(opusenc=OPUSENC, opusdec=OPUSDEC)
    speech = speech_like(2.0)
    coded = Opus(6.0).code(Clip("a.wav", speech, RATE_HZ))
    assert coded.sample_rate_hz == RATE_HZ and np.abs(coded.samples - speech).max() < 1e-4
    assert coded.payload_bytes == 44 + 2 * len(speech)  # a WAV
    segments = coded.payload_bytes // 255 + 1
    pages = 2 + -(-segments // 255)
    assert coded.file_bytes == 27 * pages + 3 + segments + len("OpusHead") + 258 + coded.payload_bytes


def test_codec2_is_scored_at_8_khz_and_its_delay_compensated(programs: Programs, speech_like, audio_file) -> None:
    programs(c2enc=COPY, c2dec=TWENTY_MS_LATE)
    path = audio_file(speech_like(2.51))
    (result,), indices = score_clip(path, "clip", [Codec2()], CLASSIC)
    assert result.delay_ms == pytest.approx(20, abs=0.2) and indices is None
    assert result.file_bytes == result.payload_bytes == 2 * 126 * 160  # whole frames of 20 ms
    assert result.scores["stoi"] > 0.99  # whose bands end at 4.3 kHz
    assert result.scores["pesq_nb"] > 4 > result.scores["pesq_wb"]


def test_a_program_that_fails_is_an_error_in_its_own_words(programs: Programs, speech_like) -> None:
    programs(c2enc='sys.exit("no such mode")', c2dec=COPY)
    with pytest.raises(PeerError, match="c2enc failed with status 1: no such mode"):
        Codec2().code(Clip("a.wav", speech_like(0.5), RATE_HZ))


def test_what_is_missing_is_named_with_its_package(programs: Programs) -> None:
    assert Opus(6.0).missing() == (
        "opusenc and opusdec are not on the PATH: install opus-tools (Debian, Ubuntu: apt install opus-tools)"
    )
    programs(c2enc=COPY)
    assert Codec2().missing() == "c2dec is not on the PATH: install codec2 (Debian, Ubuntu: apt install codec2)"


def test_peers_by_name() -> None:
    assert [peer(name).name for name in ("opus-6", "opus-8.5", "codec2-700C")] == ["opus-6", "opus-8.5", "codec2-700C"]
    for name in ("opus", "opus-x", "opus-5", "opus-nan", "codec2-9", "speex-8"):
        with pytest.raises(PeerError, match="there is no peer"):
            peer(name)
    with pytest.raises(PeerError, match="no Ogg page begins at byte 0"):
        ogg_packet_bytes(b"RIFF....", skip=2)


REAL = [
    pytest.param(system, marks=pytest.mark.skipif(bool(why), reason=f"{system.name}: {why}"), id=system.name)
    for system in (Opus(8.0), Codec2())
    for why in [system.missing()]
]


@pytest.mark.parametrize("system", REAL)
def test_the_real_programs_do_what_ours_pretend(system: peers.System, speech_like, audio_file) -> None:
    path = audio_file(speech_like(3.0, 22_050), 22_050)
    (result,), _ = score_clip(path, "clip", [system], CLASSIC)
    assert abs(result.delay_ms - (20 if isinstance(system, Codec2) else 0)) <= 2.5
    assert result.scores["stoi"] > 0.6
    assert 2000 < 8 * result.payload_bytes / result.duration_s <= 8 * result.file_bytes / result.duration_s < 12_000


# -- all of it ---------------------------------------------------------------------------------------------------------


def test_an_evaluation_writes_a_complete_row_for_every_clip_and_system(
    model: str, programs: Programs, tmp_path: Path, speech_like, audio_file
) -> None:
    programs(c2enc=COPY, c2dec=COPY)
    audio_file(speech_like(1.5), name="data/a.wav")
    audio_file(speech_like(1.2, 16_000, seed=1), 16_000, name="data/more/b.flac")
    audio_file(np.zeros(24_000, np.float32), name="data/silence.wav")
    out = tmp_path / "out"
    config = EvaluateConfig(tmp_path / "data", out, model, ("1k", "7k"), ("codec2-3200", "opus-6"), CHOSEN, jobs=1)
    found = evaluate(config)
    rows = list(csv.DictReader(io.StringIO((out / "rows.csv").read_text())))
    systems = ["original", "tiny 1k", "tiny 7k", "codec2-3200", "opus-6"]
    clips = ["a.wav", "more/b.flac", "silence.wav"]
    assert [(r["system"], r["clip"]) for r in rows] == [(system, clip) for system in systems for clip in clips]
    for one in rows:
        have = {name for name in ("file_bytes", "payload_bytes", *PERFECT) if one[name]}
        sizes = set() if one["system"] == "original" else {"file_bytes", "payload_bytes"}
        if one["system"] == "opus-6":
            assert not have and "opus-tools" in one["note"]
        elif one["clip"] == "silence.wav":
            assert have == sizes and one["note"].count("the original is silent") == 3
        else:
            assert have == sizes | set(PERFECT)
            assert one["note"] == ("it is not coded" if one["system"] == "original" else "")
        assert bool(one["tokens"]) == one["system"].startswith("tiny")
    table = (out / "table.md").read_text()
    assert table.rstrip() == found.report
    assert "| opus-6 | –[^3] | –[^3] | –[^3] | –[^3] | –[^3] | 0 |" in table and "3 clips, 4 s" in table
    assert [line.startswith("**ERROR**") for line in table.splitlines()].count(True) == len(found.errors)
    assert read_rows((out / "rows.csv").read_text()) == found.rows
    parquet = pandas.read_parquet(out / "rows.parquet")
    assert parquet["clip"].tolist() == [r["clip"] for r in rows]
    for name in ("tokens", "stoi"):
        assert [None if pandas.isna(v) else v for v in parquet[name]] == [
            None if r[name] == "" else float(r[name]) for r in rows
        ]
    assert (out / "table.tex").read_text().count(r"\begin{tabular}") == 4


def test_what_a_metric_lacks_is_a_footnote_and_its_scores_are_dashes(
    model: str, tmp_path: Path, speech_like, audio_file, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = audio_file(speech_like(1.5), name="data/a.wav")
    lacking = replace(CLASSIC[0], missing=lambda: "pesq not installed: do this")
    monkeypatch.setattr("q2d2.evaluate.run.METRICS", (lacking, CLASSIC[2]))
    monkeypatch.setattr("q2d2.evaluate.report.GROUPED", {"Scores": (lacking, CLASSIC[2])})
    found = evaluate(EvaluateConfig(path.parent, tmp_path / "out", model, ("1k",), (), jobs=1))
    assert [row.scores["pesq_wb"] for row in found.rows] == [None, None]
    assert all(row.scores["stoi"] is not None and "pesq" not in row.note for row in found.rows)
    assert "| original | –[^2] | 1.000 |" in found.report and "[^2]: pesq not installed: do this" in found.report


def test_a_manifest_and_transcripts_beside_the_clips(
    model: str, tmp_path: Path, speech_like, audio_file, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str | None] = []

    def listen(original: Original, decoded: np.ndarray) -> dict[str, float]:
        said.append(original.transcript)
        return {"one": 1.0, "two": math.nan}

    ear = Metric("ear", (Score("one", "One", 1), Score("two", "Two", 1)), listen, "Hears.")
    monkeypatch.setattr("q2d2.evaluate.run.METRICS", (ear,))
    for name in "ab":
        audio_file(speech_like(0.5), name=f"data/{name}.wav")
    (tmp_path / "data" / "a.normalized.txt").write_text(" Good morning.\n")
    manifest = tmp_path / "clips.txt"
    manifest.write_text("data/b.wav\ndata/a.wav\n")
    found = evaluate(EvaluateConfig(manifest, tmp_path / "out", model, ("1k",), (), jobs=1))
    assert [row.clip for row in found.rows] == ["data/b.wav", "data/a.wav"] * 2
    assert said == [None, None, "Good morning.", "Good morning."]
    assert found.rows[0].scores == {"one": 1.0, "two": None} and "Two: not a finite number" in found.rows[0].note


def test_sizes_and_tokens_are_those_of_the_files(model: str, tmp_path: Path, speech_like, audio_file) -> None:
    path = audio_file(speech_like(1.5), name="data/a.wav")
    found = evaluate(EvaluateConfig(path.parent, tmp_path / "out", model, peers=(), metrics=CHOSEN, jobs=1))
    codec = checkpoint.load(model)
    wav = audio.to_mono(audio.read(path)[0])
    rows = found.rows[1:]  # without the original's
    assert [r.file_bytes for r in rows] == [len(codec.compress(wav, RATE_HZ, rate)) for rate in ("1k", "3k", "7k")]
    frames = 80
    for result, rate in zip(rows, ("1k", "3k", "7k"), strict=True):
        bits = frames * codec.bitrate_bps(rate) / codec.frame_rate_hz
        assert bits <= 8 * result.payload_bytes < bits + 80
        assert result.tokens == frames * codec.num_pairs(rate)
    assert [column.sum() for column in found.counts] == [frames] * 4
    indices = codec.encode(wav, RATE_HZ).indices.numpy()
    lines = (tmp_path / "out" / "tokens.csv").read_text().splitlines()
    assert f"3,{indices[0, 3]},{(indices[:, 3] == indices[0, 3]).sum()}" in lines


def test_an_interrupted_evaluation_goes_on_with_the_clips_that_are_left(
    model: str, tmp_path: Path, speech_like, audio_file, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        audio_file(speech_like(0.8, seed=ord(name)), name=f"data/{name}.wav")
    heard: list[int] = []
    stop_at: list[int] = [4]

    def listen(original: Original, decoded: np.ndarray) -> dict[str, float]:
        heard.append(len(heard))
        if heard[-1] in stop_at:
            raise KeyboardInterrupt
        return {"ear": float(np.abs(decoded).mean())}

    monkeypatch.setattr("q2d2.evaluate.run.METRICS", (Metric("ear", (Score("ear", "Ear", 1),), listen, "Hears."),))
    config = EvaluateConfig(tmp_path / "data", tmp_path / "out", model, ("1k",), (), jobs=1)
    with pytest.raises(KeyboardInterrupt):
        evaluate(config)
    unfinished = tmp_path / "out" / "unfinished.jsonl"
    assert heard == [0, 1, 2, 3, 4] and unfinished.is_file()
    with unfinished.open("a") as file:
        file.write('{"clip": "c.wav", "ro')  # as the power fails
    resumed = evaluate(config)
    assert len(heard) == 7 and not unfinished.exists()  # two systems of the one clip that was left
    whole = evaluate(replace(config, out=tmp_path / "whole"))
    assert resumed == whole._replace(counts=resumed.counts)
    assert all((one == other).all() for one, other in zip(resumed.counts, whole.counts, strict=True))
    stop_at.append(len(heard) + 3)
    with pytest.raises(KeyboardInterrupt):
        evaluate(config)
    before = len(heard)
    evaluate(replace(config, rates=("3k",)))  # another question
    assert len(heard) == before + 6


def test_what_is_wrong_shows_before_the_work(model: str, tmp_path: Path, speech_like, audio_file) -> None:
    path = audio_file(speech_like(0.5), name="data/a.wav")
    config = EvaluateConfig(path.parent, tmp_path / "out", model)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ValueError, match="no rate '2k'"):
        evaluate(replace(config, rates=("2k",)))
    with pytest.raises(PeerError, match="no peer 'mp3'"):
        evaluate(replace(config, peers=("mp3",)))
    with pytest.raises(ValueError, match="0 jobs"):
        replace(config, jobs=0)
    with pytest.raises(ValueError, match="no metric loudness: give some of pesq_wb"):
        replace(config, metrics=("stoi", "loudness"))
    with pytest.raises(ValueError, match="two systems are called opus-6"):
        evaluate(replace(config, peers=("opus-6", "opus-6.0")))
    with pytest.raises(audio.AudioError, match="holds no audio"):
        evaluate(replace(config, data=empty))
    assert not (tmp_path / "out").exists()


def test_as_a_program_on_two_processes_it_gives_what_one_gives(
    model: str, tmp_path: Path, speech_like, audio_file
) -> None:
    for name in "abc":
        path = audio_file(speech_like(1.0, seed=ord(name)), name=f"data/{name}.wav")
    config = EvaluateConfig(path.parent, tmp_path / "one", model, ("3k",), (), ("stoi",), jobs=1)
    one = evaluate(config)
    options = {
        "--model": model,
        "--data": path.parent,
        "--out": tmp_path / "two",
        "--rates": "3k",
        "--jobs": 2,
        "--metrics": "stoi",
    }
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "q2d2",
            "evaluate",
            *(str(part) for item in options.items() for part in item),
            "--peers",
        ],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == bool(one.errors), done.stderr
    assert done.stdout.rstrip() == one.report
    for name in ("rows.csv", "tokens.csv", "table.md"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
