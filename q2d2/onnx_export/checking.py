"""Graphs against the codec that they were made of, on the clip in the package: the same indices, the same waveform."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import torch
from jaxtyping import Float32

from q2d2 import audio
from q2d2.codec import Codec, Codes

_CLIP = Path(__file__).parent.parent / "assets" / "clip.flac"
_ONE_OF = 1000  # frames may differ, where rounding decides between two cells
_MOST_DIFFERENCE = 1e-3  # of samples; full scale is 1


class DisagreementError(ValueError):
    """Graphs that do not compute what the codec computes."""


class Agreement(NamedTuple):
    """How graphs and codec compare on a clip."""

    duration_s: float
    frames: int
    different_frames: int  # with at least one other index
    most_difference: float  # of any sample at any rate; full scale is 1


def check(codec: Codec, encoder: Path, decoder: Path) -> Agreement | None:
    """Run both graphs; DisagreementError if they are wrong, None if there is no onnxruntime to run them."""
    for path in (encoder, decoder):
        onnx.checker.check_model(path, full_check=True)
    try:
        import onnxruntime
    except ModuleNotFoundError:
        return None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    encode, decode = (
        onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"]) for path in (encoder, decoder)
    )
    samples, from_hz = audio.read(_CLIP)
    wav = audio.resample(audio.to_mono(samples), from_hz, codec.config.sample_rate_hz)
    found = compare(codec, encode, decode, wav)
    if found.different_frames > max(1, found.frames // _ONE_OF) or not found.most_difference <= _MOST_DIFFERENCE:
        raise DisagreementError(
            f"the graphs are not the codec: {found.different_frames} of {found.frames} frames have other indices, and "
            f"samples differ by up to {found.most_difference:.1e}; nothing was written, please report it with the "
            "versions of torch, onnxscript and onnxruntime"
        )
    return found


def compare(codec: Codec, encode: Any, decode: Any, wav: Float32[np.ndarray, " samples"]) -> Agreement:
    """Two sessions of onnxruntime beside the codec, on one clip at the codec's own rate, decoded at every rate."""
    rate_hz = codec.config.sample_rate_hz
    codes = codec.encode(wav, rate_hz, codec.quantizer.num_pairs)
    (indices,) = encode.run(None, {"wav": wav[None]})
    rates = list(codec.config.rates.values()) or [codec.quantizer.num_pairs]
    whole = codes.indices.numpy()
    feeds = {"indices": np.tile(whole, (len(rates), 1, 1)), "num_pairs": np.array(rates)}
    (decoded,) = decode.run(None, feeds)
    samples = len(whole) * codec.hop
    wanted = codec.decode([Codes(torch.from_numpy(whole[:, :pairs]), samples, rate_hz) for pairs in rates])
    return Agreement(
        duration_s=len(wav) / rate_hz,
        frames=len(whole),
        different_frames=int((indices[0] != whole).any(1).sum()),
        most_difference=float(np.abs(decoded - np.stack(wanted)).max()),
    )
