"""Any speech -> a packed corpus: 24 kHz mono Ogg Opus parts, with 0.1 s of silence between utterances.

At 64 kbit/s Opus is transparent for mono speech, and half an hour is 14.4 MB. Peaks are at 0.7: levels between
recordings mean nothing, and Opus overshoots. The index comes last, so a folder with an index is complete.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from jaxtyping import Float32
from tqdm import tqdm

from q2d2 import audio
from q2d2.atomic import replacing
from q2d2.corpus.layouts import LICENCES, CorpusError, Utterance, find_utterances
from q2d2.corpus.packed import INDEX, Part, Spoken
from q2d2.corpus.recordings import SHORTEST_S, SILENT_PEAK

SAMPLE_RATE_HZ = 24_000
PEAK = 0.7

_GAP = SAMPLE_RATE_HZ // 10
_BITRATE_BPS = 64_000
_COMPRESSION = (256_000 - _BITRATE_BPS) / 250_000  # libsndfile's scale: 0 is 256 kbit/s a channel, 1 is 6
_WRITE_FRAMES = 65_536


class Packed(NamedTuple):
    """What became of the files."""

    parts: tuple[Part, ...]
    skipped: dict[str, str]  # file -> why: broken, silent or too short

    @property
    def utterances(self) -> int:
        return sum(len(part.utterances) for part in self.parts)

    @property
    def hours(self) -> float:
        return sum(spoken.samples for part in self.parts for spoken in part.utterances) / SAMPLE_RATE_HZ / 3600


def pack(
    source: Path | Sequence[Utterance], out: Path, licences: Mapping[str, str] | None = None, part_minutes: float = 30
) -> Packed:
    """Pack a folder, a manifest or these utterances into the folder `out`.

    `licences` by source; those of well-known data sets are known, "unknown" stands for the others. A file longer than
    a part is cut into several utterances.
    """
    utterances = find_utterances(source) if isinstance(source, Path) else source
    if (out / INDEX).exists():
        raise CorpusError(f"{out}: holds a packed corpus already; give another folder, or delete it first")
    out.mkdir(parents=True, exist_ok=True)
    known = LICENCES | dict(licences or {})
    part_samples = max(2 * _GAP, round(60 * part_minutes * SAMPLE_RATE_HZ))
    parts: list[Part] = []
    skipped: dict[str, str] = {}
    by_source = sorted(utterances, key=lambda utterance: utterance.source)
    with tqdm(total=len(utterances), desc="packing", unit="file", delay=1, disable=None) as progress:
        for name, group in groupby(by_source, key=lambda utterance: utterance.source):
            pieces = _pieces(group, part_samples, skipped, progress)
            parts += _write_parts(pieces, out, name, known.get(name, "unknown"), part_samples)
    if not parts:
        some = "; ".join(f"{file} {why}" for file, why in list(skipped.items())[:3])
        raise CorpusError(f"{out}: nothing to pack, no file can be used: {some}")
    index = json.dumps([asdict(part) for part in parts], indent=None) + "\n"
    with replacing(out / INDEX) as temporary:
        temporary.write_text(index)
    return Packed(tuple(parts), skipped)


class _Piece(NamedTuple):
    samples: Float32[np.ndarray, " samples"]
    speaker: str
    recorded_hz: int


def _pieces(utterances: Iterator[Utterance], longest: int, skipped: dict[str, str], progress: tqdm) -> Iterator[_Piece]:
    """The usable utterances at 24 kHz, peaks at 0.7, none longer than a part."""
    for utterance in utterances:
        try:
            samples, recorded_hz = audio.read(utterance.path)
            wav = audio.to_mono(samples)
            peak = np.abs(wav).max(initial=0)
            if len(wav) < SHORTEST_S * recorded_hz:
                raise audio.AudioError(f"{utterance.path}: lasts less than {SHORTEST_S} s")
            if peak < SILENT_PEAK:
                raise audio.AudioError(f"{utterance.path}: is silent")
        except audio.AudioError as error:
            skipped[str(utterance.path)] = str(error).removeprefix(f"{utterance.path}: ")
        else:
            wav = audio.resample(wav, recorded_hz, SAMPLE_RATE_HZ) * np.float32(PEAK / peak)
            for piece in np.array_split(wav, -(-len(wav) // longest)):
                yield _Piece(piece, utterance.speaker, recorded_hz)
        progress.update()


def _write_parts(pieces: Iterator[_Piece], out: Path, source: str, licence: str, part_samples: int) -> Iterator[Part]:
    """Fill one part after the other."""
    safe = re.sub(r"[^\w.+-]+", "_", source).strip(".") or "speech"
    piece = next(pieces, None)
    for number in range(10**6):
        if piece is None:
            return
        file = out / f"{safe}-{number}.opus"
        spoken: list[Spoken] = []
        with replacing(file) as temporary, _opus(temporary) as target:
            position = 0
            while piece is not None and (not spoken or position + _GAP + len(piece.samples) <= part_samples):
                if spoken:
                    target.write(np.zeros(_GAP, np.float32))
                    position += _GAP
                for start in range(0, len(piece.samples), _WRITE_FRAMES):
                    target.write(piece.samples[start : start + _WRITE_FRAMES])
                spoken.append(Spoken(position, len(piece.samples), piece.speaker, piece.recorded_hz))
                position += len(piece.samples)
                piece = next(pieces, None)
        yield Part(file.name, source, licence, SAMPLE_RATE_HZ, position, tuple(spoken))


def _opus(path: Path) -> soundfile.SoundFile:
    with audio.errors.named(f"{path}: cannot be written; is there room, and does this libsndfile know Opus?"):
        return soundfile.SoundFile(path, "w", SAMPLE_RATE_HZ, 1, "OPUS", format="OGG", compression_level=_COMPRESSION)


def why_skipped(skipped: Mapping[str, str]) -> list[str]:
    """A few lines for people: the first ones by name, the others counted."""
    lines = [f"{file}: {why}; skipped" for file, why in list(skipped.items())[:10]]
    if len(skipped) > 10:
        counts = Counter(why for why in list(skipped.values())[10:])
        lines.append("and " + ", ".join(f"{count} more: {why}" for why, count in counts.most_common(3)))
    return lines
