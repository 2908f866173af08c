"""Packed corpora: what is read, what is cached, what is refused; and packing one."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from q2d2 import audio
from q2d2.corpus import Corpus, CorpusError, PackedUtterances, describe, find_utterances, is_packed, pack, read_index


def test_the_parts_are_decoded_and_grouped_by_source(packed_corpus: Path) -> None:
    sources = {source.name: source for source in Corpus(packed_corpus).sources}
    assert list(sources) == ["choir", "solo"]
    assert (sources["choir"].speakers, sources["solo"].speakers) == (3, 1)
    assert sources["choir"].files == ("choir-0.opus", "choir-1.opus")
    assert [len(part) for part in sources["choir"].parts] == [72_000, 60_000]
    assert all(part.dtype == np.int16 for source in sources.values() for part in source.parts)


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
    with pytest.raises(CorpusError, match=r"choir-1\.opus: is shorter than index\.json says"):
        Corpus(packed_corpus)
    (packed_corpus / index[0]["file"]).write_bytes(b"not audio")
    with pytest.raises(audio.AudioError, match=index[0]["file"]):
        Corpus(packed_corpus)


def test_the_cache_holds_the_same_samples_and_is_read_instead_of_the_parts(packed_corpus, tmp_path, monkeypatch):
    plain, cached = Corpus(packed_corpus), Corpus(packed_corpus, tmp_path / "cache")
    files = sorted((tmp_path / "cache").iterdir())
    assert len(files) == 3 and all(file.suffix == ".int16" for file in files)
    monkeypatch.setattr(audio, "open_blocks", None)  # nothing is decoded any more
    for corpus in (cached, Corpus(packed_corpus, tmp_path / "cache")):
        for mapped, decoded in zip(corpus.decoded, plain.decoded, strict=True):
            np.testing.assert_array_equal(mapped, decoded)
            assert not mapped.flags.writeable


def test_a_changed_part_is_decoded_again(packed_corpus, tmp_path, speech_like):
    Corpus(packed_corpus, tmp_path / "cache")
    soundfile.write(packed_corpus / "solo-2.opus", speech_like(2.1, seed=9), 24_000, format="OGG", subtype="OPUS")
    assert len(Corpus(packed_corpus, tmp_path / "cache").decoded[2]) == 50_400
    assert len(list((tmp_path / "cache").iterdir())) == 4


def test_an_interrupted_cache_leaves_nothing(packed_corpus, tmp_path, monkeypatch):
    def broken(samples):
        raise KeyboardInterrupt

    monkeypatch.setattr(audio, "to_mono", broken)
    with pytest.raises(KeyboardInterrupt):
        Corpus(packed_corpus, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


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
    assert len(corpus.decoded[0]) == part.samples == 84_000
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
