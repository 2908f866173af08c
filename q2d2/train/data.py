"""Where batches come from: random crops of speech, from a packed corpus, a folder or a manifest.

Two ways to draw. `ByUtterance` is what the speech codecs before this one do: every utterance once an epoch, at a random
level. `BySource` draws the source before the sample, so that a few much-recorded speakers do not become the whole
world. Either way a row depends on (seed, step, row) and on the corpus alone: a resumed run sees what an uninterrupted
one would have, and the ranks of a run on several GPUs see together what one process would.
"""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from q2d2 import audio
from q2d2.console import say
from q2d2.corpus import Corpus, CorpusError, Files, PackedUtterances, Reader, find_utterances, is_packed
from q2d2.train.augment import Augment, changed, source_samples
from q2d2.train.drawing import (
    LOUDEST_DB,
    QUIETEST_DB,
    BySource,
    ByUtterance,
    Drawing,
    Epochs,
    Plan,
    Sources,
    source_probability,
)

__all__ = [
    "Batch",
    "BySource",
    "ByUtterance",
    "Drawing",
    "Prefetcher",
    "Speech",
    "open_speech",
    "validation_clips",
]

_REPORTED = 20  # skipped files that are named while the training runs; the others are only counted


class Batch(NamedTuple):
    """The rows of one step."""

    wav: Float[Tensor, "batch samples"]
    names: tuple[str, ...]  # file (or part of a packed corpus) and first sample of each row, at the file's own rate


class Speech(ABC):
    """A source of batches."""

    skipped: dict[str, str]  # file -> why (broken, silent, too short), filled as they are met
    utterances: int  # in all

    @abstractmethod
    def batch_at(self, step: int) -> Batch:
        """The rows of this step that are this rank's: a function of (seed, step) alone. Threads may call it."""


def open_speech(
    path: Path,
    sample_rate_hz: int,
    *,
    batch: int,
    samples: int,
    seed: int,
    drawing: Drawing,
    augment: Augment | None = None,
    rank: int = 0,
    world: int = 1,
    cache: Path | None = None,
) -> Speech:
    """Speech in crops of `samples` from a packed corpus (decoded once into `cache`, if given), a folder or a manifest.

    `batch` counts the rows of all ranks.
    """
    share = _Share(batch, rank, world)
    crops = Crops(samples, sample_rate_hz, seed, augment)
    corpus = Corpus(path, cache) if is_packed(path) else None
    if corpus is not None and isinstance(drawing, BySource):
        return PartCrops(corpus, share, crops, drawing)
    recordings = Files(find_utterances(path)) if corpus is None else PackedUtterances(corpus)
    return UtteranceCrops(Reader(recordings, sample_rate_hz), share, crops, drawing)


@dataclass(frozen=True)
class Crops:
    """What a row is: so many samples, changed as `augment` says."""

    samples: int
    sample_rate_hz: int
    seed: int
    augment: Augment | None

    @property
    def longest(self) -> int:
        """Samples of a recording that a row may take."""
        return self.samples if self.augment is None else math.ceil(self.samples * (1 + self.augment.speed))

    def cut(self, step: int, row: int, read: Callable[[int], np.ndarray]) -> np.ndarray:
        """The row, of what `read` gives for a number of samples."""
        if self.augment is None:
            return read(self.samples)
        rng = np.random.default_rng((self.seed, 3, step, row))
        wav = read(source_samples(self.augment, rng, self.samples))
        return changed(self.augment, rng, wav, self.samples, self.sample_rate_hz)


