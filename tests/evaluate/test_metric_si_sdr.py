"""SI-SDR of signals that were made to have one: an original with something orthogonal of known level."""

from __future__ import annotations

import numpy as np
import pytest

from q2d2.evaluate.metrics.base import Original, UndefinedError
from q2d2.evaluate.metrics.si_sdr import CAP_DB, METRIC, si_sdr

SAMPLES = 24_000


@pytest.fixture
def parts() -> tuple[np.ndarray, np.ndarray]:
    """A tone and a noise of equal power, without mean, orthogonal to each other."""
    tone = np.sin(2 * np.pi * 200 * np.arange(SAMPLES) / 24_000)
    noise = np.random.default_rng(0).standard_normal(SAMPLES)
    noise -= noise.mean()
    noise -= (noise @ tone) / (tone @ tone) * tone
    return tone, noise * np.sqrt((tone @ tone) / (noise @ noise))


@pytest.mark.parametrize("level_db", [-20, 0, 10, 40])
@pytest.mark.parametrize(("gain", "offset"), [(1, 0), (0.05, 0), (-3, 0), (1, 0.5)])
def test_it_is_the_level_of_what_is_orthogonal(parts, level_db: int, gain: float, offset: float) -> None:
    tone, noise = parts
    decoded = gain * (tone + 10 ** (-level_db / 20) * noise) + offset
    assert si_sdr(tone.astype(np.float32), decoded.astype(np.float32)) == pytest.approx(level_db, abs=1e-3)


def test_a_copy_of_any_level_is_perfect_and_nothing_of_it_the_opposite(parts) -> None:
    tone, noise = (part.astype(np.float32) for part in parts)
    for gain in (1, 0.3, -7):
        assert si_sdr(tone, np.float32(gain) * tone) == METRIC.scores[0].perfect == CAP_DB == 100
    assert si_sdr(tone, noise) == pytest.approx(-CAP_DB, abs=1)  # rounded to float32, they are not quite orthogonal
    halves = np.eye(2, dtype=np.float32).repeat(2, axis=1) * np.float32([1, -1, 1, -1])
    assert si_sdr(*halves) == -CAP_DB


def test_noise_is_worse_the_more_there_is(speech_like) -> None:
    speech = speech_like(1.0)
    noise = np.random.default_rng(0).standard_normal(len(speech)).astype(np.float32)
    ratios = [si_sdr(speech, speech + level * noise) for level in (0, 1e-3, 1e-2, 1e-1)]
    assert ratios == sorted(ratios, reverse=True)


def test_five_milliseconds_late_cost_most_of_it(speech_like) -> None:
    speech = speech_like(2.0)
    late = np.roll(speech, round(0.005 * 24_000))
    assert METRIC.measure(Original(speech), late)["si_sdr"] < 10


def test_silence_has_none(speech_like) -> None:
    speech = speech_like(0.5)
    for silence in (np.zeros_like(speech), np.full_like(speech, 0.1)):
        with pytest.raises(UndefinedError, match="the original is silent"):
            si_sdr(silence, speech)
        with pytest.raises(UndefinedError, match="the decoded signal is silent"):
            si_sdr(speech, silence)
    for samples in (0, 1):
        with pytest.raises(UndefinedError, match="the original is silent"):
            si_sdr(speech[:samples], speech[:samples])
