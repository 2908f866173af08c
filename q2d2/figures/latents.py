"""Clips -> what a model's quantizer is given and what it makes of it: channels before the grid, and indices.

Only a `Q2D2` has grids, so only for codecs with one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Int64
from tqdm import tqdm

from q2d2 import audio
from q2d2.codec import Codec
from q2d2.grid import Grid
from q2d2.quantizer import Q2D2

LONGEST_S = 30.0  # of a clip are used


class Latents(NamedTuple):
    """All frames of all clips, one clip after the other."""

    z: Float32[np.ndarray, "frames sources axes"]  # the projected channels, in [-1, 1] after a tanh
    on_grid: Float32[np.ndarray, "frames pairs axes"]  # what is rounded, in the units of each pair's grid
    indices: Int64[np.ndarray, "frames pairs"]
    grids: tuple[Grid, ...]

    @property
    def channels(self) -> Float32[np.ndarray, "frames channels"]:
        """z without its pairs."""
        return self.z.reshape(len(self.z), -1)


def quantizer_of(codec: Codec) -> Q2D2:
    """The codec's quantizer; ValueError if it has no grids."""
    if not isinstance(codec.quantizer, Q2D2):
        raise ValueError(
            f"the quantizer of {codec.config.name} is not Q2D2: it has no grids to show; give another model"
        )
    return codec.quantizer


def latents(codec: Codec, clips: Sequence[Path]) -> Latents:
    """Latents of the beginning of each clip, at all of the codec's pairs; the indices are those of `codec.encode`."""
    quantizer = quantizer_of(codec)
    if not clips:
        raise ValueError("there are no clips to encode")
    found = [_latents(codec, quantizer, _beginning(clip, codec)) for clip in tqdm(clips, desc="encoding", disable=None)]
    z, on_grid, indices = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Latents(z, on_grid, indices, quantizer.grids)


@torch.inference_mode()
def _latents(
    codec: Codec, quantizer: Q2D2, wav: Float32[np.ndarray, " samples"]
) -> tuple[Float32[np.ndarray, "f s a"], Float32[np.ndarray, "f p a"], Int64[np.ndarray, "f p"]]:
    """`wav` is at the codec's rate. Whole frames, with silence around them as far as the encoder sees."""
    (before, after), frames = codec.encoder.context or (0, 0), -(-len(wav) // codec.hop)
    padded = np.zeros((before + frames + after) * codec.hop, np.float32)
    padded[before * codec.hop :][: len(wav)] = wav
    latent = codec.encoder(torch.from_numpy(padded).unsqueeze(0))[:, before : before + frames]
    z = quantizer.project(latent)
    return z[0].numpy(), quantizer.coordinates(z)[0].numpy(), quantizer(latent).indices[0].numpy()


def _beginning(clip: Path, codec: Codec) -> Float32[np.ndarray, " samples"]:
    with audio.open_blocks(clip) as blocks:
        parts = [audio.to_mono(part) for part in blocks.part(0, round(LONGEST_S * blocks.sample_rate_hz))]
        wav = np.concatenate(parts) if parts else np.zeros(0, np.float32)
        if not len(wav):
            raise audio.AudioError(f"{clip}: holds no samples; remove it")
        return audio.resample(wav, blocks.sample_rate_hz, codec.config.sample_rate_hz)
