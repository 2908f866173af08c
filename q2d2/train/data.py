"""Where batches come from: random crops of speech, from a packed corpus, a folder or a manifest.

Two ways to draw. `ByUtterance` is what the speech codecs before this one do: every utterance once an epoch, at a random
level. `BySource` draws the source before the sample, so that a few much-recorded speakers do not become the whole
world. Either way a row depends on (seed, step, row) and on the corpus alone: a resumed run sees what an uninterrupted
one would have, and the ranks of a run on several GPUs see together what one process would.

Rows come in two parts: threads draw them and read what was recorded (`raw_at`), and the device that trains changes that
at random (`made`). A GPU holds a whole packed corpus, so that nothing but a few numbers a row has to be copied to it.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Int16, Int64
from torch import Tensor

from q2d2 import audio
from q2d2.console import say
from q2d2.corpus import Corpus, CorpusError, Files, PackedUtterances, Reader, find_utterances, is_packed
from q2d2.train.augment import Augment, changed, draw, source_samples
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
    "Crops",
    "Drawing",
    "Prefetcher",
    "Raw",
    "Speech",
    "open_speech",
    "validation_clips",
]

_REPORTED = 20  # skipped files that are named while the training runs; the others are only counted


class Raw(NamedTuple):
    """What the rows of one step are made of."""

    wav: Float[Tensor, "batch source_samples"] | Int16[Tensor, "batch source_samples"] | None  # None: on the device
    starts: Int64[Tensor, " batch"]  # where in the corpus on the device
    gain: Float[Tensor, " batch"]
    changes: Float[Tensor, "batch _"]  # what is drawn of `augment`
    names: tuple[str, ...]

    def pinned(self) -> Raw:
        """In memory that a GPU copies from while it computes."""
        return Raw(*(x.pin_memory() if isinstance(x, Tensor) else x for x in self))  # type: ignore[arg-type]


class Batch(NamedTuple):
    """The rows of one step."""

    wav: Float[Tensor, "batch samples"]
    names: tuple[str, ...]  # file (or part of a packed corpus) and first sample of each row, at the file's own rate


@dataclass(frozen=True)
class Crops:
    """What a row is: so many samples, changed as `augment` says, on the device that trains."""

    samples: int
    sample_rate_hz: int
    seed: int
    augment: Augment | None = None
    device: torch.device = torch.device("cpu")

    @property
    def source_samples(self) -> int:
        """Samples of a recording that a row is made of."""
        return self.samples if self.augment is None else source_samples(self.augment, self.samples)

    def draw(self, step: int, rows: int) -> Float32[np.ndarray, "rows _"]:
        """What happens to each row of all ranks."""
        if self.augment is None:
            return np.zeros((rows, 0), np.float32)
        return draw(self.augment, np.random.default_rng((self.seed, 3, step)), rows, self.sample_rate_hz)


class Speech(ABC):
    """A source of batches."""

    def __init__(self, crops: Crops, utterances: int) -> None:
        self.crops = crops
        self.utterances = utterances  # in all
        self.skipped: dict[str, str] = {}  # file -> why (broken, silent, too short), filled as they are met
        self.on_device: Int16[Tensor, " all_samples"] | None = None  # a corpus that the device holds

    @abstractmethod
    def raw_at(self, step: int) -> Raw:
        """What this rank's rows of this step are made of: a function of (seed, step) alone. Threads may call it."""

    def made(self, raw: Raw) -> Batch:
        """The rows, on the device, without waiting for it."""
        crops = self.crops
        starts, gain, changes = (x.to(crops.device, non_blocking=True) for x in (raw.starts, raw.gain, raw.changes))
        if raw.wav is not None:
            wav = raw.wav.to(crops.device, non_blocking=True)
        else:
            assert self.on_device is not None
            within = torch.arange(crops.source_samples, device=crops.device)
            wav = self.on_device[starts.unsqueeze(1) + within]
        wav = wav.float() * gain.unsqueeze(1)
        if crops.augment is not None:
            wav = changed(crops.augment, wav, changes, crops.samples, crops.sample_rate_hz)
        return Batch(wav, raw.names)

    def batch_at(self, step: int) -> Batch:
        """This rank's rows of this step."""
        return self.made(self.raw_at(step))


def open_speech(
    path: Path,
    crops: Crops,
    drawing: Drawing,
    *,
    batch: int,
    rank: int = 0,
    world: int = 1,
    cache: Path | None = None,
) -> Speech:
    """Speech in `crops` from a packed corpus (what is decoded is kept in `cache`, if given), a folder or a manifest.

    `batch` counts the rows of all ranks.
    """
    share = _Share(batch, rank, world)
    corpus = Corpus(path, cache) if is_packed(path) else None
    if corpus is not None and isinstance(drawing, BySource):
        return PartCrops(corpus, share, crops, drawing)
    recordings = Files(find_utterances(path)) if corpus is None else PackedUtterances(corpus)
    return UtteranceCrops(Reader(recordings, crops.sample_rate_hz), share, crops, drawing)


