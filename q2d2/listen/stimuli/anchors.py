"""The anchors of ITU-R BS.1534-3: the original without its upper frequencies, at its own place in time. Arrays only."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32
from scipy import signal

# BS.1534-3 on the anchor at 3.5 kHz, before it is made as loud as the original: level within 0.1 dB up to there, 25 dB
# down at 4 kHz and 50 dB at 4.5 kHz. The other one is the same on a wider scale. A filter that is all the way down at
# 8/7 meets both points at once.
_STOP = 8 / 7
_ATTENUATION_DB = 60.0  # so that the ripple, which a Kaiser window makes equal on both sides, is 0.01 dB


def low_pass(
    wav: Float32[np.ndarray, " samples"], sample_rate_hz: int, cutoff_hz: float
) -> Float32[np.ndarray, " samples"]:
    """What lies below `cutoff_hz`, neither later nor earlier than it was.

    ValueError as of `check_rate`.
    """
    return signal.oaconvolve(wav, taps(sample_rate_hz, cutoff_hz), mode="same").astype(np.float32)


def check_rate(sample_rate_hz: int, cutoff_hz: float) -> None:
    """ValueError for a rate that leaves nothing to take away: an anchor must lack what the original can have."""
    if 2 * _STOP * cutoff_hz >= sample_rate_hz:
        raise ValueError(
            f"audio of {sample_rate_hz} Hz ends where the anchor at {cutoff_hz / 1000:g} kHz does: give audio of more "
            f"than {2 * _STOP * cutoff_hz:.0f} Hz, or leave that anchor out (--no-anchor: all of them)"
        )


def taps(sample_rate_hz: int, cutoff_hz: float) -> Float[np.ndarray, " taps"]:
    """The impulse response: symmetric, of odd length, so that its middle is time 0."""
    check_rate(sample_rate_hz, cutoff_hz)
    stop_hz = _STOP * cutoff_hz
    length, beta = signal.kaiserord(_ATTENUATION_DB, 2 * (stop_hz - cutoff_hz) / sample_rate_hz)
    middle_hz = (cutoff_hz + stop_hz) / 2
    return signal.firwin(length | 1, middle_hz, window=("kaiser", beta), fs=sample_rate_hz)
