"""One's own labelled clips: a folder with a sub-folder per label, or a table of paths and labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from q2d2 import audio
from q2d2.corpus.manifests import read_table
from q2d2.probe.labelled import Clip, LabelledSet, ProbeError, by_part, by_speaker
from q2d2.probe.splitting import Split, grouped, leave_one_out, official, tenths

MOST_FOLDS = 10  # up to so many speakers test one by one; more of them in five folds
_PARTS = ("train", "val", "test")


def read_folders(path: Path) -> list[Clip]:
    """`LABEL/anything.wav`, or a .csv or .tsv with path and label, and if known split, speaker, start_s, duration_s.

    Relative paths are relative to the table; `split` is train, val or test.
    """
    if path.is_file():
        clips = [_row(path, number, row) for number, row in read_table(path, ("path", "label"))]
    elif path.is_dir():
        paths = [found for found in audio.list_audio(path) if found.parent != path]
        clips = [Clip(found, (found.relative_to(path).parts[0],)) for found in paths]
    else:
        raise ProbeError(f"{path}: there is no such folder or table")
    for known, name in ((by_part(clips), "split"), (by_speaker(clips), "speaker")):
        if any(known) and not all(known):
            raise ProbeError(f"{path}: some clips have a {name} and others have none; give all of them one")
    if len({clip.labels for clip in clips}) < 2:
        raise ProbeError(f"{path}: holds no two labels; give LABEL/clip.wav, or a table with path and label")
    return clips


def _row(table: Path, number: int, row: dict[str, str]) -> Clip:
    part = row.get("split") or ""
    if not row["path"] or not row["label"] or part not in ("", *_PARTS):
        raise ProbeError(f"{table}, line {number}: give a path, a label, and as split one of {', '.join(_PARTS)}")
    try:
        start_s = float(row.get("start_s") or 0)
        duration_s = float(row["duration_s"]) if row.get("duration_s") else None
    except ValueError as error:
        raise ProbeError(f"{table}, line {number}: start_s and duration_s are numbers ({error})") from error
    return Clip(table.parent / row["path"], (row["label"],), row.get("speaker") or "", part, start_s, duration_s)


def split_folders(clips: Sequence[Clip]) -> list[Split]:
    """As the table says; else no speaker is on both sides; else, where speakers are unknown, at random."""
    parts, speakers = by_part(clips), by_speaker(clips)
    if all(parts):
        return official(parts)
    if not all(speakers):
        return tenths(len(clips))
    # with no protocol to follow, nothing is held out for a choice that is not made
    return leave_one_out(speakers if len(set(speakers)) <= MOST_FOLDS else grouped(speakers, 5), val=0.0)


FOLDERS = LabelledSet(
    name="folders",
    title="the clips",
    task="labels of one's own",
    max_s=10.0,
    read=read_folders,
    splits=split_folders,
    protocol="as the table says; else speaker by speaker, or in five groups of them; else a random tenth tests",
)
