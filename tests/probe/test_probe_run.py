"""Embeddings against the codec's own tokens, their cache, and a whole run on tones whose pitch is the label."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from small_codecs import LIVE_TOKENS, NOT_LOCAL, make_codec

from q2d2 import audio, checkpoint
from q2d2.audio import AudioError
from q2d2.probe import Probe, ProbeConfig, ProbeError, embed, probe, report
from q2d2.probe.embed import Embedded, Embedder
from q2d2.probe.labelled import Clip
from q2d2.probe.report import Row

RATE_HZ = 24_000
MAX_S = 0.4


def tone(pitch_hz: float, duration_s: float = 0.3, seed: int = 0, rate_hz: int = RATE_HZ) -> np.ndarray:
    rng = np.random.default_rng(seed)
    time = np.arange(round(duration_s * rate_hz)) / rate_hz
    voice = 0.3 * np.sin(2 * np.pi * pitch_hz * time + rng.uniform(0, 6))
    return (voice + 0.003 * rng.standard_normal(len(time))).astype(np.float32)


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder(make_codec(LIVE_TOKENS), ("1k", "7k"))


def clips_of(folder: Path, count: int) -> list[Clip]:
    clips = []
    for number in range(count):
        path = folder / f"{number}.wav"
        audio.write(path, tone(200 + 50 * number, seed=number), RATE_HZ)
        clips.append(Clip(path, ("x",)))
    return clips


# -- one clip ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [9600, 9601])  # whole frames of the codec, and not
def test_quantized_embeddings_are_the_mean_of_what_the_tokens_stand_for(embedder: Embedder, samples: int) -> None:
    wav = tone(300, samples / RATE_HZ)
    vectors = embedder(torch.from_numpy(wav)[None])[0]
    for kind, rate in zip(embedder.representations, ("1k", "7k"), strict=False):
        indices = embedder.codec.encode(wav, RATE_HZ, rate).indices
        features = embedder.codec.quantizer.indices_to_features(indices[None])
        torch.testing.assert_close(vectors[kind.columns], features[0].mean(0), rtol=1e-4, atol=1e-5)
        assert kind.bitrate_bps == embedder.codec.bitrate_bps(rate)


def test_a_batch_gives_what_single_clips_give(embedder: Embedder) -> None:
    wavs = torch.from_numpy(np.stack([tone(f, MAX_S) for f in (150, 300, 600)]))
    alone = torch.cat([embedder(wav[None]) for wav in wavs])
    torch.testing.assert_close(embedder(wavs), alone, rtol=1e-4, atol=1e-4)


def test_ten_times_as_loud_is_ln_10_more_in_every_band(embedder: Embedder) -> None:
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal(9600).astype(np.float32)) / 10
    (mel,) = (kind.columns for kind in embedder.representations if kind.name == "mel")
    louder, plain = embedder(torch.stack([10 * noise, noise]))[:, mel]
    torch.testing.assert_close(louder - plain, torch.full((80,), np.log(10) / 2), rtol=0, atol=0.01)


def test_a_codec_that_is_not_local_and_has_no_rates() -> None:
    codec = make_codec(NOT_LOCAL)
    embedder = Embedder(codec, (None,))
    wav = tone(300, 0.5)
    features = codec.quantizer.indices_to_features(codec.encode(wav, RATE_HZ).indices[None])
    vectors = embedder(torch.from_numpy(wav)[None])
    torch.testing.assert_close(vectors[0, embedder.representations[0].columns], features[0].mean(0))
    assert [kind.name for kind in embedder.representations] == ["not-local", "unquantized", "mel"]


def test_clips_are_mono_cut_and_filled_up(audio_file: Callable[..., Path]) -> None:
    stereo = np.stack([tone(200, 1.0, rate_hz=48_000), tone(900, 1.0, 1, 48_000)], axis=1)
    path = audio_file(stereo, 48_000, subtype="FLOAT")
    whole = audio.resample(stereo.mean(axis=1), 48_000, RATE_HZ)
    cut = embed.load(Clip(path, ("x",)), RATE_HZ, 0.6)
    np.testing.assert_allclose(cut, whole[:14_400], atol=1e-4)
    filled = embed.load(Clip(path, ("x",)), RATE_HZ, 1.5)
    np.testing.assert_allclose(filled, np.pad(whole, (0, 12_000)), atol=1e-4)
    part = embed.load(Clip(path, ("x",), start_s=0.25, duration_s=0.5), RATE_HZ, 0.6)
    np.testing.assert_allclose(part[500:11_500], whole[6_500:17_500], atol=1e-4)  # apart from the filter at the cuts
    assert len(part) == 14_400 and not part[12_100:].any()


@pytest.mark.parametrize(("start_s", "duration_s"), [(2.0, None), (0.5, 0.0)])
def test_a_part_that_is_not_in_the_file(audio_file: Callable[..., Path], start_s: float, duration_s: float) -> None:
    path = audio_file(tone(200, 1.0))
    with pytest.raises(AudioError, match=r"clip\.wav: (has 24000 samples, none at|holds no samples at 0.5 s)"):
        embed.load(Clip(path, ("x",), start_s=start_s, duration_s=duration_s), RATE_HZ, 0.6)


# -- the cache ---------------------------------------------------------------------------------------------------------


def counted(monkeypatch: pytest.MonkeyPatch, fail_after: int = 10**6) -> list[int]:
    """How many clips each pass through the codec has, until it fails."""
    passes: list[int] = []
    real = Embedder.__call__

    def call(self: Embedder, wav: torch.Tensor) -> torch.Tensor:
        if len(passes) == fail_after:
            raise KeyboardInterrupt
        passes.append(len(wav))
        return real(self, wav)

    monkeypatch.setattr(Embedder, "__call__", call)
    return passes


def test_an_interrupted_run_goes_on_and_ends_the_same(
    tmp_path: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = clips_of(tmp_path, 7)
    monkeypatch.setattr(embed, "CLIPS_PER_FILE", 3)
    whole = embed.embed(clips, embedder, MAX_S, tmp_path / "whole")
    with monkeypatch.context() as patch:
        counted(patch, fail_after=2)
        with pytest.raises(KeyboardInterrupt):
            embed.embed(clips, embedder, MAX_S, tmp_path / "cut")
    passes = counted(monkeypatch)
    again = embed.embed(clips, embedder, MAX_S, tmp_path / "cut")
    assert passes == [1]
    np.testing.assert_array_equal(again.vectors, whole.vectors)
    assert not again.unusable


def test_what_changes_is_made_again(tmp_path: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = clips_of(tmp_path, 4)
    monkeypatch.setattr(embed, "CLIPS_PER_FILE", 2)
    cache = tmp_path / "cache"
    first = embed.embed(clips, embedder, MAX_S, cache)
    passes = counted(monkeypatch)

    def again() -> Embedded:
        passes.clear()
        return embed.embed(clips, embedder, MAX_S, cache)

    again()
    assert passes == []
    sorted(cache.iterdir())[0].write_bytes(b"\x93NUMPY")  # cut short
    np.testing.assert_array_equal(again().vectors, first.vectors)
    assert passes == [2]
    audio.write(clips[3].path, tone(1000, 0.2), RATE_HZ)
    changed = again().vectors
    assert passes == [2]
    assert np.isclose(changed, first.vectors).all(axis=1).tolist() == [True, True, True, False]
    embed.embed(clips, embedder, 2 * MAX_S, cache)
    embed.embed(clips, Embedder(embedder.codec, ("1k",)), MAX_S, cache)
    assert passes == [2] * 5


def test_a_bad_file_is_named_and_tried_again(
    tmp_path: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = clips_of(tmp_path, 4)
    good = clips[2].path.read_bytes()
    clips[2].path.write_bytes(b"no audio")
    for _ in range(2):
        found = embed.embed(clips, embedder, MAX_S, tmp_path / "cache")
        assert list(found.unusable) == [2] and "2.wav: is not audio" in found.unusable[2]
        assert np.isnan(found.vectors).all(axis=1).tolist() == [False, False, True, False]
    clips[2].path.write_bytes(good)
    found = embed.embed(clips, embedder, MAX_S, tmp_path / "cache")
    assert not found.unusable and not np.isnan(found.vectors).any()


# -- a whole run -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pitches of three instruments, a file that is no audio, and a model."""
    folder = tmp_path_factory.mktemp("tones")
    rows = [["path", "label", "speaker"]]
    for speaker in range(3):
        for label, pitch_hz in (("low", 150), ("middle", 500), ("high", 1700)):
            for take in range(8):
                name = f"{label}-{speaker}-{take}.wav"
                audio.write(folder / name, tone(pitch_hz * (1 + 0.02 * speaker), 0.3, seed=8 * speaker + take), RATE_HZ)
                rows.append([name, label, str(speaker)])
    (folder / "broken.wav").write_bytes(b"RIFF")
    rows.append(["broken.wav", "low", "0"])
    with (folder / "tones.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    checkpoint.save(make_codec(LIVE_TOKENS), folder / "model")
    return folder


def run(tones: Path, out: Path, **changes: object) -> Probe:
    settings = {"rates": ("1k", "7k"), "seeds": 2, "epochs": 150, "max_s": 0.3} | changes
    return probe(ProbeConfig("folders", tones / "tones.csv", out, str(tones / "model"), **settings))


def test_the_pitch_is_heard_even_through_an_untrained_codec(tones: Path, tmp_path: Path) -> None:
    found = run(tones, tmp_path)
    names = ["tiny 1k", "tiny 7k", "unquantized", "mel"]
    assert len(found.rows) == 3 * (1 + 4 * 2)
    accuracy = {}
    for name in names:
        own = [row for row in found.rows if row.representation == name]
        assert {(row.split, row.seed) for row in own} == {(str(s), seed) for s in range(3) for seed in (0, 1)}
        accuracy[name] = report.mean(own, "accuracy").value
    # the weights are random and the steps few; but chance (a third) gives half of 72 only once in 400 times
    assert accuracy["mel"] == 1 and min(accuracy.values()) > 0.5
    chance = [row for row in found.rows if row.representation == "chance"]
    assert [row.scores["accuracy"] for row in chance] == [pytest.approx(1 / 3)] * 3
    assert [(row.train_clips, row.test_clips) for row in chance] == [(48, 24)] * 3
    assert list(found.unusable) == [str(tones / "broken.wav")] and len(found.notes) == 1

    with (tmp_path / "rows.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["representation"] for row in rows] == [row.representation for row in found.rows]
    assert [float(row["macro_f1"]) for row in rows] == [row.scores["macro_f1"] for row in found.rows]
    assert (tmp_path / "table.md").read_text() == found.report + "\n"
    assert "broken.wav" in (tmp_path / "unusable.csv").read_text() and "broken.wav" in found.report
    table = [line.split(" | ") for line in found.report.splitlines() if line.startswith("| ")]
    assert [line[0].strip("| ") for line in table[2:]] == [*names, "chance"]
    spanned = {line[0].strip("| "): line[2] for line in table[2:]}
    assert spanned["tiny 1k"] == "6"  # three pairs, two channels each
    assert spanned["chance"] == "–"


def test_the_same_run_again_gives_the_same_rows(tones: Path, tmp_path: Path) -> None:
    first = run(tones, tmp_path / "a", epochs=2)
    assert run(tones, tmp_path / "a", epochs=2) == first
    assert run(tones, tmp_path / "b", epochs=2) == first


def test_several_labels_at_a_time(tmp_path: Path, tones: Path) -> None:
    truth = tmp_path / "FSD50K.ground_truth"
    truth.mkdir()
    pitches = {"a": 150, "b": 500, "c": 1700}
    sets: dict[str, list[str]] = {"dev": ["fname,labels,mids,split"], "eval": ["fname,labels,mids"]}
    for number in range(48):
        labels = [label for label, bit in zip(pitches, (1, 2, 4), strict=True) if (number % 7 + 1) & bit]
        mixed = sum(tone(pitches[label], 0.3, number) for label in labels) / 3
        subset = "dev" if number < 34 else "eval"
        path = tmp_path / f"FSD50K.{subset}_audio" / f"{number}.wav"
        path.parent.mkdir(exist_ok=True)
        audio.write(path, mixed, RATE_HZ)
        row = f'{number},"{",".join(labels)}",x'
        sets[subset].append(f"{row},train" if subset == "dev" else row)
    for name, lines in sets.items():
        (truth / f"{name}.csv").write_text("\n".join(lines) + "\n")
    config = ProbeConfig("fsd50k", tmp_path, tmp_path / "out", str(tones / "model"), ("7k",), 1, 100, 0.3)
    found = probe(config)
    assert all(set(row.scores) == {"map_macro", "map_weighted"} for row in found.rows)
    by_name = {row.representation: row.scores["map_macro"] for row in found.rows}
    assert by_name["chance"] == pytest.approx(4 / 7)  # each label is in four of the seven mixtures
    assert by_name["mel"] > 0.99
    assert "± splits" in found.report and "1 split (" in found.report


def test_the_mean_counts_splits_and_seeds_alike() -> None:
    values = {("a", 0): 0.1, ("a", 1): 0.3, ("b", 0): 0.5, ("b", 1): 0.9}
    rows = [Row("x", split, seed, 1, 1, {"accuracy": value}) for (split, seed), value in values.items()]
    found = report.mean(rows, "accuracy")
    assert found == pytest.approx((0.45, np.std([0.2, 0.7], ddof=1), np.std([0.3, 0.6], ddof=1)))
    assert report.mean(rows[:1], "accuracy") == (0.1, None, None)


def test_nothing_usable_to_train_with(tmp_path: Path, tones: Path) -> None:
    rows = ["path,label,split", "broken.wav,low,train", "low-0-0.wav,high,test"]
    table = tones / "bad.csv"
    table.write_text("\n".join(rows) + "\n")
    with pytest.raises(ProbeError, match=r"folders, split official: no usable clips to train or to test .*broken\.wav"):
        probe(ProbeConfig("folders", table, tmp_path, str(tones / "model"), max_s=0.3))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": 0}, "0 seeds"),
        ({"epochs": 0}, "0 epochs"),
        ({"max_s": 0.0}, "clips of 0 s"),
        ({"rates": ("2k",)}, "2k"),
    ],
)
def test_settings_that_make_no_sense(tones: Path, tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(tones, tmp_path, **changes)
