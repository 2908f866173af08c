"""What people hand over as audio -> mono float32, or a clear error. Knows arrays and tensors, not files."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32
from torch import Tensor

from q2d2.resampling import to_mono

Samples = np.ndarray | Tensor
LOUDEST = 1000.0  # times full scale (60 dB above): more is no audio, but integers that were not divided, or damage


def mono(wav: Samples, name: str) -> Float32[np.ndarray, " samples"]:
    """[samples] or [channels samples] of floats or PCM integers -> mono float32; ValueError for what is not audio."""
    if isinstance(wav, Tensor):
        wav = (wav.float() if wav.is_floating_point() else wav).numpy(force=True)
    array = np.asarray(wav)
    if array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[0] > 64):
        raise ValueError(f"{name} has the shape {array.shape}: give [samples] or [channels, samples]")
    if array.size == 0:
        raise ValueError(f"{name} is empty")
    if array.dtype in (np.int16, np.int32):
        array = array / np.float32(np.iinfo(array.dtype).max + 1.0)
    elif array.dtype.kind != "f":
        raise ValueError(f"{name} holds {array.dtype}: give floats within -1..1, or PCM as int16 or int32")
    check_signal(array, name)
    return to_mono(np.asarray(array.T, dtype=np.float32))


def check_signal(array: Float[np.ndarray, "*channels samples"], name: str) -> None:
    """ValueError, naming the place, for values that are no audio."""
    if not array.size:
        return
    peak = max(-array.min(), array.max())  # NaN if there is one
    if not np.isfinite(peak):
        raise ValueError(f"{name} holds NaN or infinity at sample {np.argwhere(~np.isfinite(array))[:, -1].min()}")
    if peak > LOUDEST:
        raise ValueError(f"{name} reaches {peak:g}: full scale is 1 (divide 16-bit values by 32768)")
