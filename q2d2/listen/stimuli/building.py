"""The folder of a study: sounds under random names, and study.json; there when it is complete, or not at all.

Whoever looks at files must not learn which is which: names are random, and those of one trial have the same size and,
as all of a study, the same time.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32
from tqdm import tqdm

from q2d2 import audio
from q2d2.listen.protocols import ANCHORS, PROTOCOLS, REFERENCE, ProtocolName
from q2d2.listen.stimuli.levels import Sounds
from q2d2.listen.stimuli.matching import Item
from q2d2.listen.stimuli.preparing import LOWEST_RATE_HZ, Preparation, Remark, prepared, summary
from q2d2.listen.study import Study, Trial, audio_path, save
from q2d2.opening import FileError


class Page(NamedTuple):
    """An item, and the trials that are made of it: conditions each, in the study's order."""

    item: Item
    trials: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Blueprint:
    """A study that is to be made."""

    title: str
    protocol_name: ProtocolName
    systems: tuple[str, ...]
    rated: tuple[Page, ...]
    training: tuple[Page, ...]  # may hold pages that are rated as well
    baseline: str | None = None


class Created(NamedTuple):
    """A study that has been made."""

    study: Study
    notes: list[str]  # what whoever made it should know: a line each


def build(out: Path, blueprint: Blueprint, preparation: Preparation) -> Created:
    """Prepare all audio and write the study. FileError if `out` exists; AudioError for files that will not do."""
    remarks: list[Remark] = []
    rated, training = ({page.item.name for page in pages} for pages in (blueprint.rated, blueprint.training))
    trials: list[Trial] = []
    practice: list[Trial] = []
    openly = PROTOCOLS[blueprint.protocol_name].kind == "multiple"
    with _new_folder(out) as folder:
        pages = {page.item.name: page for page in (*blueprint.rated, *blueprint.training)}
        for name, page in tqdm(pages.items(), desc="preparing", unit="recording", delay=1, disable=None):
            anchors = [anchor for anchor in ANCHORS if any(anchor in conditions for conditions in page.trials)]
            sounds, noticed = prepared(page.item, anchors, preparation)
            remarks += noticed
            # what is practised and rated has files for both, so that nobody knows one again by its name
            for used, where in ((rated, trials), (training, practice)):
                if name in used:
                    where += [
                        _trial(folder, name, sounds, each, openly, preparation.sample_rate_hz) for each in page.trials
                    ]
        study = Study(
            title=blueprint.title,
            protocol_name=blueprint.protocol_name,
            systems=blueprint.systems,
            trials=tuple(trials),
            training=tuple(practice),
            sample_rate_hz=preparation.sample_rate_hz,
            study_id=secrets.token_hex(8),
            baseline=blueprint.baseline,
        )
        save(study, folder)
    return Created(study, summary(remarks))


def highest_rate_hz(references: Iterable[Path]) -> int:
    """The highest rate of these files. AudioError if that is none for a listening test."""
    rates: dict[int, Path] = {}
    for path in references:
        with audio.open_blocks(path) as blocks:
            rates.setdefault(blocks.sample_rate_hz, path)
    highest = max(rates)
    if highest < LOWEST_RATE_HZ:
        raise audio.AudioError(f"{rates[highest]}: has {highest} Hz; a study needs {LOWEST_RATE_HZ} Hz or more")
    return highest


def _trial(folder: Path, item: str, sounds: Sounds, conditions: tuple[str, ...], openly: bool, rate_hz: int) -> Trial:
    """A trial, and its files; with `openly` the reference once more, as the file that everybody knows."""
    stimuli = {condition: _file(folder, sounds[condition], rate_hz) for condition in conditions}
    return Trial(item, stimuli, _file(folder, sounds[REFERENCE], rate_hz) if openly else None)


def _file(folder: Path, sound: Float32[np.ndarray, " samples"], rate_hz: int) -> str:
    name = f"{secrets.token_hex(8)}.wav"
    audio.write(audio_path(folder, name), sound, rate_hz)
    return name


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A folder that takes its name when the `with` ends well, and leaves nothing behind when it does not."""
    if os.path.lexists(out):
        raise FileError(f"{out}: exists already; give another name")
    if not out.parent.is_dir():
        raise FileError(f"{out}: there is no folder {out.parent}; make it first")
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(4)}.part")
    try:
        audio_path(temporary, "any").parent.mkdir(parents=True)
        yield temporary
        now = time.time()
        for path in temporary.rglob("*"):
            os.utime(path, (now, now))
        os.rename(temporary, out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
