"""A trained model at one rate, on whole clips -> mean scores, and how often it used each of its points.

Clips go through the tokens, as a user's would. Both signals are compared at 24 kHz, without alignment: the codecs here
have no delay. (`q2d2 evaluate` asks more questions, of one model.)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Int64

from q2d2 import audio
from q2d2.analyze import utilization
from q2d2.codec import Codec
from q2d2.evaluate.metrics import (
    SAMPLE_RATE_HZ,
    Metric,
    MissingExtraError,
    Original,
    UndefinedError,
    mel_distance,
    pesq,
    stoi,
)

METRICS: tuple[Metric, ...] = (pesq.WIDE_BAND, stoi.METRIC, mel_distance.METRIC)


class Measured(NamedTuple):
    """Means over the clips by score, and what the tokens are used for."""

    scores: dict[str, float | None]
    notes: dict[str, str]  # by score: why it is missing, or a mean over fewer clips
    uses: list[utilization.Use]  # of each pair, over all frames; none without a quantizer


class Coded(NamedTuple):
    """One clip through a codec."""

    samples: Float32[np.ndarray, " samples"]
    indices: Int64[np.ndarray, "frames pairs"]


def require_packages() -> None:
    """MissingExtraError if a metric cannot be had: known of before the training, not after."""
    if missing := [reason for metric in METRICS if (reason := metric.missing()) is not None]:
        raise MissingExtraError("; ".join(missing))


def read_clips(folder: Path) -> list[Float32[np.ndarray, " samples"]]:
    """All clips of a folder, mono, at SAMPLE_RATE_HZ. AudioError if there are none."""
    clips = []
    for path in audio.list_audio(folder):
        samples, rate_hz = audio.read(path)
        if not len(samples):
            raise audio.AudioError(f"{path}: holds no samples; remove it")
        clips.append(audio.resample(audio.to_mono(samples), rate_hz, SAMPLE_RATE_HZ))
    if not clips:
        raise audio.AudioError(f"{folder}: holds no audio to score models on")
    return clips


def measure(codec: Codec, clips: Sequence[Float32[np.ndarray, " samples"]], rate: str | None) -> Measured:
    """Score `codec` at one of its rates."""
    found: dict[str, list[float]] = {score.name: [] for metric in METRICS for score in metric.scores}
    reasons: dict[str, str] = {}
    points = codec.quantizer.points[: codec.num_pairs(rate)]
    counts = [np.zeros(size, np.int64) for size in points]
    for clip in clips:
        coded = _coded(codec, clip, rate)
        counts = [sum_ + own for sum_, own in zip(counts, utilization.count(coded.indices, points), strict=True)]
        for metric in METRICS:
            try:
                values = metric.measure(Original(clip), coded.samples)
            except UndefinedError as error:
                reasons |= {score.name: str(error) for score in metric.scores}
                continue
            for score in metric.scores:
                if np.isfinite(values[score.name]):
                    found[score.name].append(float(values[score.name]))
    notes = {
        name: f"undefined for {len(clips) - len(values)} of {len(clips)} clips ({reasons.get(name, 'not a number')})"
        for name, values in found.items()
        if len(values) < len(clips)
    }
    scores = {name: float(np.mean(values)) if values else None for name, values in found.items()}
    return Measured(scores, notes, [utilization.use(column) for column in counts])


@torch.inference_mode()
def _coded(codec: Codec, clip: Float32[np.ndarray, " samples"], rate: str | None) -> Coded:
    """Through the tokens, or, where there are none (the identity), through the networks alone."""
    if codec.quantizer.num_pairs:
        codes = codec.encode(clip, SAMPLE_RATE_HZ, rate)
        return Coded(codec.decode(codes), codes.indices.numpy(force=True))
    rate_hz = codec.config.sample_rate_hz
    wav = audio.resample(clip, SAMPLE_RATE_HZ, rate_hz)
    whole = torch.from_numpy(np.pad(wav, (0, -len(wav) % codec.hop)))[None]
    made = codec.eval()(whole, torch.zeros(1, dtype=torch.int64)).decoded.wav[0, : len(wav)].numpy()
    return Coded(audio.resample(made, rate_hz, SAMPLE_RATE_HZ)[: len(clip)], np.zeros((0, 0), np.int64))
