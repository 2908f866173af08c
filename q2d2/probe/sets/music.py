"""The four sets of music of ARCH."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from q2d2.corpus.manifests import read_table
from q2d2.probe.labelled import Clip, LabelledSet, ProbeError, by_part, existing, some
from q2d2.probe.splitting import official, official_test, tenths

_FMA = "FMA (fma_small and fma_metadata)"
_MAGNATAGATUNE = "MagnaTagATune (its clips and annotations, and the lists *_gt_mtt.tsv of musicnn-training)"
_MOST_FREQUENT = 50  # tags of MagnaTagATune that are asked for
_IRMAS = "IRMAS (IRMAS-TrainingData and IRMAS-TestingData-Part1 to -Part3)"
_MEDLEY = "Medley-solos-DB"
_SUBSETS = {"training": "train", "validation": "val", "test": "test"}
_LONGEST_CELL = 2**24  # of a table with whole biographies in it


def read_fma_small(folder: Path) -> list[Clip]:
    """`fma_metadata/tracks.csv`, whose header has two lines, and `fma_small/000/000002.mp3`."""
    table = existing(folder, _FMA, "fma_metadata/tracks.csv", "tracks.csv")
    audio = existing(folder, _FMA, "fma_small")
    limit = csv.field_size_limit(_LONGEST_CELL)
    try:
        with table.open(newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            columns = list(zip(next(rows, []), next(rows, []), strict=False))
            wanted = ("set", "subset"), ("track", "genre_top")
            if missing := [" ".join(column) for column in wanted if column not in columns]:
                raise ProbeError(f"{table}: has no column {missing[0]}; get {_FMA}")
            subset, genre = map(columns.index, wanted)
            small = [(row[0], row[genre]) for row in rows if len(row) == len(columns) and row[subset] == "small"]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ProbeError(f"{table}: is not a table in UTF-8 ({error}); get {_FMA}") from error
    finally:
        csv.field_size_limit(limit)
    clips = [Clip(audio / f"{int(i):06d}"[:3] / f"{int(i):06d}.mp3", (name,)) for i, name in small if name]
    return some(clips, table, _FMA, "tracks of the subset small")


def read_magnatagatune(folder: Path) -> list[Clip]:
    """`annotations_final.csv`, with tabs: a number, 188 tags as 0 or 1, and the path of the clip.

    Of the tags the 50 most frequent ones; clips with none of them are left out.
    """
    table = existing(folder, _MAGNATAGATUNE, "annotations_final.csv")
    part = {
        number: name
        for name in ("train", "val", "test")
        for number in _first_column(existing(folder, _MAGNATAGATUNE, f"{name}_gt_mtt.tsv"))
    }
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    columns = set(rows[0]) if rows else set()
    if missing := {"clip_id", "mp3_path"} - columns:
        raise ProbeError(f"{table}: has no column {min(missing)}; get {_MAGNATAGATUNE}")
    counts = {tag: sum(row[tag] == "1" for row in rows) for tag in sorted(columns - {"clip_id", "mp3_path"})}
    tags = sorted(counts, key=counts.__getitem__, reverse=True)[:_MOST_FREQUENT]
    clips = [
        Clip(folder / row["mp3_path"], tuple(tag for tag in tags if row[tag] == "1"), part=part[row["clip_id"]])
        for row in rows
        if row["clip_id"] in part
    ]
    return some([clip for clip in clips if clip.labels], folder, _MAGNATAGATUNE, "tagged clips of its lists")


def _first_column(table: Path) -> Iterator[str]:
    return (line.split("\t")[0].strip() for line in table.read_text(encoding="utf-8").splitlines() if line.strip())


def read_irmas(folder: Path) -> list[Clip]:
    """`IRMAS-TrainingData/cel/*.wav`, and test clips each with a .txt that has an instrument a line."""
    training = existing(folder, _IRMAS, "IRMAS-TrainingData")
    clips = [Clip(path, (path.parent.name,), part="train") for path in sorted(training.glob("*/*.wav"))]
    for number in (1, 2, 3):
        testing = existing(folder, _IRMAS, f"IRMAS-TestingData-Part{number}/Part{number}")
        for path in sorted(testing.glob("*.wav")):
            labels = existing(testing, _IRMAS, f"{path.stem}.txt").read_text(encoding="utf-8").split()
            clips.append(Clip(path, tuple(labels), part="test"))
    return some(clips, folder, _IRMAS, "IRMAS-TrainingData/*/*.wav")


def read_medley_solos(folder: Path) -> list[Clip]:
    """`Medley-solos-DB_metadata.csv`, and `Medley-solos-DB_test-0_UUID.wav` in `audio/` or beside it."""
    table = existing(folder, _MEDLEY, "Medley-solos-DB_metadata.csv")
    audio = folder / "audio" if (folder / "audio").is_dir() else folder
    clips = []
    for number, row in read_table(table, ("subset", "instrument", "instrument_id", "uuid4")):
        if row["subset"] not in _SUBSETS:
            raise ProbeError(f"{table}, line {number}: there is no subset {row['subset']!r}")
        name = f"Medley-solos-DB_{row['subset']}-{row['instrument_id']}_{row['uuid4']}.wav"
        clips.append(Clip(audio / name, (row["instrument"],), part=_SUBSETS[row["subset"]]))
    return clips


FMA_SMALL = LabelledSet(
    name="fma-small",
    title=_FMA,
    task="8 genres of music",
    max_s=30.0,
    read=read_fma_small,
    splits=lambda clips: tenths(len(clips)),
    protocol="random: 80 % train, 10 % are held out, 10 % test",
)
MAGNATAGATUNE = LabelledSet(
    name="magnatagatune",
    title=_MAGNATAGATUNE,
    task="50 tags of music, several at a time",
    max_s=30.0,
    read=read_magnatagatune,
    splits=lambda clips: official(by_part(clips)),
    protocol="the lists of musicnn-training, clips without a tag left out",
    multi_label=True,
)
IRMAS = LabelledSet(
    name="irmas",
    title=_IRMAS,
    task="11 instruments; one in training, several at a time in the test",
    max_s=5.0,
    read=read_irmas,
    splits=lambda clips: official_test(by_part(clips), val=0.2),
    protocol="official train and test, a random fifth of the former is held out",
    multi_label=True,
)
MEDLEY_SOLOS = LabelledSet(
    name="medley-solos",
    title=_MEDLEY,
    task="8 instruments",
    max_s=3.0,
    read=read_medley_solos,
    splits=lambda clips: official(by_part(clips)),
    protocol="official training, validation and test",
)
