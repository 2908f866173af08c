"""What stands in an evaluation beside the peers: a model of this package at each of its rates, and the original."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np

from q2d2.codec import Codec
from q2d2.evaluate.peers import Clip, Coded


@dataclass(frozen=True)
class Model:
    """A codec of this package at one rate, through the bytes of its files."""

    codec: Codec
    rate: str | None  # None: the only one
    may_delay: bool = False

    @property
    def name(self) -> str:
        return self.codec.config.name + (f" {self.rate}" if self.rate else "")

    @property
    def num_pairs(self) -> int:
        return self.codec.num_pairs(self.rate)

    def missing(self) -> str | None:
        return None

    def code(self, clip: Clip) -> Coded:
        data = self.codec.compress(clip.wav, clip.sample_rate_hz, self.rate)
        reader = self.codec.reader(io.BytesIO(data))
        chunks = list(reader.chunks())
        indices = np.concatenate([chunk.indices for chunk in chunks])
        return Coded(
            self.codec.decompress(data),
            clip.sample_rate_hz,
            len(data),
            sum(chunk.payload_bytes for chunk in chunks),
            indices,
            index_bits=len(indices) * math.fsum(map(math.log2, reader.header.points)),
        )


@dataclass(frozen=True)
class Uncoded:
    """The original: the most that each metric gives, and what those say that listen to one signal alone."""

    name: str = "original"
    may_delay: bool = False

    def missing(self) -> str | None:
        return None

    def code(self, clip: Clip) -> Coded:
        return Coded(clip.wav, clip.sample_rate_hz, None, None, note="it is not coded")
