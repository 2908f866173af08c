"""How rows are drawn: what each row of each step is a crop of, at which level. Indices and numbers, no audio."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

import numpy as np

from q2d2 import audio
from q2d2.corpus import CorpusError, Recordings
from q2d2.corpus.packing import PEAK

QUIETEST_DB, LOUDEST_DB = -19, 1  # of a crop drawn by source, beside the peak that a packed corpus has


@dataclass(frozen=True)
class BySource:
    """Draw a source, then where in it; levels between -19 and +1 dB beside a peak of 0.7, the louder the likelier."""

    weights: Mapping[str, float] = field(default_factory=dict)  # how often; default 1 + log10(speakers)


@dataclass(frozen=True)
class ByUtterance:
    """Every utterance once an epoch, in a shuffled order; the peak of the whole utterance at a random level."""

    gain_dbfs: tuple[float, float] = (-6.0, -1.0)  # uniform between these


Drawing = BySource | ByUtterance


class Draw(NamedTuple):
    """What was drawn for a row."""

    candidates: Iterator[int]  # the utterance, then those that take its place if it cannot be used
    peak: float  # of the whole utterance, after the gain
    position: float  # 0 to 1: where in the utterance


class Plan(ABC):
    """What each row of each step is drawn from."""

    @abstractmethod
    def draw(self, step: int, row: int, batch: int) -> Draw:
        """For row `row` of the `batch` rows of all ranks."""


class Epochs(Plan):
    """Every utterance once an epoch; what cannot be used is replaced by the next in the epoch's order."""

    def __init__(self, recordings: Recordings, seed: int, drawing: ByUtterance) -> None:
        self._total, self._seed, self._drawing = len(recordings), seed, drawing
        self._orders: dict[int, np.ndarray] = {}

    def draw(self, step: int, row: int, batch: int) -> Draw:
        number = step * batch + row
        epoch, place = divmod(number, self._total)
        order = self._order(epoch)
        rng = np.random.default_rng((self._seed, 1, number))
        peak = 10 ** (rng.uniform(*self._drawing.gain_dbfs) / 20)
        candidates = (int(order[(place + further) % self._total]) for further in range(self._total))
        return Draw(candidates, peak, rng.random())

    def _order(self, epoch: int) -> np.ndarray:
        """The last few are kept: a batch may straddle two, and threads work ahead."""
        order = self._orders.get(epoch)
        if order is None:
            order = np.random.default_rng((self._seed, 0, epoch)).permutation(self._total)
            self._orders = {old: self._orders[old] for old in list(self._orders)[-2:]} | {epoch: order}
        return order


class Sources(Plan):
    """A source, then an utterance of it, long ones more often: as if crops came from anywhere in the source."""

    def __init__(self, recordings: Recordings, seed: int, drawing: BySource) -> None:
        self._seed = seed
        members: dict[str, list[int]] = {}
        speakers: dict[str, set[str]] = {}
        for number in range(len(recordings)):
            members.setdefault(recordings.source(number), []).append(number)
            speakers.setdefault(recordings.source(number), set()).add(recordings.speaker(number))
        self._members = [np.array(own) for own in members.values()]
        self._ends = [np.cumsum([_duration_s(recordings, number) for number in own]) for own in members.values()]
        weights = dict(drawing.weights)
        for name, ends in zip(members, self._ends, strict=True):
            if not ends[-1]:  # no file of it can be read
                weights[name] = 0.0
        self.probability = source_probability({name: len(own) for name, own in speakers.items()}, weights)

    def draw(self, step: int, row: int, batch: int) -> Draw:
        rng = np.random.default_rng((self._seed, 2, step, row))
        source = int(rng.choice(len(self._members), p=self.probability))
        own, ends = self._members[source], self._ends[source]
        place = min(int(np.searchsorted(ends, rng.random() * ends[-1], side="right")), len(own) - 1)
        peak = PEAK * 10 ** (rng.triangular(QUIETEST_DB, LOUDEST_DB, LOUDEST_DB) / 20)
        others = chain.from_iterable(chain(self._members[source + 1 :], self._members[:source]))
        candidates = (int(number) for number in chain(own[place:], own[:place], others))
        return Draw(candidates, peak, rng.random())


def source_probability(speakers: Mapping[str, int], weights: Mapping[str, float]) -> np.ndarray:
    """How often each source is drawn, from how many speakers it has."""
    if unknown := set(weights) - set(speakers):
        raise CorpusError(f"the corpus has no source {', '.join(unknown)}; its sources are {', '.join(speakers)}")
    weight = np.array([weights.get(name, 1 + math.log10(count)) for name, count in speakers.items()])
    if not weight.sum() > 0:
        raise CorpusError(f"no source can be drawn: every one of {', '.join(speakers)} weighs nothing or is unreadable")
    return weight / weight.sum()


def _duration_s(recordings: Recordings, number: int) -> float:
    """0 for what cannot be read."""
    try:
        frames, rate_hz = recordings.length(number)
        return frames / rate_hz
    except audio.AudioError:
        return 0.0