class _Share:
    """Which rows of a batch are this rank's."""

    def __init__(self, batch: int, rank: int, world: int) -> None:
        if batch % world or not 0 <= rank < world:
            raise ValueError(f"a batch of {batch} rows cannot be shared by {world} processes (this is number {rank})")
        self.batch = batch
        self.rows = range(rank * batch // world, (rank + 1) * batch // world)


class PartCrops(Speech):
    """Crops from anywhere in the parts of a packed corpus, across utterances and the pauses between them."""

    def __init__(self, corpus: Corpus, share: _Share, crops: Crops, drawing: BySource) -> None:
        wrong = {part.sample_rate_hz for part in corpus.index} - {crops.sample_rate_hz}
        if wrong:
            raise CorpusError(f"{corpus.folder}: the corpus is at {wrong} Hz, the model wants {crops.sample_rate_hz}")
        for source in corpus.sources:
            if all(len(part) <= crops.longest for part in source.parts):
                raise CorpusError(f"every part of {source.name} is shorter than a crop of {crops.longest} samples")
        self.skipped = {}
        self.utterances = sum(len(part.utterances) for part in corpus.index)
        self.corpus, self._crops = corpus, crops
        self.probability = source_probability(
            {source.name: source.speakers for source in corpus.sources}, drawing.weights
        )
        self._share = share

    def batch_at(self, step: int) -> Batch:
        """One generator draws for all rows, one after the other; only this rank's are read."""
        rng = np.random.default_rng((self._crops.seed, step))
        longest = self._crops.longest
        rows, names = [], []
        drawn_sources = rng.choice(len(self.corpus.sources), size=self._share.batch, p=self.probability)
        for row, drawn in enumerate(drawn_sources):
            source = self.corpus.sources[drawn]
            sizes = np.array([max(0, len(part) - longest) for part in source.parts])
            number = rng.choice(len(sizes), p=sizes / sizes.sum())
            part = source.parts[number]
            start = rng.integers(0, len(part) - longest + 1)
            gain = 10 ** (rng.triangular(QUIETEST_DB, LOUDEST_DB, LOUDEST_DB) / 20)
            if row in self._share.rows:
                rows.append(self._crops.cut(step, row, partial(_scaled, part[start : start + longest], gain)))
                names.append(f"{self.corpus.folder / source.files[number]}@{start}")
        return Batch(torch.from_numpy(np.stack(rows)), tuple(names))


def _scaled(pcm: np.ndarray, gain: float, samples: int) -> np.ndarray:
    """The first of them as floats."""
    return pcm[:samples].astype(np.float32) * np.float32(gain / 32768)


class UtteranceCrops(Speech):
    """Crops of single utterances: shorter ones are repeated until they are long enough."""

    def __init__(self, reader: Reader, share: _Share, crops: Crops, drawing: Drawing) -> None:
        recordings, seed = reader.recordings, crops.seed
        self.skipped = {}
        self.utterances = len(recordings)
        self._reader, self._share, self._crops = reader, share, crops
        self._unusable: set[int] = set()
        self._lock = Lock()
        for number in range(self.utterances):
            try:
                reader.samples(number)
            except audio.AudioError as error:
                self._skip(number, str(error))
        if len(self._unusable) == self.utterances:
            raise self._nothing_left()
        self._plan: Plan = (
            Sources(recordings, seed, drawing) if isinstance(drawing, BySource) else Epochs(recordings, seed, drawing)
        )

    def batch_at(self, step: int) -> Batch:
        rows = [self._row(step, row) for row in self._share.rows]
        return Batch(torch.from_numpy(np.stack([wav for wav, _ in rows])), tuple(name for _, name in rows))

    def _row(self, step: int, row: int) -> tuple[np.ndarray, str]:
        """The first candidate that can be used; the same one whatever was met before."""
        recordings = self._reader.recordings
        draw = self._plan.draw(step, row, self._share.batch)
        for number in draw.candidates:
            if number in self._unusable:
                continue
            try:
                spare = self._reader.samples(number) - self._crops.longest
                start = int(draw.position * (max(0, spare) + 1))
                gain = draw.peak / self._reader.peak(number)
                wav = self._crops.cut(step, row, partial(self._reader.crop, number, start)) * np.float32(gain)
            except audio.AudioError as error:
                self._skip(number, str(error))
            else:
                own_start = start * recordings.length(number)[1] // self._reader.sample_rate_hz
                return wav, recordings.where(number, own_start)
        raise self._nothing_left()

    def _nothing_left(self) -> CorpusError:
        some = "; ".join(f"{name}: {why}" for name, why in list(self.skipped.items())[:3])
        return CorpusError(f"none of {self.utterances} utterances can be used: {some}")

    def _skip(self, number: int, why: str) -> None:
        """Once for each file, whichever thread meets it first."""
        name = self._reader.recordings.name(number)
        with self._lock:
            if number not in self._unusable:
                self._unusable.add(number)
                self.skipped[name] = why.removeprefix(f"{name}: ")
                if len(self.skipped) <= _REPORTED:
                    more = "; further ones are not reported" if len(self.skipped) == _REPORTED else ""
                    say(f"{name}: {self.skipped[name]}; skipped{more}")


class Prefetcher:
    """Batches from `start_step` on, in order, computed `ahead` in threads; use it in a `with`.

    What a thread raises is raised where its batch would have come. `pin`: into memory that a GPU copies from while it
    computes.
    """

    def __init__(
        self, speech: Speech, start_step: int, ahead: int = 4, threads: int | None = None, pin: bool = False
    ) -> None:
        self._speech, self._pin, self._step = speech, pin, start_step
        self._pool = ThreadPoolExecutor(threads or min(ahead, os.cpu_count() or 1), "prefetch")
        self._batches: deque[Future[Batch]] = deque()
        for _ in range(ahead):
            self._submit()

    def __iter__(self) -> Prefetcher:
        return self

    def __next__(self) -> Batch:
        self._submit()
        return self._batches.popleft().result()

    def close(self) -> None:
        """Forget what was not asked for yet, and wait for the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Prefetcher:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _submit(self) -> None:
        self._batches.append(self._pool.submit(self._batch_at, self._step))
        self._step += 1

    def _batch_at(self, step: int) -> Batch:
        batch = self._speech.batch_at(step)
        return batch._replace(wav=batch.wav.pin_memory()) if self._pin else batch


def validation_clips(
    folder: Path, sample_rate_hz: int, hop: int, longest_s: float = 3.0, most: int = 20
) -> list[Float[Tensor, "1 _"]]:
    """The beginnings of some files of a folder, spread over its sorted list, cut to whole frames of `hop` samples."""
    files = audio.list_audio(folder)
    if not files:
        raise FileNotFoundError(f"{folder} holds no audio to validate on")
    clips = []
    for file in files[:: -(-len(files) // most)]:
        samples, rate_hz = audio.read(file)
        wav = audio.resample(audio.to_mono(samples), rate_hz, sample_rate_hz)[: int(longest_s * sample_rate_hz)]
        clips.append(torch.from_numpy(np.pad(wav, (0, -len(wav) % hop)))[None])
    return clips
