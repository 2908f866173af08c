"""The layouts of data sets and manifests: tiny folders of empty files, since only names are looked at."""

import json
from pathlib import Path

import pytest

from q2d2.corpus import CorpusError, find_utterances


def make(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def found(path: Path, root: Path | None = None) -> list[tuple[str, str, str]]:
    return [(str(u.path.relative_to(root or path)), u.speaker, u.source) for u in find_utterances(path)]


LIBRITTS = [
    "train-clean-100/19/198/19_198_000000_000002.wav",
    "train-clean-360/26/495/26_495_000004_000000.wav",
    "train-other-500/25/123319/25_123319_000010_000001.wav",
]


def test_libritts_with_its_splits_and_texts(tmp_path):
    make(tmp_path, *LIBRITTS, "dev-clean/84/121123/84_121123_000007_000001.wav", "test-other/1/2/1_2_000000_000002.wav")
    make(tmp_path, "train-clean-100/19/198/19_198_000000_000002.normalized.txt", "speakers.tsv", "README.txt")
    assert found(tmp_path) == [
        (name, speaker, "libritts") for name, speaker in zip(LIBRITTS, ("19", "26", "25"), strict=True)
    ]
    assert found(tmp_path / "dev-clean") == [("84/121123/84_121123_000007_000001.wav", "84", "libritts")]


def test_held_out_splits_are_taken_when_nothing_else_is_there(tmp_path):
    make(tmp_path, "test-clean/61/70968/61-70968-0000.flac", "dev-clean/84/121123/84-121123-0000.flac")
    assert [speaker for _, speaker, _ in found(tmp_path)] == ["84", "61"]


def test_librispeech_given_by_its_root_or_by_one_split(tmp_path):
    make(tmp_path, "LibriSpeech/train-clean-100/103/1240/103-1240-0000.flac")
    expected = [("103/1240/103-1240-0000.flac", "103", "librispeech")]
    for start in ("LibriSpeech/train-clean-100", "LibriSpeech", ""):
        assert found(tmp_path / start, tmp_path / "LibriSpeech/train-clean-100") == expected


def test_vctk_with_two_microphones(tmp_path):
    make(tmp_path, *(f"wav48_silence_trimmed/p225/p225_00{n}_mic{m}.flac" for n in (1, 2) for m in (1, 2)))
    make(tmp_path, "txt/p225/p225_001.txt")
    expected = [(f"wav48_silence_trimmed/p225/p225_00{n}_mic1.flac", "p225", "vctk") for n in (1, 2)]
    assert found(tmp_path) == expected
    assert found(tmp_path / "wav48_silence_trimmed", tmp_path) == expected


def test_the_old_vctk(tmp_path):
    make(tmp_path, "wav48/p225/p225_001.wav", "wav48/p226/p226_001.wav")
    assert [speaker for _, speaker, _ in found(tmp_path)] == ["p225", "p226"]


def test_ljspeech(tmp_path):
    make(tmp_path, "wavs/LJ001-0001.wav", "wavs/LJ001-0002.wav", "wavs/unlisted.wav")
    (tmp_path / "metadata.csv").write_text('LJ001-0001|Said "so|said "so\nLJ001-0002|b|b\n')
    assert found(tmp_path) == [(f"wavs/LJ001-000{n}.wav", "ljspeech", "ljspeech") for n in (1, 2)]
    (tmp_path / "metadata.csv").write_text("LJ001-0001|a|a\n\n")
    with pytest.raises(CorpusError, match=r"metadata\.csv, line 2"):
        find_utterances(tmp_path)


@pytest.mark.parametrize("table", ["train.tsv", "validated.tsv"])
def test_common_voice_takes_what_its_table_lists(tmp_path, table):
    make(tmp_path, *(f"clips/common_voice_de_{n}.mp3" for n in range(3)))
    (tmp_path / "test.tsv").write_text("client_id\tpath\nz\tcommon_voice_de_2.mp3\n")
    rows = ['a1\tcommon_voice_de_0.mp3\t"Er sagte\t2', "b2\tcommon_voice_de_1.mp3\tJa\t2"]
    (tmp_path / table).write_text("\n".join(["client_id\tpath\tsentence\tup_votes", *rows]) + "\n")
    assert found(tmp_path) == [
        ("clips/common_voice_de_0.mp3", "a1", "commonvoice"),
        ("clips/common_voice_de_1.mp3", "b2", "commonvoice"),
    ]
    (tmp_path / table).write_text("client_id\tsentence\n")
    with pytest.raises(CorpusError, match=rf"{table}, line 1: the header has no column path"):
        find_utterances(tmp_path)


def test_any_folder_of_audio(tmp_path):
    make(tmp_path, "talks/anna/one/a.flac", "talks/bert/b.MP3", "talks/c.ogg", "talks/.hidden.wav", "talks/notes.txt")
    assert found(tmp_path / "talks") == [
        ("anna/one/a.flac", "anna", "talks"),
        ("bert/b.MP3", "bert", "talks"),
        ("c.ogg", "talks", "talks"),
    ]


def test_data_sets_side_by_side(tmp_path):
    make(tmp_path, "VCTK/wav48/p225/p225_001.wav", *(f"LibriTTS/{name}" for name in LIBRITTS))
    make(tmp_path, "own/anna/a.wav", "loose.wav")
    sources = [source for _, _, source in found(tmp_path)]
    assert sources == [tmp_path.name, "libritts", "libritts", "libritts", "vctk", "own"]


def test_the_same_order_every_time(tmp_path):
    make(tmp_path, *(f"{speaker}/{n}.wav" for speaker in "cab" for n in range(3)))
    names = [name for name, _, _ in found(tmp_path)]
    assert names == sorted(names) and len(names) == 9


# Manifests


def test_a_path_a_line(tmp_path):
    (tmp_path / "train.txt").write_text(f"# comment\n\n{LIBRITTS[0]}\n/else/where/b.wav\n  anna/a b.wav  \n")
    assert [(str(u.path), u.speaker, u.source) for u in find_utterances(tmp_path / "train.txt")] == [
        (f"{tmp_path}/{LIBRITTS[0]}", "19", "libritts"),
        ("/else/where/b.wav", "where", "train"),
        (f"{tmp_path}/anna/a b.wav", "anna", "train"),
    ]


def test_json_lines(tmp_path):
    rows = [{"path": "a.wav", "speaker": 7}, {"audio_filepath": "x/b.wav", "duration": 1.5, "source": "emilia"}]
    manifest = tmp_path / "m.jsonl"
    manifest.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    assert found(manifest, tmp_path) == [("a.wav", "7", "m"), ("x/b.wav", "x", "emilia")]
    for line, reason in (("{", "is not JSON"), ("[]", "should be an object"), ('{"text": ""}', "names no audio file")):
        manifest.write_text(f'{{"path": "a.wav"}}\n\n{line}\n')
        with pytest.raises(CorpusError, match=rf"m\.jsonl, line 3: {reason}"):
            find_utterances(manifest)


@pytest.mark.parametrize(("suffix", "mark"), [("csv", ","), ("tsv", "\t")])
def test_tables(tmp_path, suffix, mark):
    table = tmp_path / f"m.{suffix}"
    table.write_text(f'\ufefftext{mark}path{mark}speaker\n"hm{mark} well"{mark}a.wav{mark}anna\nx{mark}b/c.wav{mark}\n')
    assert found(table, tmp_path) == [("a.wav", "anna", "m"), ("b/c.wav", "b", "m")]
    table.write_text(f"text{mark}path\nx{mark}a.wav\ny\n")
    with pytest.raises(CorpusError, match=rf"m\.{suffix}, line 3: has fewer columns"):
        find_utterances(table)
    table.write_text("file\na.wav\n")
    with pytest.raises(CorpusError, match="line 1: the header has no column path"):
        find_utterances(table)


def test_what_holds_no_speech(tmp_path):
    for path, reason in ((tmp_path / "no", "no such folder"), (tmp_path, "holds no audio")):
        with pytest.raises(CorpusError, match=reason):
            find_utterances(path)
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(CorpusError, match=r"binary\.txt: is not a list"):
        find_utterances(tmp_path / "binary.txt")
