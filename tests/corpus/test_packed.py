"""Packed corpora: what is read, what is cached, what is refused; and packing one."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
import soundfile

from q2d2 import audio
from q2d2.corpus import Corpus, CorpusError, PackedUtterances, describe, find_utterances, is_packed, pack, read_index

BLOCK_S = 0.4


@pytest.fixture
def decoding(monkeypatch) -> list[tuple[str, int]]:
    """The file and first sample of every block that is decoded."""
    seen, read = [], audio.read_int16

    def noted(file: Path, start: int, samples: int) -> np.ndarray:
        seen.append((file.name, start))
        return read(file, start, samples)

    monkeypatch.setattr(audio, "read_int16", noted)
    return seen


def test_the_parts_are_grouped_by_source_and_not_decoded(packed_corpus, decoding):
    sources = {source.name: source for source in Corpus(packed_corpus).sources}
    assert list(sources) == ["choir", "solo"]
    assert (sources["choir"].speakers, sources["solo"].speakers) == (3, 1)
    assert sources["choir"].files == ("choir-0.opus", "choir-1.opus")
    assert [len(part) for part in sources["choir"].parts] == [72_000, 60_000]
    assert not decoding


@pytest.mark.parametrize("cached", [False, True])
def test_a_slice_is_the_same_whatever_was_read_before(packed_corpus, tmp_path, decoding, cached):
    cache = tmp_path / "cache" if cached else None
    whole = [part[:] for part in Corpus(packed_corpus, block_s=BLOCK_S).parts]
    parts = Corpus(packed_corpus, cache, BLOCK_S).parts
    decoding.clear()
    for where in (slice(48_000, 48_001), slice(9_599, 9_601), slice(-5, None), slice(3, 71_000), slice(70, 60)):
        np.testing.assert_array_equal(parts[0][where], whole[0][where])
    assert [start for _, start in decoding[:4]] == [48_000, 0, 9_600, 67_200]  # each once, and no other
    assert sorted(start for _, start in decoding) == list(range(0, 72_000, 9_600))
    with ThreadPoolExecutor(4) as pool:
        starts = np.random.default_rng(0).permutation(40_000)[:200].tolist()
        slices = list(pool.map(lambda start: parts[1][start : start + 20_000], starts))
    for start, got in zip(starts, slices, strict=True):
        np.testing.assert_array_equal(got, whole[1][start : start + 20_000])
    assert len(decoding) == len(set(decoding))  # no block twice, however many threads want it
    with pytest.raises(ValueError, match="steps of 2"):
        parts[0][::2]


def test_blocks_are_those_of_the_file_decoded_straight_on(packed_corpus):
    corpus = Corpus(packed_corpus, block_s=BLOCK_S)
    for part, described in zip(corpus.parts, corpus.index, strict=True):
        straight, _ = soundfile.read(packed_corpus / described.file)
        difference = part[:] / 32768 - straight
        assert 20 * np.log10(difference.std() / straight.std()) < -40


def test_blocks_are_decoded_side_by_side(packed_corpus, monkeypatch):
    together, read = Barrier(2), audio.read_int16

    def meeting(file: Path, start: int, samples: int) -> np.ndarray:
        together.wait(60)
        return read(file, start, samples)

    monkeypatch.setattr(audio, "read_int16", meeting)
    part = Corpus(packed_corpus, block_s=BLOCK_S).parts[0]
    with ThreadPoolExecutor(2) as pool:
        assert [len(got) for got in pool.map(lambda start: part[start : start + 9], (0, 9_600))] == [9, 9]


def test_everything_can_be_decoded_at_once(packed_corpus, decoding):
    corpus = Corpus(packed_corpus, block_s=BLOCK_S)
    before = corpus.parts[1][:10_000]
    corpus.decode_all()
    assert len(decoding) == len(set(decoding)) == 8 + 7 + 5
    np.testing.assert_array_equal(corpus.parts[1][:10_000], before)
    assert len(decoding) == 20


def test_bad_corpora_are_refused(packed_corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"index\.json"):
        Corpus(tmp_path / "nothing")
    file = packed_corpus / "index.json"
    index = json.loads(file.read_text())
    for wrong, reason in (
        ("{", "index of a packed corpus"),
        ("[]", "lists no parts"),
        (json.dumps([index[0] | {"samples": "many"}]), "0.samples"),
    ):
        file.write_text(wrong)
        with pytest.raises(CorpusError, match=reason):
            Corpus(packed_corpus)
    index[1]["utterances"][0]["samples"] += 1
    file.write_text(json.dumps(index))
    with pytest.raises(CorpusError, match=r"choir-1\.opus: holds 60000 samples, which is not what index\.json says"):
        Corpus(packed_corpus)
    (packed_corpus / index[0]["file"]).write_bytes(b"not audio")
    with pytest.raises(audio.AudioError, match=index[0]["file"]):
        Corpus(packed_corpus)


def test_a_damaged_part_is_named_when_the_damage_is_met(packed_corpus):
    file = packed_corpus / "choir-0.opus"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 255
    file.write_bytes(data)
    corpus = Corpus(packed_corpus, block_s=BLOCK_S)
    assert len(corpus.parts[0][:9_600]) == 9_600
    with pytest.raises(audio.AudioError, match=r"choir-0\.opus: is damaged after .* s; replace it"):
        corpus.parts[0][:]
    with pytest.raises(audio.AudioError, match=r"choir-0\.opus: is damaged"):
        corpus.decode_all()
    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(CorpusError, match=r"choir-0\.opus: holds"):
        Corpus(packed_corpus)


def test_the_cache_holds_the_same_samples_and_is_read_instead_of_the_parts(packed_corpus, tmp_path, decoding):
    plain, cached = (Corpus(packed_corpus, cache, BLOCK_S) for cache in (None, tmp_path / "cache"))
    plain.decode_all()
    cached.decode_all()
    decoding.clear()
    assert len(list((tmp_path / "cache").glob("*/*"))) == 20
    for corpus in (cached, Corpus(packed_corpus, tmp_path / "cache", BLOCK_S)):
        for again, decoded in zip(corpus.parts, plain.parts, strict=True):
            np.testing.assert_array_equal(again[:], decoded[:])
    assert not decoding
    (file,) = (tmp_path / "cache").glob("solo-2-*/9600-19200.int16")
    os.truncate(file, 100)
    np.testing.assert_array_equal(cached.parts[2][9_000:20_000], plain.parts[2][9_000:20_000])
    assert decoding == [("solo-2.opus", 9_600)]


def test_other_blocks_and_a_changed_part_are_decoded_again(packed_corpus, tmp_path, decoding, speech_like):
    old = Corpus(packed_corpus, tmp_path / "cache", BLOCK_S).parts[2][:]
    Corpus(packed_corpus, tmp_path / "cache", 0.5).decode_all()
    assert len(decoding) == 5 + (6 + 5 + 4)
    soundfile.write(packed_corpus / "solo-2.opus", speech_like(2.0, seed=9), 24_000, format="OGG", subtype="OPUS")
    new = Corpus(packed_corpus, tmp_path / "cache", BLOCK_S).parts[2][:]
    assert np.corrcoef(old, new)[0, 1] < 0.5


def test_an_interrupted_cache_leaves_no_block(packed_corpus, tmp_path, monkeypatch):
    def broken(samples):
        raise KeyboardInterrupt

    monkeypatch.setattr(audio.reading, "to_mono", broken)
    with pytest.raises(KeyboardInterrupt):
        Corpus(packed_corpus, tmp_path / "cache").parts[0][:]
    assert not list((tmp_path / "cache").glob("*/*"))


def test_a_killed_process_leaves_whole_blocks_only(packed_corpus, tmp_path):
    cache, files = tmp_path / "cache", []
    code = "import sys, pathlib, q2d2.corpus as c; c.Corpus(*map(pathlib.Path, sys.argv[1:]), 0.1).decode_all()"
    with subprocess.Popen([sys.executable, "-c", code, packed_corpus, cache]) as process:
        while process.poll() is None and len(files) < 20:
            files = list(cache.glob("*/*.int16"))
        process.kill()
    assert 20 <= len(files) <= 75
    plain, cached = Corpus(packed_corpus, block_s=0.1), Corpus(packed_corpus, cache, 0.1)
    for part, again in zip(plain.parts, cached.parts, strict=True):
        np.testing.assert_array_equal(again[:], part[:])


# Packing


@pytest.fixture
def folder(audio_file, speech_like) -> Path:
    """Two speakers at three rates, and what cannot be used."""
    audio_file(0.1 * speech_like(1.5, 16_000, seed=1), 16_000, "talks/anna/a.flac")
    audio_file(np.stack([speech_like(0.7, 24_000, seed=2)] * 2, axis=1), 24_000, "talks/anna/b.wav")
    audio_file(speech_like(1.1, 44_100, seed=3), 44_100, "talks/bert/c.ogg")
    audio_file(np.zeros(24_000), 24_000, "talks/bert/silent.wav")
    short = audio_file(speech_like(0.1), 24_000, "talks/bert/short.wav")
    (short.parent / "broken.flac").write_bytes(b"fLaC and nothing else")
    return short.parent.parent


def test_packing_gives_the_same_audio(folder, tmp_path):
    packed = pack(folder, tmp_path / "out", {"talks": "CC0"})
    assert {Path(file).name: why.split("(")[0] for file, why in packed.skipped.items()}.keys() == {
        "silent.wav",
        "short.wav",
        "broken.flac",
    }
    assert "silent" in packed.skipped[f"{folder}/bert/silent.wav"]
    (part,) = packed.parts
    assert read_index(tmp_path / "out") == (part,)
    assert (part.file, part.source, part.licence, part.sample_rate_hz) == ("talks-0.opus", "talks", "CC0", 24_000)
    assert [(s.speaker, s.recorded_hz, s.samples) for s in part.utterances] == [
        ("anna", 16_000, 36_000),
        ("anna", 24_000, 16_800),
        ("bert", 44_100, 26_400),
    ]
    assert [s.start for s in part.utterances] == [0, 38_400, 57_600]
    assert (packed.utterances, packed.hours) == (3, 79_200 / 24_000 / 3600)

    corpus = Corpus(tmp_path / "out")
    assert len(corpus.parts[0][:]) == part.samples == 84_000
    utterances = PackedUtterances(corpus)
    for number, name in enumerate(("anna/a.flac", "anna/b.wav", "bert/c.ogg")):
        samples, rate_hz = audio.read(folder / name)
        original = audio.resample(audio.to_mono(samples), rate_hz, 24_000)
        got = np.concatenate(list(utterances.part(number, 0, 10**9)))
        assert np.corrcoef(got, original)[0, 1] > 0.98
        assert abs(np.abs(got).max() - 0.7) < 0.1


def test_parts_are_filled_up_to_their_length(folder, tmp_path):
    packed = pack(folder, tmp_path / "out", part_minutes=2.5 / 60)
    assert [[s.samples for s in part.utterances] for part in packed.parts] == [[36_000, 16_800], [26_400]]
    assert [part.file for part in packed.parts] == ["talks-0.opus", "talks-1.opus"]
    short = pack(folder, tmp_path / "short", part_minutes=1 / 60)  # longer files are cut
    assert [[s.samples for s in part.utterances] for part in short.parts] == [
        [18_000],
        [18_000],
        [16_800],
        [13_200],
        [13_200],
    ]


def test_packing_several_sources(folder, tmp_path, audio_file, speech_like):
    audio_file(speech_like(0.5), 24_000, "LJ/wavs/LJ001-0001.wav")
    (tmp_path / "LJ" / "metadata.csv").write_text("LJ001-0001|a|a\n")
    both = [*find_utterances(folder), *find_utterances(tmp_path / "LJ")]
    packed = pack(both, tmp_path / "out")
    assert [(part.file, part.licence) for part in packed.parts] == [
        ("ljspeech-0.opus", "public domain"),
        ("talks-0.opus", "unknown"),
    ]


def test_packing_refuses_to_overwrite_and_to_pack_nothing(folder, packed_corpus, tmp_path, audio_file):
    with pytest.raises(CorpusError, match="holds a packed corpus already"):
        pack(folder, packed_corpus)
    audio_file(np.zeros(24_000), 24_000, "mute/a.wav")
    with pytest.raises(CorpusError, match=r"no file can be used: .*a\.wav is silent"):
        pack(tmp_path / "mute", tmp_path / "out")
    assert not is_packed(tmp_path / "out") and not list((tmp_path / "out").iterdir())


# Describing


def test_a_row_for_each_source(packed_corpus, folder):
    choir, solo, everything = describe(packed_corpus)
    assert (choir.source, choir.utterances, choir.speakers, choir.licence) == ("choir", 3, 3, "CC0")
    assert (solo.recorded_hz, solo.hours) == ((24_000,), 2 / 3600)
    assert (everything.source, everything.utterances, everything.speakers) == ("all", 4, 4)
    (talks,) = describe(folder)
    assert (talks.source, talks.utterances, talks.speakers, talks.licence) == ("talks", 5, 2, "unknown")
    assert (talks.recorded_hz, talks.unreadable) == ((16_000, 24_000, 44_100), 1)
    assert talks.hours == pytest.approx((1.5 + 0.7 + 1.1 + 1 + 0.1) / 3600, rel=1e-4)
