"""How good the averaged model is, at every save: log-mel distance per rate, and PESQ and STOI where they are installed.

Clips go through the real tokens (encode, decode), one after the other, so that a figure says what a user would hear.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from q2d2.codec import Codec
from q2d2.evaluate.metrics import MissingExtraError, UndefinedError
from q2d2.evaluate.metrics.pesq import pesq_wb
from q2d2.evaluate.metrics.stoi import stoi
from q2d2.train.losses import spectral_losses

SCORES = {"pesq_wb": pesq_wb, "stoi": stoi}
HEARD = 2  # clips that the journal keeps as sound


class Validated(NamedTuple):
    """Means over the clips by name, such as `1k/stoi`, and what the first clips sound like."""

    means: dict[str, float]
    sounds: dict[str, np.ndarray]  # float32 [samples] by name, such as `0/1k`


@torch.inference_mode()
def validate(codec: Codec, clips: Sequence[Float[Tensor, "1 _"]]) -> Validated:
    """Measure `codec` on clips at its own sample rate, at each of its rates."""
    rate_hz = codec.config.sample_rate_hz
    found: dict[str, list[float]] = {}
    sounds: dict[str, np.ndarray] = {}
    codec.measure_silence()
    for number, clip in enumerate(clips):
        original = clip[0].numpy()
        if number < HEARD:
            sounds[f"{number}/original"] = original
        for rate in codec.config.rates or (None,):
            codes = codec.encode(original, rate_hz, rate)
            made = codec.decode(codes)
            name = rate or "all"
            if number < HEARD:
                sounds[f"{number}/{name}"] = made
            log_mel = spectral_losses(torch.from_numpy(made)[None], clip, rate_hz)["log_mel"].item()
            found.setdefault(f"{name}/log_mel", []).append(log_mel)
            for score, measure in SCORES.items():
                try:
                    found.setdefault(f"{name}/{score}", []).append(measure(original, made))
                except (UndefinedError, MissingExtraError):
                    continue
    means = {name: round(float(np.mean(values)), 4) for name, values in found.items() if values}
    return Validated(means, sounds)
