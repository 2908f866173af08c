"""A packed corpus: Ogg Opus parts of some minutes and `index.json`, which says what is where in them.

Thousands of utterances in a handful of files that are quick to copy and to open. Nothing is decoded until it is asked
for, and then a block of ten seconds, once (75 ms of one CPU core): into memory (173 MB for an hour at 24 kHz), or into
a cache folder from which later starts read it.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
from jaxtyping import Int16
from pydantic import TypeAdapter, ValidationError
from tqdm import tqdm

from q2d2 import audio
from q2d2.atomic import write_whole
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


class DecodedPart:
    """The mono int16 samples of a part, by slices, decoded in blocks when first asked for. Threads may share it.

    Each block is decoded for itself: what is read does not depend on what was read before. A decoder that comes from
    the beginning of the file gives nearly the same (see `audio.Blocks.part`).
    """

    def __init__(self, file: Path, samples: int, block: int, cache: Path | None) -> None:
        self.block_starts = range(0, samples, block)
        self._file, self._samples = file, samples
        self._blocks: dict[range, np.ndarray] | _CachedBlocks = {} if cache is None else _CachedBlocks(file, cache)
        self._locks = [Lock() for _ in self.block_starts]

    def __len__(self) -> int:
        return self._samples

    def __getitem__(self, where: slice) -> Int16[np.ndarray, " _"]:
        """A copy of successive samples; an AudioError that names the file if they cannot be decoded."""
        wanted = range(self._samples)[where]
        if wanted.step != 1:
            raise ValueError(f"samples are read one after the other, not in steps of {wanted.step}")
        size = self.block_starts.step
        numbers = range(wanted.start // size, -(-wanted.stop // size)) if wanted else range(0)
        blocks = [self._block(n)[max(0, wanted.start - n * size) : wanted.stop - n * size] for n in numbers]
        return np.concatenate([np.zeros(0, np.int16), *blocks])

    def _block(self, number: int) -> Int16[np.ndarray, " _"]:
        start = self.block_starts[number]
        span = range(start, min(start + self.block_starts.step, self._samples))
        samples = self._blocks.get(span)
        if samples is None:
            with self._locks[number]:  # who had to wait finds the block decoded
                samples = self._blocks.get(span)
                if samples is None:
                    samples = self._blocks[span] = self._decode(span)
        return samples

    def _decode(self, span: range) -> Int16[np.ndarray, " _"]:
        samples = audio.read_int16(self._file, span.start, len(span))
        if len(samples) != len(span):
            raise audio.AudioError(f"{self._file}: ends after {span.start + len(samples)} samples; replace it")
        return samples


class _CachedBlocks:
    """The decoded blocks of a file as files, each there whole or not at all: processes may share the folder."""

    def __init__(self, file: Path, cache: Path) -> None:
        state = file.stat()  # name, size and time of change tell whether it is the same file
        self._folder = cache / f"{file.stem}-{state.st_size}-{state.st_mtime_ns}"
        self._folder.mkdir(parents=True, exist_ok=True)

    def get(self, span: range) -> Int16[np.ndarray, " _"] | None:
        """Read anew each time: the system keeps files in memory anyway. None if nobody has decoded it yet."""
        try:
            samples = np.fromfile(self._path(span), np.int16)
        except FileNotFoundError:
            return None
        return samples if len(samples) == len(span) else None  # a copy of the folder may have broken off

    def __setitem__(self, span: range, samples: Int16[np.ndarray, " _"]) -> None:
        write_whole(self._path(span), samples.tobytes())

    def _path(self, span: range) -> Path:
        return self._folder / f"{span.start}-{span.stop}.int16"


@dataclass(frozen=True)
class Source:
    """One source of the corpus."""

    name: str
    speakers: int
    files: tuple[str, ...]  # of the parts
    parts: tuple[DecodedPart, ...]


class Corpus:
    """A folder with `index.json` and the parts it lists; what is decoded of them is kept in memory, or in `cache`."""

    def __init__(self, folder: Path, cache: Path | None = None, block_s: float = 10.0) -> None:
        self.folder = folder
        self.index = read_index(folder)
        self.parts = [_open(folder / part.file, part, block_s, cache) for part in self.index]
        self.sources = []
        for name in dict.fromkeys(part.source for part in self.index):
            own = [i for i, part in enumerate(self.index) if part.source == name]
            speakers = {spoken.speaker for i in own for spoken in self.index[i].utterances}
            files = tuple(self.index[i].file for i in own)
            self.sources.append(Source(name, len(speakers), files, tuple(self.parts[i] for i in own)))

    def decode_all(self) -> None:
        """Decode now, on all cores, what nobody has asked for yet."""
        blocks = [(part, start) for part in self.parts for start in part.block_starts]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            decoded = pool.map(lambda block: block[0][block[1] : block[1] + 1], blocks)
            for _ in tqdm(decoded, "decoding the corpus", len(blocks), unit="block", delay=1, disable=None):
                pass


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


def _open(file: Path, part: Part, block_s: float, cache: Path | None) -> DecodedPart:
    with audio.open_blocks(file) as blocks:
        samples = blocks.num_frames
    inside = (0 <= spoken.start <= part.samples - spoken.samples for spoken in part.utterances)
    if samples != part.samples or not all(inside):
        raise CorpusError(f"{file}: holds {samples} samples, which is not what {INDEX} says; fetch both again")
    return DecodedPart(file, samples, max(1, round(block_s * part.sample_rate_hz)), cache)
