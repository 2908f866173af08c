"""What a corpus holds: hours, utterances, speakers, rates and licence, by source. Reads headers, decodes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from q2d2 import audio
from q2d2.corpus.layouts import LICENCES, find_utterances
from q2d2.corpus.packed import is_packed, read_index
from q2d2.corpus.recordings import Files


class SourceRow(NamedTuple):
    """One source, or all of them."""

    source: str
    hours: float
    utterances: int
    speakers: int
    recorded_hz: tuple[int, ...]  # every rate at which something was recorded
    licence: str
    unreadable: int  # files


class _Utterance(NamedTuple):
    source: str
    licence: str
    speaker: str
    duration_s: float
    recorded_hz: int | None  # None: cannot be read


def describe(path: Path) -> list[SourceRow]:
    """A row for each source of a packed corpus, a folder or a manifest; if there are several, one for all of them."""
    found = list(_packed(path) if is_packed(path) else _files(path))
    names = list(dict.fromkeys(utterance.source for utterance in found))
    rows = [_row(name, [utterance for utterance in found if utterance.source == name]) for name in names]
    return rows if len(rows) == 1 else [*rows, _row("all", found)]


def _packed(folder: Path) -> Iterable[_Utterance]:
    for part in read_index(folder):
        for spoken in part.utterances:
            duration_s = spoken.samples / part.sample_rate_hz
            yield _Utterance(part.source, part.licence, spoken.speaker, duration_s, spoken.recorded_hz)


def _files(path: Path) -> Iterable[_Utterance]:
    utterances = find_utterances(path)
    files = Files(utterances)
    for number, utterance in enumerate(utterances):
        licence = LICENCES.get(utterance.source, "unknown")
        try:
            frames, rate_hz = files.length(number)
            yield _Utterance(utterance.source, licence, utterance.speaker, frames / rate_hz, rate_hz)
        except audio.AudioError:
            yield _Utterance(utterance.source, licence, utterance.speaker, 0.0, None)


def _row(name: str, utterances: list[_Utterance]) -> SourceRow:
    good = [utterance for utterance in utterances if utterance.recorded_hz is not None]
    return SourceRow(
        source=name,
        hours=sum(utterance.duration_s for utterance in good) / 3600,
        utterances=len(good),
        speakers=len({(utterance.source, utterance.speaker) for utterance in good}),
        recorded_hz=tuple(sorted({utterance.recorded_hz for utterance in good if utterance.recorded_hz})),
        licence=", ".join(dict.fromkeys(utterance.licence for utterance in utterances)),
        unreadable=len(utterances) - len(good),
    )
