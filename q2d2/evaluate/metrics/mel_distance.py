"""Multi-scale mel distance: how far apart two log-mel spectrograms are, summed over seven time-frequency resolutions.

The mel loss that Descript's DAC is trained with (Kumar et al. 2023), at our 24 kHz. For each scale, a Hann
window of w samples, n mel bands, a frame every w / 4 samples, the signal mirrored at both ends:

    mean over bands and frames of |log10 max(M x, 1e-5) - log10 max(M y, 1e-5)|

where M takes the magnitude (not the power) of the spectrum to Slaney's mel bands, each of unit area, from 0 Hz to
12 kHz: librosa's default filters, and not the ones our models listen through (HTK's, unit height). A distance of 1 in
one scale is a factor of ten in magnitude. Values depend on the sample rate: those at 44.1 kHz are not comparable.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from q2d2.evaluate.metrics.base import (
    SAMPLE_RATE_HZ,
    Metric,
    Original,
    Score,
    Signal,
    UndefinedError,
    needs,
    package,
)

SCALES = ((32, 5), (64, 10), (128, 20), (256, 40), (512, 80), (1024, 160), (2048, 320))  # samples of window, mel bands
FLOOR = 1e-5


def mel_distance(reference: Signal, decoded: Signal) -> float:
    """Sum over SCALES of the mean absolute difference of log10 mel magnitudes; 0 for equal signals, silent ones too."""
    shortest = max(window for window, _ in SCALES) // 2  # all but these samples of a frame are mirrored at the ends
    if len(reference) <= shortest:
        raise UndefinedError(f"less than {shortest / SAMPLE_RATE_HZ:.3f} s long")
    both = torch.from_numpy(np.stack([reference, decoded]))
    return sum(_distance(both, window, bands) for window, bands in SCALES)


def _distance(both: Float[Tensor, "2 samples"], window: int, bands: int) -> float:
    spectrum = torch.stft(
        both, window, window // 4, window=torch.hann_window(window), pad_mode="reflect", return_complex=True
    )
    logs = (_filters(window, bands) @ spectrum.abs()).clamp(min=FLOOR).log10()
    return (logs[0] - logs[1]).abs().mean().item()


@lru_cache(maxsize=len(SCALES))
def _filters(window: int, bands: int) -> Float[Tensor, "bands bins"]:
    return torch.from_numpy(package("librosa").filters.mel(sr=SAMPLE_RATE_HZ, n_fft=window, n_mels=bands))


def _measure(original: Original, decoded: Signal) -> Mapping[str, float]:
    return {"mel_distance": mel_distance(original.samples, decoded)}


METRIC = Metric(
    "mel_distance",
    (Score("mel_distance", "Mel distance", 3, best="lowest", perfect=0.0),),
    _measure,
    "Multi-scale mel distance (DAC's mel loss, Kumar et al. 2023): mean absolute difference of log10 mel magnitudes, "
    "summed over windows of 32 to 2048 samples with 5 to 320 bands, both signals at 24 kHz.",
    needs("librosa"),
)
