"""Utterances by number, read in part and at one rate: from files, or from a packed corpus.

A crop of three seconds should not cost the decoding of ten minutes: only the part that is needed is read, with a
margin for the resampler's filter. What cannot be used is an `AudioError` that names the file; what to do then is up to
the caller.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Float32
from tqdm import tqdm

from q2d2 import audio
from q2d2.corpus.layouts import Utterance
from q2d2.corpus.packed import Corpus

SILENT_PEAK = 1e-4
SHORTEST_S = 0.2

_SCANNERS = 16  # threads: opening a file mostly waits for the disk
_MARGIN_S = 0.05  # on either side of a part: longer than soxr's filter for every rate from 8 kHz up
_BLOCK = 2**20


class Recordings(ABC):
    """Utterances at their own rates."""

    @abstractmethod
    def __len__(self) -> int:
        """How many there are."""

    @abstractmethod
    def name(self, number: int) -> str:
        """The file, or the part and where in it the utterance begins."""

    @abstractmethod
    def where(self, number: int, frame: int) -> str:
        """The file (or part), and the sample of that file which is `frame` of the utterance."""

    @abstractmethod
    def speaker(self, number: int) -> str:
        """Who speaks."""

    @abstractmethod
    def source(self, number: int) -> str:
        """The data set it is from."""

    @abstractmethod
    def length(self, number: int) -> tuple[int, int]:
        """(frames, sample rate in Hz); AudioError if it cannot be read at all."""

    @abstractmethod
    def part(self, number: int, start: int, frames: int) -> Iterator[Float32[np.ndarray, " _"]]:
        """These frames, mono, in blocks; an MP3 may hold a few less than its header states."""


class Files(Recordings):
    """Audio files, whose headers are read at once."""

    def __init__(self, utterances: Sequence[Utterance]) -> None:
        self.utterances = utterances
        with ThreadPoolExecutor(_SCANNERS) as pool:
            scanned = pool.map(_header, utterances)
            progress = tqdm(scanned, total=len(utterances), desc="reading headers", unit="file", delay=1, disable=None)
            headers = list(progress)
        self._unreadable = {i: header for i, header in enumerate(headers) if isinstance(header, str)}
        lengths = [(0, 1) if isinstance(header, str) else header for header in headers]
        self._lengths = np.array(lengths, np.int64).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self.utterances)

    def name(self, number: int) -> str:
        return str(self.utterances[number].path)

    def where(self, number: int, frame: int) -> str:
        return f"{self.name(number)}@{frame}"

    def speaker(self, number: int) -> str:
        return self.utterances[number].speaker

    def source(self, number: int) -> str:
        return self.utterances[number].source

    def length(self, number: int) -> tuple[int, int]:
        if number in self._unreadable:
            raise audio.AudioError(self._unreadable[number])
        frames, rate_hz = self._lengths[number].tolist()
        return frames, rate_hz

    def part(self, number: int, start: int, frames: int) -> Iterator[Float32[np.ndarray, " _"]]:
        with audio.open_blocks(self.utterances[number].path) as blocks:
            for block in blocks.part(start, frames):
                yield audio.to_mono(block)


class PackedUtterances(Recordings):
    """The utterances that the index of a packed corpus lists."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self._spoken = [(i, spoken) for i, part in enumerate(corpus.index) for spoken in part.utterances]

    def __len__(self) -> int:
        return len(self._spoken)

    def name(self, number: int) -> str:
        return self.where(number, 0)

    def where(self, number: int, frame: int) -> str:
        part, spoken = self._spoken[number]
        return f"{self.corpus.folder / self.corpus.index[part].file}@{spoken.start + frame}"

    def speaker(self, number: int) -> str:
        return self._spoken[number][1].speaker

    def source(self, number: int) -> str:
        return self.corpus.index[self._spoken[number][0]].source

    def length(self, number: int) -> tuple[int, int]:
        part, spoken = self._spoken[number]
        return spoken.samples, self.corpus.index[part].sample_rate_hz

    def part(self, number: int, start: int, frames: int) -> Iterator[Float32[np.ndarray, " _"]]:
        part, spoken = self._spoken[number]
        first, end = spoken.start + start, spoken.start + min(start + frames, spoken.samples)
        for block in range(first, end, _BLOCK):
            yield self.corpus.parts[part][block : min(block + _BLOCK, end)].astype(np.float32) / 32768


class Reader:
    """Recordings at one rate: the largest sample of each, and any part of it.

    The peak needs the whole utterance, so it is measured once and remembered. Every method raises AudioError for an
    utterance that is broken, silent or too short.
    """

    def __init__(self, recordings: Recordings, sample_rate_hz: int) -> None:
        self.recordings, self.sample_rate_hz = recordings, sample_rate_hz
        self._peaks: dict[int, float] = {}

    def samples(self, number: int) -> int:
        """How long the utterance is at the reader's rate."""
        frames, rate_hz = self.recordings.length(number)
        if frames < SHORTEST_S * rate_hz:
            raise audio.AudioError(f"{self.recordings.name(number)}: lasts less than {SHORTEST_S} s")
        return audio.resampled_length(frames, rate_hz, self.sample_rate_hz)

    def peak(self, number: int) -> float:
        """The largest magnitude of the whole utterance at its own rate, mono."""
        if number not in self._peaks:
            frames, _ = self.recordings.length(number)
            peak = max((float(np.abs(block).max()) for block in self.recordings.part(number, 0, frames)), default=0.0)
            if peak < SILENT_PEAK:
                raise audio.AudioError(f"{self.recordings.name(number)}: is silent")
            self._peaks[number] = peak
        return self._peaks[number]

    def read(self, number: int, start: int, samples: int) -> Float32[np.ndarray, " samples"]:
        """`samples` from `start` on, as if the whole had been resampled and then cut; fewer where it ends."""
        frames, rate_hz = self.recordings.length(number)
        if rate_hz == self.sample_rate_hz:
            return _joined(self.recordings.part(number, start, min(samples, frames - start)))
        # Output sample k lies at k * rate / own rate frames: only at multiples of `step` frames is that whole.
        step = rate_hz // math.gcd(rate_hz, self.sample_rate_hz)
        margin = math.ceil(_MARGIN_S * rate_hz)
        first = max(0, start * rate_hz // self.sample_rate_hz - margin) // step * step
        end = min(frames, -(-(start + samples) * rate_hz // self.sample_rate_hz) + margin)
        offset = start - first * self.sample_rate_hz // rate_hz
        blocks = self.recordings.part(number, first, end - first)
        return _joined(audio.resample_blocks(blocks, rate_hz, self.sample_rate_hz))[offset : offset + samples]

    def crop(self, number: int, start: int, samples: int) -> Float32[np.ndarray, " samples"]:
        """Exactly `samples` from `start` on; a shorter utterance is repeated, from its beginning, until it is long."""
        wav = self.read(number, start, samples)
        if not len(wav):
            raise audio.AudioError(f"{self.recordings.name(number)}: holds no samples at {start}; replace it")
        return np.resize(wav, samples)


def _joined(blocks: Iterable[np.ndarray]) -> Float32[np.ndarray, " samples"]:
    return np.concatenate([np.zeros(0, np.float32), *blocks])


def _header(utterance: Utterance) -> tuple[int, int] | str:
    """(frames, sample rate in Hz), or what is wrong. A FLAC from a pipe does not state its length: it is decoded."""
    try:
        with audio.open_blocks(utterance.path) as blocks:
            frames = blocks.num_frames
            return (sum(len(block) for block in blocks) if frames is None else frames), blocks.sample_rate_hz
    except audio.AudioError as error:
        return str(error)
