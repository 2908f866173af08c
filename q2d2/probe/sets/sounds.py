"""The four sets of sounds of ARCH: what is heard around us, and what people utter without words."""

from __future__ import annotations

from pathlib import Path

from q2d2.corpus.manifests import read_table
from q2d2.probe.labelled import Clip, LabelledSet, ProbeError, by_part, by_speaker, existing, some
from q2d2.probe.splitting import leave_one_out, official, rotate

_ESC50, _US8K, _FSD50K, _VIVAE = "ESC-50", "UrbanSound8K", "FSD50K", "VIVAE"


def read_esc50(folder: Path) -> list[Clip]:
    """`meta/esc50.csv` names the files of `audio/`, their fold and their category."""
    table, audio = existing(folder, _ESC50, "meta/esc50.csv"), existing(folder, _ESC50, "audio")
    return [
        Clip(audio / row["filename"], (row["category"],), part=row["fold"])
        for _, row in read_table(table, ("filename", "fold", "category"))
    ]


def read_us8k(folder: Path) -> list[Clip]:
    """`metadata/UrbanSound8K.csv` names the files of `audio/fold1` to `audio/fold10` and their class."""
    table, audio = existing(folder, _US8K, "metadata/UrbanSound8K.csv"), existing(folder, _US8K, "audio")
    return [
        Clip(audio / f"fold{row['fold']}" / row["slice_file_name"], (row["class"],), part=row["fold"])
        for _, row in read_table(table, ("slice_file_name", "fold", "class"))
    ]


def read_fsd50k(folder: Path) -> list[Clip]:
    """`FSD50K.ground_truth/dev.csv` (train and val) and `eval.csv`: name, labels with commas between them."""
    clips = []
    for subset in ("dev", "eval"):
        table = existing(folder, _FSD50K, f"FSD50K.ground_truth/{subset}.csv")
        audio = existing(folder, _FSD50K, f"FSD50K.{subset}_audio")
        columns = ("fname", "labels", "split") if subset == "dev" else ("fname", "labels")
        for number, row in read_table(table, columns):
            part = row["split"] if subset == "dev" else "test"
            if part not in ("train", "val", "test"):
                raise ProbeError(f"{table}, line {number}: the split {part!r} is neither train nor val")
            clips.append(Clip(audio / f"{row['fname']}.wav", tuple(row["labels"].split(",")), part=part))
    return clips


def read_vivae(folder: Path) -> list[Clip]:
    """`full_set/S01_achievement_low_01.wav`: speaker, emotion, intensity, take."""
    audio = existing(folder, _VIVAE, "full_set", "VIVAE/full_set")
    clips = []
    for path in sorted(audio.glob("*.wav")):
        speaker, *rest = path.stem.split("_")
        if not rest:
            raise ProbeError(f"{path}: is not named as the clips of {_VIVAE} are; remove it")
        clips.append(Clip(path, (rest[0],), speaker=speaker))
    return some(clips, folder, _VIVAE, "full_set/*.wav")


ESC50 = LabelledSet(
    name="esc50",
    title=_ESC50,
    task="50 sounds of the environment",
    max_s=5.0,
    read=read_esc50,
    splits=lambda clips: leave_one_out(by_part(clips), val=0.2),
    protocol="5 official folds: each tests once, a random fifth of the others is held out",
)
US8K = LabelledSet(
    name="us8k",
    title=_US8K,
    task="10 sounds of a city",
    max_s=5.0,
    read=read_us8k,
    splits=lambda clips: leave_one_out(by_part(clips), val=0.2),
    protocol="10 official folds: each tests once, a random fifth of the others is held out",
)
FSD50K = LabelledSet(
    name="fsd50k",
    title=_FSD50K,
    task="200 sound events, several at a time",
    max_s=10.0,
    read=read_fsd50k,
    splits=lambda clips: official(by_part(clips)),
    protocol="official train, val and eval",
    multi_label=True,
)
VIVAE = LabelledSet(
    name="vivae",
    title=_VIVAE,
    task="6 emotions in utterances without words",
    max_s=5.0,
    read=read_vivae,
    splits=lambda clips: rotate(by_speaker(clips)),
    protocol="each of 11 speakers tests once while the next is held out",
)
