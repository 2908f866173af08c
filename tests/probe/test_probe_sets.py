"""Each set from a tiny folder that is laid out and named as the real one: clips, labels, and who tests when.

The readers open no audio, so the files are empty.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from q2d2.corpus.manifests import CorpusError
from q2d2.probe.labelled import Clip, ProbeError
from q2d2.probe.sets import SETS, labelled_set
from q2d2.probe.splitting import Split


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def table(path: Path, header: str, *rows: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


def read(name: str, folder: Path) -> tuple[list[Clip], list[Split]]:
    """The clips, all of which are there, and splits that lose and double none of those they use."""
    chosen = labelled_set(name)
    clips = chosen.read(folder)
    assert all(clip.path.is_file() for clip in clips)
    assert len({clip.path for clip in clips}) == len(clips)
    assert chosen.multi_label or all(len(clip.labels) == 1 for clip in clips)
    splits = chosen.splits(clips)
    for split in splits:
        assert sorted(np.concatenate(split[1:])) == list(range(len(clips)))
    return clips, splits


def stems(clips: Sequence[Clip], numbers: np.ndarray) -> set[str]:
    return {clips[i].path.stem for i in numbers}


def test_ravdess(tmp_path: Path) -> None:
    names = [f"03-01-{emotion:02}-01-02-01-{actor:02}.wav" for actor in (1, 2) for emotion in range(1, 9)]
    touch(tmp_path, *(f"Actor_{name[-6:-4]}/{name}" for name in names))
    touch(tmp_path, f"audio_speech_actors_01-24/Actor_01/{names[0]}")  # the set within the set
    touch(tmp_path, "Actor_01/03-02-03-01-01-01-01.wav")  # sung
    clips, (split,) = read("ravdess", tmp_path)
    assert [clip.path.name for clip in clips] == sorted(names)
    assert {clip.path.stem[6:8]: clip.labels[0] for clip in clips} == {
        "01": "neutral", "02": "calm", "03": "happy", "04": "sad",
        "05": "angry", "06": "fearful", "07": "disgust", "08": "surprised",
    }  # fmt: skip
    assert [len(part) for part in split[1:]] == [9, 3, 4]  # a fifth of 16, a fifth of 12, each rounded up


def test_slurp(tmp_path: Path) -> None:
    for part, intent in (("train", "calendar_set"), ("devel", "qa_factoid"), ("test", "calendar_set")):
        takes = [f"audio-{part}-{take}.flac" for take in ("1", "2-headset")]
        rows = [
            {"slurp_id": 1, "sentence": "x", "intent": intent, "recordings": [{"file": t, "wer": 0}]} for t in takes
        ]
        table(tmp_path / f"{part}.jsonl", *map(json.dumps, rows))
        touch(tmp_path, *(f"slurp_real/{take}" for take in takes))
    clips, (split,) = read("slurp", tmp_path)
    assert stems(clips, split.train) == {"audio-train-1", "audio-train-2-headset"}
    assert {clips[i].labels for i in split.val} == {("qa_factoid",)}
    assert stems(clips, split.test) == {"audio-test-1", "audio-test-2-headset"}
    (tmp_path / "devel.jsonl").write_text('{"intent": "x"}\n')
    with pytest.raises(ProbeError, match=r"devel\.jsonl, line 1: is no sentence with intent and recordings"):
        SETS["slurp"].read(tmp_path)


@pytest.mark.parametrize("root", ["", "EMOVO/"])
def test_emovo(tmp_path: Path, root: str) -> None:
    speakers = ("f1", "f2", "f3", "m1", "m2", "m3")
    touch(
        tmp_path, *(f"{root}{who}/{what}-{who}-b{i}.wav" for who in speakers for what in ("dis", "gio") for i in "12")
    )
    clips, splits = read("emovo", tmp_path)
    assert {(clip.speaker, clip.labels[0]) for clip in clips} == {(s, e) for s in speakers for e in ("dis", "gio")}
    assert [split.name for split in splits] == list(speakers)
    for split in splits:
        assert {clips[i].speaker for i in split.test} == {split.name}
        assert split.name not in {clips[i].speaker for i in [*split.train, *split.val]}
        assert len(split.val) == 2


def test_audio_mnist(tmp_path: Path) -> None:
    touch(tmp_path, *(f"data/{who:02}/{digit}_{who:02}_0.wav" for who in range(1, 61) for digit in (0, 7)))
    clips, splits = read("audiomnist", tmp_path)
    assert {clip.labels for clip in clips} == {("0",), ("7",)}
    tested = [{clips[i].speaker for i in split.test} for split in splits]
    assert [len(speakers) for speakers in tested] == [12] * 5
    assert len(set.union(*tested)) == 60
    assert [{clips[i].speaker for i in split.val} for split in splits] == [*tested[1:], tested[0]]
    assert {"12", "47", "50"} <= tested[0] and {"43", "58", "55"} <= tested[4]
    touch(tmp_path, "data/61/0_61_0.wav")
    with pytest.raises(ProbeError, match=r"0_61_0\.wav: is not named as the clips of AudioMNIST are"):
        SETS["audiomnist"].read(tmp_path)


def test_esc50(tmp_path: Path) -> None:
    rows = [
        f"{fold}-10{i}-A-0.wav,{fold},{i},{what},True,10{i},A" for fold in range(1, 6) for i, what in enumerate("dr")
    ]
    table(tmp_path / "meta/esc50.csv", "filename,fold,target,category,esc10,src_file,take", *rows)
    touch(tmp_path, *(f"audio/{row.split(',')[0]}" for row in rows))
    clips, splits = read("esc50", tmp_path)
    assert {clip.labels[0] for clip in clips} == {"d", "r"}
    assert [stems(clips, split.test) for split in splits] == [{f"{n}-100-A-0", f"{n}-101-A-0"} for n in range(1, 6)]
    assert [len(split.val) for split in splits] == [2] * 5


def test_us8k(tmp_path: Path) -> None:
    rows = [f"{9 - i}-3-0-{i}.wav,{9 - i},0,4,1,{fold},3,dog_bark" for i, fold in enumerate([5, 10, 1, 5])]
    table(tmp_path / "metadata/UrbanSound8K.csv", "slice_file_name,fsID,start,end,salience,fold,classID,class", *rows)
    touch(tmp_path, *(f"audio/fold{row.split(',')[5]}/{row.split(',')[0]}" for row in rows))
    clips, splits = read("us8k", tmp_path)
    assert {clip.labels[0] for clip in clips} == {"dog_bark"}
    assert [(split.name, len(split.test)) for split in splits] == [("5", 2), ("10", 1), ("1", 1)]


def test_fsd50k(tmp_path: Path) -> None:
    truth = tmp_path / "FSD50K.ground_truth"
    table(truth / "dev.csv", "fname,labels,mids,split", '1,"Bark,Dog","/m/1,/m/2",train', "2,Rain,/m/3,val")
    table(truth / "eval.csv", "fname,labels,mids", "3,Dog,/m/2")
    touch(tmp_path, "FSD50K.dev_audio/1.wav", "FSD50K.dev_audio/2.wav", "FSD50K.eval_audio/3.wav")
    clips, (split,) = read("fsd50k", tmp_path)
    assert [clip.labels for clip in clips] == [("Bark", "Dog"), ("Rain",), ("Dog",)]
    assert [part.tolist() for part in split[1:]] == [[0], [1], [2]]


def test_vivae(tmp_path: Path) -> None:
    touch(
        tmp_path, *(f"VIVAE/full_set/S{who:02}_{what}_low_01.wav" for who in range(1, 12) for what in ("fear", "pain"))
    )
    touch(tmp_path, "VIVAE/core_set/S01_fear_low_02.wav")
    clips, splits = read("vivae", tmp_path)
    assert [split.name for split in splits] == [f"S{who:02}" for who in range(1, 12)]
    assert [{clips[i].speaker for i in split.val} for split in splits] == [{f"S{i % 11 + 1:02}"} for i in range(1, 12)]
    assert {clip.labels[0] for clip in clips} == {"fear", "pain"}


def test_fma_small(tmp_path: Path) -> None:
    path = tmp_path / "fma_metadata/tracks.csv"
    path.parent.mkdir()
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["", "album", "set", "set", "track"])
        rows.writerow(["", "information", "split", "subset", "genre_top"])
        rows.writerow(["track_id", "", "", "", ""])
        for i in range(20):
            rows.writerow([i, "long\nstory" + 200_000 * "x", "training", "small" if i < 15 else "large", "Rock"])
    limit = csv.field_size_limit()
    touch(tmp_path, *(f"fma_small/000/{i:06}.mp3" for i in range(15)))
    clips, (split,) = read("fma-small", tmp_path)
    assert [clip.path.stem for clip in clips] == [f"{i:06}" for i in range(15)]
    assert [len(part) for part in split[1:]] == [12, 2, 1]
    assert csv.field_size_limit() == limit
    table(path, ",set", ",split")
    with pytest.raises(ProbeError, match=r"tracks\.csv: has no column set subset"):
        SETS["fma-small"].read(tmp_path)


def test_magnatagatune(tmp_path: Path) -> None:
    tags = [f"tag {i}" for i in range(52)]
    rows = [["clip_id", *tags, "mp3_path"]]
    # the clip i has the first 52 - i tags, so that tag 51 is the rarest
    rows += [[str(i), *(str(int(t < 52 - i)) for t in range(52)), f"{i % 10}/{i}.mp3"] for i in range(55)]
    table(tmp_path / "annotations_final.csv", *("\t".join(f'"{cell}"' for cell in row) for row in rows))
    for part, numbers in (("train", range(40)), ("val", [40, 54]), ("test", [41, 42])):
        table(tmp_path / f"{part}_gt_mtt.tsv", *(f"{i}\t[0, 1]" for i in numbers))
    touch(tmp_path, *(f"{i % 10}/{i}.mp3" for i in range(55)))
    clips, (split,) = read("magnatagatune", tmp_path)
    assert clips[0].labels == tuple(tags[:50]) and clips[41].labels == tuple(tags[:11])
    assert stems(clips, split.val) == {"40"}  # 54 has no tag
    assert stems(clips, split.test) == {"41", "42"} and len(split.train) == 40


def test_irmas(tmp_path: Path) -> None:
    touch(tmp_path, *(f"IRMAS-TrainingData/{what}/[{what}]{i}__1.wav" for what in ("cel", "voi") for i in range(5)))
    for part in "123":
        folder = tmp_path / f"IRMAS-TestingData-Part{part}/Part{part}"
        touch(folder, f"song {part}-1.wav")
        (folder / f"song {part}-1.txt").write_text("cel\t\t\nvoi\t\n")
    clips, (split,) = read("irmas", tmp_path)
    assert stems(clips, split.test) == {"song 1-1", "song 2-1", "song 3-1"}
    assert {clips[i].labels for i in split.test} == {("cel", "voi")}
    assert {clips[i].labels for i in split.train} == {("cel",), ("voi",)} and len(split.val) == 2
    (tmp_path / "IRMAS-TestingData-Part2/Part2/song 2-1.txt").unlink()
    with pytest.raises(ProbeError, match=r"Part2: has no song 2-1\.txt; give the folder into which IRMAS"):
        SETS["irmas"].read(tmp_path)


@pytest.mark.parametrize("audio", ["", "audio/"])
def test_medley_solos(tmp_path: Path, audio: str) -> None:
    rows = [f"{subset},flute,3,{i},u-u-i-d-{i}" for i, subset in enumerate(["test", "training", "validation"])]
    table(tmp_path / "Medley-solos-DB_metadata.csv", "subset,instrument,instrument_id,song_id,uuid4", *rows)
    for i, subset in enumerate(["test", "training", "validation"]):
        touch(tmp_path, f"{audio}Medley-solos-DB_{subset}-3_u-u-i-d-{i}.wav")
    clips, (split,) = read("medley-solos", tmp_path)
    assert [part.tolist() for part in split[1:]] == [[1], [2], [0]]
    assert {clip.labels for clip in clips} == {("flute",)}


# -- of one's own ------------------------------------------------------------------------------------------------------


def test_folders_of_labels(tmp_path: Path) -> None:
    touch(
        tmp_path, *(f"{label}/deep/{i}.wav" for label in ("no", "yes") for i in range(10)), "stray.wav", "no/note.txt"
    )
    clips, (split,) = read("folders", tmp_path)
    assert [clip.labels[0] for clip in clips] == ["no"] * 10 + ["yes"] * 10
    assert [len(part) for part in split[1:]] == [16, 2, 2]


def test_a_table_with_its_own_split(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav", "b.wav", "c.wav")
    table(
        tmp_path / "list.csv",
        "path,label,split,speaker,start_s,duration_s",
        "a.wav,yes,test,x,1.5,0.5",
        "b.wav,no,train,x,,",
        "c.wav,yes,train,x,,",
    )
    clips, (split,) = read("folders", tmp_path / "list.csv")
    assert clips[0] == Clip(tmp_path / "a.wav", ("yes",), "x", "test", 1.5, 0.5)
    assert clips[1].duration_s is None
    assert [part.tolist() for part in split[1:]] == [[1, 2], [], [0]]


@pytest.mark.parametrize(("speakers", "folds"), [(4, 4), (23, 5)])
def test_speakers_are_never_on_both_sides(tmp_path: Path, speakers: int, folds: int) -> None:
    names = [f"{i}.wav" for i in range(2 * speakers)]
    touch(tmp_path, *names)
    rows = [f"{name}\t{i % 2}\t{i % speakers}" for i, name in enumerate(names)]
    table(tmp_path / "list.tsv", "path\tlabel\tspeaker", *rows)
    clips, splits = read("folders", tmp_path / "list.tsv")
    assert len(splits) == folds
    tested = [{clips[i].speaker for i in split.test} for split in splits]
    assert sorted(name for some in tested for name in some) == sorted(map(str, range(speakers)))
    for split, some in zip(splits, tested, strict=True):
        assert not some & {clips[i].speaker for i in [*split.train, *split.val]}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["path", "a.wav"], "the header has no column label"),
        (["path,label", "a.wav,x"], "holds no two labels"),
        (["path,label", "a.wav,x", ",y"], "line 3: give a path, a label"),
        (["path,label,split", "a.wav,x,train", "b.wav,y,dev"], "line 3: give a path, a label"),
        (["path,label,split", "a.wav,x,train", "b.wav,y,"], "some clips have a split and others have none"),
        (["path,label,speaker", "a.wav,x,", "b.wav,y,2"], "some clips have a speaker and others have none"),
        (["path,label,start_s", "a.wav,x,0:05"], "line 2: start_s and duration_s are numbers"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, rows: list[str], message: str) -> None:
    table(tmp_path / "list.csv", *rows)
    with pytest.raises((ProbeError, CorpusError), match=message):
        SETS["folders"].read(tmp_path / "list.csv")


# -- what is not there -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETS)
def test_a_wrong_folder_is_named_with_what_it_lacks(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        ProbeError, match=rf"^{re.escape(str(tmp_path))}: (has|holds) no [^;]+; give (the folder|LABEL)"
    ):
        SETS[name].read(tmp_path)


def test_an_unknown_set() -> None:
    with pytest.raises(ProbeError, match="there is no set 'mnist': give one of ravdess, slurp, emovo, audiomnist"):
        labelled_set("mnist")