class _Share:
    """Which rows of a batch are this rank's."""

    def __init__(self, batch: int, rank: int, world: int) -> None:
        if batch % world or not 0 <= rank < world:
            raise ValueError(f"a batch of {batch} rows cannot be shared by {world} processes (this is number {rank})")
        self.batch = batch
        self.rows = slice(rank * batch // world, (rank + 1) * batch // world)


class PartCrops(Speech):
    """Crops from anywhere in the parts of a packed corpus, across utterances and the pauses between them."""

    def __init__(self, corpus: Corpus, share: _Share, crops: Crops, drawing: BySource) -> None:
        super().__init__(crops, sum(len(part.utterances) for part in corpus.index))
        wrong = {part.sample_rate_hz for part in corpus.index} - {crops.sample_rate_hz}
        if wrong:
            raise CorpusError(f"{corpus.folder}: the corpus is at {wrong} Hz, the model wants {crops.sample_rate_hz}")
        self._parts, self._share = corpus.parts, share
        self._names = [str(corpus.folder / part.file) for part in corpus.index]
        self.probability = source_probability(
            {source.name: source.speakers for source in corpus.sources}, drawing.weights
        )
        # each part is drawn as its source is, and by how many crops begin in it
        weights = np.zeros(len(self._parts))
        for source, probability in zip(corpus.sources, self.probability, strict=True):
            own = [i for i, part in enumerate(corpus.index) if part.source == source.name]
            starts = np.array([max(0, len(self._parts[i]) - crops.source_samples + 1) for i in own])
            if not starts.any():
                raise CorpusError(
                    f"every part of {source.name} is shorter than a crop of {crops.source_samples} samples"
                )
            weights[own] = probability * starts / starts.sum()
        self._until = np.cumsum(weights)
        self._before = np.cumsum([0, *(len(part) for part in self._parts)])  # samples of the corpus before each part
        if crops.device.type == "cuda":
            corpus.decode_all()
            whole = torch.from_numpy(np.concatenate([part[:] for part in self._parts]))
            self.on_device = whole.to(crops.device)

    def raw_at(self, step: int) -> Raw:
        """One generator draws for all rows; only this rank's are read."""
        rng = np.random.default_rng((self.crops.seed, step))
        place, within = rng.random((2, self._share.batch))[:, self._share.rows]
        gain = 10 ** (rng.triangular(QUIETEST_DB, LOUDEST_DB, LOUDEST_DB, self._share.batch)[self._share.rows] / 20)
        numbers = np.searchsorted(self._until, place * self._until[-1], side="right")
        longest = self.crops.source_samples
        starts = [int(at * (len(self._parts[n]) - longest + 1)) for n, at in zip(numbers, within, strict=True)]
        places = list(zip(numbers, starts, strict=True))
        wav = None
        if self.on_device is None:
            wav = torch.from_numpy(np.stack([self._parts[n][start : start + longest] for n, start in places]))
        return Raw(
            wav,
            torch.from_numpy(self._before[numbers] + starts),
            torch.from_numpy((gain / 32768).astype(np.float32)),
            torch.from_numpy(self.crops.draw(step, self._share.batch)[self._share.rows]),
            tuple(f"{self._names[n]}@{start}" for n, start in places),
        )


class UtteranceCrops(Speech):
    """Crops of single utterances: shorter ones are repeated until they are long enough."""

    def __init__(self, reader: Reader, share: _Share, crops: Crops, drawing: Drawing) -> None:
        recordings, seed = reader.recordings, crops.seed
        super().__init__(crops, len(recordings))
        self._reader, self._share = reader, share
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

    def raw_at(self, step: int) -> Raw:
        rows = [self._row(step, row) for row in range(self._share.batch)[self._share.rows]]
        wavs, gains, names = zip(*rows, strict=True)
        return Raw(
            torch.from_numpy(np.stack(wavs)),
            torch.zeros(len(rows), dtype=torch.int64),
            torch.tensor(gains, dtype=torch.float32),
            torch.from_numpy(self.crops.draw(step, self._share.batch)[self._share.rows]),
            names,
        )

    def _row(self, step: int, row: int) -> tuple[np.ndarray, float, str]:
        """Crop, gain and name of the first candidate that can be used; the same one whatever was met before."""
        recordings = self._reader.recordings
        drawn = self._plan.draw(step, row, self._share.batch)
        for number in drawn.candidates:
            if number in self._unusable:
                continue
            try:
                spare = self._reader.samples(number) - self.crops.source_samples
                start = int(drawn.position * (max(0, spare) + 1))
                gain = drawn.peak / self._reader.peak(number)
                wav = self._reader.crop(number, start, self.crops.source_samples)
            except audio.AudioError as error:
                self._skip(number, str(error))
            else:
                own_start = start * recordings.length(number)[1] // self._reader.sample_rate_hz
                return wav, gain, recordings.where(number, own_start)
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
    """Batches from `start_step` on, in order, read and drawn `ahead` in threads; use it in a `with`.

    What a thread raises is raised where its batch would have come.
    """

    def __init__(self, speech: Speech, start_step: int, ahead: int = 4, threads: int | None = None) -> None:
        self._speech, self._step = speech, start_step
        self._pool = ThreadPoolExecutor(threads or min(ahead, os.cpu_count() or 1), "prefetch")
        self._coming: deque[Future[Raw | Batch]] = deque()
        for _ in range(ahead):
            self._submit()

    def __iter__(self) -> Prefetcher:
        return self

    def __next__(self) -> Batch:
        self._submit()
        come = self._coming.popleft().result()
        return self._speech.made(come) if isinstance(come, Raw) else come

    def close(self) -> None:
        """Forget what was not asked for yet, and wait for the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Prefetcher:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _submit(self) -> None:
        self._coming.append(self._pool.submit(self._prepared, self._step))
        self._step += 1

    def _prepared(self, step: int) -> Raw | Batch:
        """Finished rows for a CPU; for a GPU what it makes them of, since one thread gives it all its work."""
        raw = self._speech.raw_at(step)
        return raw.pinned() if self._speech.crops.device.type == "cuda" else self._speech.made(raw)


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
