"""A folder or a manifest -> its utterances, with who speaks and which data set it is.

The data sets that speech codecs are trained on each have a layout of their own; what is in none of them is a folder of
audio with a sub-folder per speaker. Only names are looked at here: no audio file is opened, so half a million of them
are found in seconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from q2d2 import audio
from q2d2.corpus.manifests import CorpusError, read_manifest, read_table

LICENCES = {
    "libritts": "CC BY 4.0",
    "librispeech": "CC BY 4.0",
    "vctk": "CC BY 4.0",
    "ljspeech": "public domain",
    "commonvoice": "CC0",
}

_LIBRI = re.compile(r"(?P<speaker>\d+)(?P<mark>[_-])(?P<chapter>\d+)[_-]\d")
_HELD_OUT = re.compile(r"(dev|test)-")


@dataclass(frozen=True)
class Utterance:
    """One audio file."""

    path: Path
    speaker: str
    source: str  # the data set, the folder or the manifest that it is from


def find_utterances(path: Path) -> list[Utterance]:
    """The utterances of a folder or a manifest, in an order that depends on their names only.

    Of LibriTTS, LibriSpeech and Common Voice, what is meant for training: `dev-*` and `test-*` folders are left out,
    unless nothing else is there. Of VCTK, the first microphone.
    """
    if path.is_file():
        found = list(_listed(path))
    elif path.is_dir():
        found = list(_in_folder(path))
    else:
        raise CorpusError(f"{path}: there is no such folder or manifest")
    if not found:
        raise CorpusError(f"{path}: holds no audio ({', '.join(audio.reading.SUFFIXES)})")
    return found


def _listed(manifest: Path) -> Iterator[Utterance]:
    for entry in read_manifest(manifest):
        known = _libri(entry.path)
        speaker = entry.speaker or (known.speaker if known else entry.path.parent.name)
        yield Utterance(entry.path, speaker, entry.source or (known.source if known else manifest.stem))


def _in_folder(folder: Path) -> Iterator[Utterance]:
    """One data set, or several side by side, or plain audio."""
    one = _data_set(folder)
    if one is not None:
        yield from one
        return
    inside = sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))
    if any(_data_set(child) is not None for child in inside):
        yield from _plain(folder, [path for path in audio.list_audio(folder) if path.parent == folder])
        for child in inside:
            yield from _in_folder(child)
    else:
        yield from _plain(folder, audio.list_audio(folder))


def _data_set(folder: Path) -> Iterator[Utterance] | None:
    """The utterances of a data set that is told by what stands in its folder; None if it is none of those."""
    for name in ("wav48_silence_trimmed", "wav48"):
        for wav48 in (folder / name, folder):
            if wav48.name == name and wav48.is_dir():
                return _vctk(wav48)
    if (folder / "metadata.csv").is_file() and (folder / "wavs").is_dir():
        return _ljspeech(folder)
    for table in ("train.tsv", "validated.tsv"):
        if (folder / "clips").is_dir() and (folder / table).is_file():
            return _common_voice(folder, folder / table)
    return None


def _vctk(wav48: Path) -> Iterator[Utterance]:
    for path in audio.list_audio(wav48):
        if not re.search(r"_mic[2-9]$", path.stem):
            yield Utterance(path, path.relative_to(wav48).parts[0], "vctk")


def _ljspeech(folder: Path) -> Iterator[Utterance]:
    """`metadata.csv` lists them: name|text|normalised text, with quotation marks that mean nothing."""
    for number, line in enumerate((folder / "metadata.csv").read_text(encoding="utf-8").splitlines(), 1):
        name, bar, _ = line.partition("|")
        if not name or not bar:
            raise CorpusError(f"{folder / 'metadata.csv'}, line {number}: should read name|text")
        yield Utterance(folder / "wavs" / f"{name}.wav", "ljspeech", "ljspeech")


def _common_voice(folder: Path, table: Path) -> Iterator[Utterance]:
    for _, row in read_table(table, ("client_id", "path"), quoted=False):
        yield Utterance(folder / "clips" / row["path"], row["client_id"], "commonvoice")


def _plain(folder: Path, paths: Iterable[Path]) -> Iterator[Utterance]:
    """LibriTTS and LibriSpeech, told by the names of their files at any depth; else the first folder is the speaker."""
    found: list[Utterance] = []
    held_out: list[Utterance] = []
    for path in paths:
        inner = path.relative_to(folder).parts[:-1]
        known = _libri(path)
        utterance = known or Utterance(path, inner[0] if inner else folder.resolve().name, folder.resolve().name)
        apart = known is not None and any(_HELD_OUT.match(part) for part in inner)
        (held_out if apart else found).append(utterance)
    yield from found or held_out


def _libri(path: Path) -> Utterance | None:
    """`19/198/19_198_000000_000002.wav` is LibriTTS, `19/198/19-198-0001.flac` LibriSpeech."""
    name = _LIBRI.match(path.stem)
    if name is None or path.parts[-3:-1] != (name["speaker"], name["chapter"]):
        return None
    return Utterance(path, name["speaker"], "libritts" if name["mark"] == "_" else "librispeech")
