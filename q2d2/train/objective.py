"""What a codec made of a batch -> its reconstruction losses by name: those, and only those, that have a weight."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from q2d2.baselines import RVQ, VQ
from q2d2.codec import Codec, CodecOutput
from q2d2.excitation import BLOCK
from q2d2.train.losses import SPECTRAL, commitment_loss, mel_loss, pitch_loss, spectral_losses
from q2d2.train.pitch import track_pitch

RECONSTRUCTION = ("mel", "log_mel", "root_mel", "phase", "pitch", "commitment")


def draw_pairs(codec: Codec, rng: np.random.Generator, rows: int) -> Int64[Tensor, " rows"]:
    """How many pairs each row may use: a named rate mostly, any prefix sometimes, so that every prefix decodes."""
    total = codec.quantizer.num_pairs
    if not codec.config.rates:
        return torch.full((rows,), total)
    choice = rng.choice(list(codec.config.rates.values()), size=rows)
    other = rng.integers(1, total + 1, size=rows)
    return torch.from_numpy(np.where(rng.random(rows) < 0.2, other, choice))


def draw_starts(rng: np.random.Generator, rows: int) -> Int64[Tensor, " rows"]:
    """Absolute positions of the rows: the noise of a decoder that has any depends on them."""
    return BLOCK * torch.from_numpy(rng.integers(0, 10_000, size=rows))


def reconstruction_losses(
    names: Collection[str],
    output: CodecOutput,
    wav: Float[Tensor, "batch samples"],
    codec: Codec,
) -> dict[str, Tensor]:
    """The named losses that this codec can have: `pitch` needs a pitch, `commitment` a learned codebook."""
    made, log2_pitch = output.decoded.wav, output.decoded.log2_pitch
    sample_rate_hz = codec.config.sample_rate_hz
    losses: dict[str, Tensor] = {}
    if "mel" in names:
        losses["mel"] = mel_loss(made, wav, sample_rate_hz)
    if {*SPECTRAL} & {*names}:
        losses |= spectral_losses(made, wav, sample_rate_hz, names)
    if "pitch" in names and log2_pitch is not None:
        target = track_pitch(wav, wav.shape[1] // log2_pitch.shape[1], sample_rate_hz)
        losses["pitch"] = pitch_loss(log2_pitch, target)
    if "commitment" in names and isinstance(codec.quantizer, VQ | RVQ):
        losses["commitment"] = commitment_loss(output.latent, output.quantized.features)
    return losses
