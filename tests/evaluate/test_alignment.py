"""Delays against known shifts, of copies and of what shares only the envelopes."""

import numpy as np
import pytest

from q2d2.evaluate.alignment import aligned, delay_samples

RATE_HZ = 24_000


@pytest.mark.parametrize("shift", [0, 1, 37, 120, 480, 1900, -1, -240, -2000])
def test_a_shifted_copy_is_found_to_the_sample(shift: int, speech_like) -> None:
    speech = speech_like(2.0)
    shifted = np.concatenate([np.zeros(max(0, shift), np.float32), speech[max(0, -shift) :]])
    assert delay_samples(speech, shifted, RATE_HZ) == shift
    one, other = aligned(speech, shifted, shift)
    assert len(one) == len(other) >= len(speech) - abs(shift)
    assert np.array_equal(one, other)


def test_speech_without_its_waveform_is_found_by_its_envelopes(speech_like) -> None:
    """A vocoder's output, by the extreme: noise with the speech's spectrum over time, 20 ms late."""
    speech = speech_like(3.0)
    window, hop = np.hanning(480), 120
    noise = np.random.default_rng(0).standard_normal(len(speech))
    made = np.zeros(len(speech))
    for start in range(0, len(speech) - 480, hop):
        magnitude = np.abs(np.fft.rfft(window * speech[start : start + 480]))
        phase = np.angle(np.fft.rfft(noise[start : start + 480]))
        made[start : start + 480] += window * np.fft.irfft(magnitude * np.exp(1j * phase))
    late = np.pad(made, (480, 0)).astype(np.float32)
    delay = delay_samples(speech, late, RATE_HZ)
    assert delay is not None and abs(delay - 480) <= 0.002 * RATE_HZ


def test_silence_has_no_delay(speech_like) -> None:
    speech, silence = speech_like(1.0), np.zeros(24_000, np.float32)
    assert delay_samples(speech, silence, RATE_HZ) is None
    assert delay_samples(silence, speech, RATE_HZ) is None
