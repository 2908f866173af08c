"""A neural codec of another project: its network as two functions, and a clip through them.

A clip goes through whole, at the network's own rate and at the level that it has. Unless the codec has a file format,
its file is the codes, packed at the bits that they have.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from q2d2 import audio
from q2d2.evaluate.metrics.base import MissingExtraError, needs, shown
from q2d2.evaluate.peers.base import Clip, Coded, PeerError

Codes = list[Tensor]  # int64 [batch frames], one for each codebook, the most important first


class Network(NamedTuple):
    """A network on the device of its module, in evaluation mode; whether gradients are kept is up to the caller."""

    module: nn.Module
    sample_rate_hz: int
    encode: Callable[[Float32[Tensor, "batch samples"]], Codes]
    decode: Callable[[Codes], Float32[Tensor, "batch samples"]]  # may be shorter or longer than what was encoded
    bits: int  # of one code

    def code(self, clip: Clip) -> Coded:
        """A clip there and back, on the CPU. The same every time, also where a decoder adds noise (SNAC's does)."""
        wav = audio.resample(clip.wav, clip.sample_rate_hz, self.sample_rate_hz)
        with torch.inference_mode(), torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            codes = self.encode(torch.from_numpy(wav)[None])
            samples = self.decode(codes)[0, : len(wav)].numpy()
        levels = [level[0].numpy() for level in codes]
        if len({len(level) for level in levels}) == 1:
            indices = np.stack(levels, axis=1)
        else:  # codebooks of different frame rates have no common frames
            indices = np.concatenate(levels)[:, np.newaxis]
        size = -(-indices.size * self.bits // 8)
        return Coded(samples, self.sample_rate_hz, size, size, indices)


class Needs(NamedTuple):
    """What a network has to find on this machine."""

    packages: tuple[str, ...]  # by the names they are imported by
    install: str  # the command that brings them

    def missing(self) -> str | None:
        return needs(*self.packages, how=self.install)()

    def require(self) -> None:
        """MissingExtraError if they are not all there."""
        missing = self.missing()
        if missing is not None:
            raise MissingExtraError(missing)


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings of code that is not ours: its calls of deprecated functions are no news to our users."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def missing_weights(path: Path, source: str) -> str | None:
    """Where to save what is at `source`, if it is not there."""
    return None if path.is_file() else f"its weights are not here: save {source} as {shown(path)}"


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong with a file of weights into a PeerError that names it."""
    try:
        yield
    except Exception as error:  # of many unrelated kinds: zip, unpickling, shapes, names
        reason = (str(error).splitlines() or [""])[0]
        raise PeerError(f"{path}: is not its weights ({type(error).__name__}: {reason}); replace it") from error


def read_weights(path: Path) -> Any:
    """What `torch.save` has written there: tensors and plain values, and never code."""
    return torch.load(path, map_location="cpu", weights_only=True)
