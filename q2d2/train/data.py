"""Training speech: the packed corpus (Ogg Opus parts and an index) held in memory as int16, and random crops of it.

Sources are drawn before samples are, so that a few much-recorded speakers do not become the whole world. A crop
depends on (seed, step) only: a resumed run sees what an uninterrupted one would have.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from q2d2 import audio


@dataclass(frozen=True)
class Source:
    """One source of the corpus: its parts, decoded."""

    name: str
    speakers: int
    parts: tuple[np.ndarray, ...]  # int16 mono at the corpus' sample rate

    @property
    def samples(self) -> int:
        return sum(len(part) for part in self.parts)


class Corpus:
    """A folder with `index.json` and the parts it lists, decoded into memory (173 MB per hour at 24 kHz)."""

    def __init__(self, folder: Path, sample_rate_hz: int) -> None:
        index_file = folder / "index.json"
        if not index_file.is_file():
            raise FileNotFoundError(f"{folder} holds no packed corpus: index.json is missing")
        index = json.loads(index_file.read_text())
        wrong = {part["sample_rate_hz"] for part in index} - {sample_rate_hz}
        if wrong:
            raise ValueError(f"{index_file}: the corpus is at {wrong} Hz, the model wants {sample_rate_hz}")

        def decode(part: Mapping) -> np.ndarray:
            return audio.read_int16(folder / part["file"])

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            decoded = list(tqdm(pool.map(decode, index), total=len(index), desc="decoding the corpus", unit="part"))
        self.sources = []
        for name in dict.fromkeys(part["source"] for part in index):
            own = [i for i, part in enumerate(index) if part["source"] == name]
            speakers = {utterance["speaker"] for i in own for utterance in index[i]["utterances"]}
            self.sources.append(Source(name, len(speakers), tuple(decoded[i] for i in own)))


class Crops:
    """Batches [batch samples] of random crops at random levels."""

    def __init__(
        self, corpus: Corpus, batch: int, samples: int, seed: int, source_weights: Mapping[str, float]
    ) -> None:
        names = [source.name for source in corpus.sources]
        if unknown := set(source_weights) - set(names):
            raise ValueError(f"the corpus has no source {', '.join(unknown)}; its sources are {', '.join(names)}")
        for source in corpus.sources:
            if all(len(part) <= samples for part in source.parts):
                raise ValueError(f"every part of {source.name} is shorter than a crop of {samples} samples")
        self.corpus, self.batch, self.samples, self.seed = corpus, batch, samples, seed
        weight = np.array([source_weights.get(s.name, 1 + math.log10(s.speakers)) for s in corpus.sources])
        self.probability = weight / weight.sum()

    def batch_at(self, step: int) -> Float[Tensor, "batch samples"]:
        """The batch of this step, peaks between -19 and +1 dB of where the corpus has them (it is packed at 0.7)."""
        rng = np.random.default_rng((self.seed, step))
        rows = []
        for drawn in rng.choice(len(self.corpus.sources), size=self.batch, p=self.probability):
            source = self.corpus.sources[drawn]
            sizes = np.array([max(0, len(part) - self.samples) for part in source.parts])
            part = source.parts[rng.choice(len(sizes), p=sizes / sizes.sum())]
            start = rng.integers(0, len(part) - self.samples + 1)
            gain = 10 ** (rng.triangular(-19, 1, 1) / 20)
            rows.append(part[start : start + self.samples].astype(np.float32) * np.float32(gain / 32768))
        return torch.from_numpy(np.stack(rows))


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
