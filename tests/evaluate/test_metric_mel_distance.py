"""The mel distance against librosa's spectrograms, and against what a change of level costs by definition."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from q2d2.evaluate.metrics.base import SAMPLE_RATE_HZ, Original, UndefinedError
from q2d2.evaluate.metrics.mel_distance import METRIC, SCALES, mel_distance


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(samples).astype(np.float32)


def test_it_is_librosas_spectrograms_compared(speech_like) -> None:
    signals = speech_like(1.0, seed=1), speech_like(1.0, seed=2)
    expected = 0.0
    for window, bands in ((32, 5), (64, 10), (128, 20), (256, 40), (512, 80), (1024, 160), (2048, 320)):
        one, other = (
            librosa.feature.melspectrogram(
                y=signal, sr=24_000, n_fft=window, hop_length=window // 4, n_mels=bands, power=1, pad_mode="reflect"
            )
            for signal in signals
        )
        expected += np.abs(np.log10(np.maximum(one, 1e-5)) - np.log10(np.maximum(other, 1e-5))).mean()
    assert expected > 1
    assert mel_distance(*signals) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("gain_db", [-6, 1])
def test_a_change_of_level_costs_its_logarithm_in_every_scale(gain_db: int) -> None:
    loud = 0.3 * noise(SAMPLE_RATE_HZ)  # above the floor in every band
    louder = loud * np.float32(10 ** (gain_db / 20))
    assert mel_distance(loud, louder) == pytest.approx(len(SCALES) * abs(gain_db) / 20, rel=1e-4)


def test_an_exact_copy_is_perfect_and_noise_is_worse_the_more_there_is(speech_like) -> None:
    speech = speech_like(1.5)
    distances = [mel_distance(speech, speech + level * noise(len(speech))) for level in (0, 1e-3, 1e-2, 1e-1)]
    assert distances[0] == METRIC.scores[0].perfect == 0
    assert distances == sorted(distances)


def test_five_milliseconds_late_cost_more_than_a_decibel(speech_like) -> None:
    speech = speech_like(2.0)
    late = np.roll(speech, round(0.005 * SAMPLE_RATE_HZ))
    assert METRIC.measure(Original(speech), late)["mel_distance"] > len(SCALES) / 20


def test_silence_has_a_distance(speech_like) -> None:
    silence = np.zeros(SAMPLE_RATE_HZ, np.float32)
    assert mel_distance(silence, silence) == 0
    assert mel_distance(speech_like(1.0), silence) > 1


def test_a_clip_needs_half_the_longest_window() -> None:
    for samples in (0, 1, 1024):
        with pytest.raises(UndefinedError, match=r"less than 0\.043 s long"):
            mel_distance(noise(samples), noise(samples))
    assert mel_distance(noise(1025), noise(1025, seed=1)) > 0
