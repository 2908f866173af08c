"""By how much decoded speech lags its original. Knows arrays only.

Measured, because one delay that nobody noticed makes a codec look broken: STOI compares envelopes in place, and falls
from 0.9 to 0.65 for the 20 ms of Codec2. A waveform says where it belongs only if the codec keeps phases. Most at a few
kbit/s do not, so the envelopes of third-octave bands decide, and the waveform refines that where it still fits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32

MAX_DELAY_S = 0.1  # looked for in both directions

_WINDOW_S, _STEP_S = 0.0256, 0.001  # of the envelopes; a longer window makes the estimate steadier
_BANDS, _LOWEST_HZ = 15, 150.0  # STOI's bands: third octaves, centred on 150 Hz to 3.8 kHz
# Of the envelopes: at 1 loud vowels outweigh onsets, and estimates scatter twice as much; a logarithm weighs the noise
# of pauses, and puts Codec2 2 ms too early.
_EXPONENT = 0.3
_REFINED_S = 0.002  # how far the waveform may move the envelopes' estimate: less than a period of a high voice
_SAME_WAVEFORM = 0.7  # correlation above which waveforms are the same but for noise
_FRAMES_AT_ONCE = 4096


class Fit(NamedTuple):
    """Where two signals are most alike."""

    delay: int  # samples by which the second one lags, negative if it leads
    likeness: float  # correlation there, of envelopes or waveforms: 0.6 and more decoded, at most 0.3 of another clip


def delay_samples(
    reference: Float32[np.ndarray, " _"], decoded: Float32[np.ndarray, " _"], sample_rate_hz: int
) -> int | None:
    """By how many samples `decoded` lags `reference`: negative if it leads, None if a signal does not vary.

    Exact for a copy; within about 2 ms for a vocoder, whose envelopes are smoothed.
    """
    found = best_fit(reference, decoded, sample_rate_hz)
    return None if found is None else found.delay


def best_fit(
    reference: Float32[np.ndarray, " _"], decoded: Float32[np.ndarray, " _"], sample_rate_hz: int
) -> Fit | None:
    """The delay, as `delay_samples` gives it, and how alike the two are; None if a signal does not vary."""
    one, other = _envelopes(reference, sample_rate_hz), _envelopes(decoded, sample_rate_hz)
    if not one.any() or not other.any():
        return None
    steps = round(MAX_DELAY_S / _STEP_S)
    alike = _correlation(one, other, steps)
    coarse = int(np.argmax(alike)) - steps
    likeness = float(alike.max() / np.count_nonzero(one.any(axis=0)))
    start = round(coarse * _STEP_S * sample_rate_hz)
    reach = round(_REFINED_S * sample_rate_hz)
    # not centred on `start` by rolling: what is outside the signals is silence
    moved = [cut(signal, shift) for signal, shift in ((reference, max(0, -start)), (decoded, max(0, start)))]
    moved = [(signal - signal.mean())[:, np.newaxis] for signal in moved]
    fit = _correlation(moved[0], moved[1], reach) / (np.linalg.norm(moved[0]) * np.linalg.norm(moved[1]) + 1e-30)
    refined = start + int(np.argmax(fit)) - reach if fit.max() >= _SAME_WAVEFORM else start
    return Fit(refined, max(likeness, float(fit.max())))


def cut(signal: Float32[np.ndarray, " _"], samples: int) -> Float32[np.ndarray, " _"]:
    """Without its first samples, but never without all of them."""
    return signal[min(samples, len(signal) - 1) :]


def aligned(
    reference: Float32[np.ndarray, " _"], decoded: Float32[np.ndarray, " _"], delay: int
) -> tuple[Float32[np.ndarray, " samples"], Float32[np.ndarray, " samples"]]:
    """The parts that belong together if `decoded` lags by `delay` samples, cut to the length of the shorter."""
    reference, decoded = cut(reference, max(0, -delay)), cut(decoded, max(0, delay))
    shorter = min(len(reference), len(decoded))
    return reference[:shorter], decoded[:shorter]


def _correlation(
    one: Float[np.ndarray, "_ bands"], other: Float[np.ndarray, "_ bands"], reach: int
) -> Float[np.ndarray, " lags"]:
    """Cross-correlation at lags -reach to reach (how late `other` is), summed over the bands."""
    size = 1 << (max(len(one), len(other)) + reach).bit_length()
    spectrum = np.conj(np.fft.rfft(one, size, axis=0)) * np.fft.rfft(other, size, axis=0)
    lags = np.fft.irfft(spectrum.sum(axis=1), size)
    return np.concatenate([lags[-reach:], lags[: reach + 1]])


def _envelopes(wav: Float32[np.ndarray, " samples"], sample_rate_hz: int) -> Float[np.ndarray, "steps bands"]:
    """Compressed band amplitudes, one row every `_STEP_S`, of zero mean and equal energy in every band that varies."""
    window, step = round(_WINDOW_S * sample_rate_hz), round(_STEP_S * sample_rate_hz)
    padded = np.pad(wav, (window // 2, window - window // 2))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::step]
    edges_hz = _LOWEST_HZ * 2 ** ((np.arange(_BANDS + 1) - 0.5) / 3)
    size = 1 << (2 * window - 1).bit_length()  # a window at 24 kHz is 614 samples, twice a prime, which is slow
    edges = np.searchsorted(np.fft.rfftfreq(size, 1 / sample_rate_hz), edges_hz)
    hann = np.hanning(window)
    rows = []
    for start in range(0, len(frames), _FRAMES_AT_ONCE):
        spectra = np.fft.rfft(frames[start : start + _FRAMES_AT_ONCE] * hann, size, axis=1)
        power = np.abs(spectra[:, : edges[-1]]) ** 2
        rows.append(np.add.reduceat(power, edges[:-1], axis=1))
    amplitude = np.concatenate(rows) ** (_EXPONENT / 2)
    centred = amplitude - amplitude.mean(axis=0)
    energy = np.linalg.norm(centred, axis=0)
    audible = energy > 1e-9
    return np.where(audible, centred / np.where(audible, energy, 1), 0)
