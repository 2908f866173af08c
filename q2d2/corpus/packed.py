"""A packed corpus: Ogg Opus parts of some minutes and `index.json`, which says what is where in them.

Thousands of utterances in a handful of files that are quick to copy and to read. The parts are decoded as a whole, into
memory (173 MB an hour at 24 kHz), or once into a cache folder from which later starts map them: decoding ten hours
takes 73 s of one CPU core.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int16
from pydantic import TypeAdapter, ValidationError
from tqdm import tqdm

from q2d2 import audio
from q2d2.atomic import replacing
from q2d2.corpus.manifests import CorpusError

INDEX = "index.json"


@dataclass(frozen=True)
class Spoken:
    """One utterance within a part; positions are at the part's rate."""

    start: int
    samples: int
    speaker: str
    recorded_hz: int  # nothing is above half of this, whatever the rate of the part


@dataclass(frozen=True)
class Part:
    """One file of a packed corpus, as the index has it."""

    file: str
    source: str
    licence: str
    sample_rate_hz: int
    samples: int
    utterances: tuple[Spoken, ...]


@dataclass(frozen=True)
class Source:
    """One source of the corpus: its parts, decoded."""

    name: str
    speakers: int
    files: tuple[str, ...]  # of the parts
    parts: tuple[np.ndarray, ...]  # int16 mono at the corpus' sample rate

    @property
    def samples(self) -> int:
        return sum(len(part) for part in self.parts)


class Corpus:
    """A folder with `index.json` and the parts it lists, decoded into memory or mapped from `cache`."""

    def __init__(self, folder: Path, cache: Path | None = None) -> None:
        self.folder = folder
        self.index = read_index(folder)
        if cache is not None:
            cache.mkdir(parents=True, exist_ok=True)

        def decode(part: Part) -> np.ndarray:
            file = folder / part.file
            samples = audio.read_int16(file) if cache is None else _cached(file, cache)
            if any(spoken.start < 0 or spoken.start + spoken.samples > len(samples) for spoken in part.utterances):
                raise CorpusError(f"{file}: is shorter than {INDEX} says; fetch both again")
            return samples

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            progress = tqdm(total=len(self.index), desc="decoding the corpus", unit="part", delay=1, disable=None)
            with progress:
                self.decoded: list[np.ndarray] = []
                for samples in pool.map(decode, self.index):
                    self.decoded.append(samples)
                    progress.update()
        self.sources = []
        for name in dict.fromkeys(part.source for part in self.index):
            own = [i for i, part in enumerate(self.index) if part.source == name]
            speakers = {spoken.speaker for i in own for spoken in self.index[i].utterances}
            files = tuple(self.index[i].file for i in own)
            self.sources.append(Source(name, len(speakers), files, tuple(self.decoded[i] for i in own)))


def is_packed(path: Path) -> bool:
    """Whether `path` is the folder of a packed corpus."""
    return (path / INDEX).is_file()


def read_index(folder: Path) -> tuple[Part, ...]:
    """What the corpus in `folder` holds."""
    file = folder / INDEX
    if not file.is_file():
        raise FileNotFoundError(f"{folder} holds no packed corpus: {INDEX} is missing")
    try:
        parts = TypeAdapter(tuple[Part, ...]).validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise CorpusError(f"{file}: is not the index of a packed corpus ({where}: {first['msg']})") from error
    if not parts:
        raise CorpusError(f"{file}: lists no parts")
    return parts


def _cached(file: Path, cache: Path) -> Int16[np.ndarray, " samples"]:
    """The samples of `file` through the cache; its name, size and time of change tell whether it is the same file."""
    state = file.stat()
    raw = cache / f"{file.stem}-{state.st_size}-{state.st_mtime_ns}.int16"
    if not raw.is_file():
        with replacing(raw) as temporary, temporary.open("wb") as target, audio.open_blocks(file) as blocks:
            for block in blocks:
                target.write(audio.to_int16(audio.to_mono(block)).tobytes())
    return np.asarray(np.memmap(raw, np.int16, "r"))
