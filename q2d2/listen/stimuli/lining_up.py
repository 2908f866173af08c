"""Stimuli that play in step with their reference: as long, and not late. Arrays only.

A listener switches between them while they play. One that lags betrays itself, or is rated for the jump.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from q2d2.audio import AudioError
from q2d2.evaluate.alignment import delay_samples

MAX_DELAY_S = 0.005  # a vocoder's estimate scatters by 2 ms, and what is later than 10 ms may be heard as a jump
MAX_LENGTH_DIFFERENCE_S = 0.05  # codecs fill their last frame


class LinedUp(NamedTuple):
    """A sound in its place."""

    sound: Float32[np.ndarray, " samples"]
    shift: int  # samples by which it was too late, and no longer is


def lined_up(
    reference: Float32[np.ndarray, " samples"],
    sound: Float32[np.ndarray, " _"],
    sample_rate_hz: int,
    name: str,
    align: bool,
) -> LinedUp:
    """The sound in exactly the length of its reference: cut at the end, or filled with silence.

    With `align` one that lags or leads by more than 5 ms is shifted first, by up to 100 ms; otherwise it is an
    AudioError that begins with `name`, and so is a length that differs by more than 50 ms.
    """
    delay = delay_samples(reference, sound, sample_rate_hz) or 0
    late = abs(delay) > MAX_DELAY_S * sample_rate_hz
    if late and not align:
        delay_ms, side = 1000 * abs(delay) / sample_rate_hz, "after" if delay > 0 else "before"
        raise AudioError(f"{name}: is {delay_ms:.0f} ms {side} its reference; --align shifts it")
    shift = delay if late else 0
    difference = len(sound) - len(reference)  # shifted, what is late may be longer by that, and what is cut as short
    if min(abs(difference), abs(difference - shift)) > MAX_LENGTH_DIFFERENCE_S * sample_rate_hz:
        length_s, wanted_s = len(sound) / sample_rate_hz, len(reference) / sample_rate_hz
        raise AudioError(f"{name}: is {length_s:.3f} s long, its reference {wanted_s:.3f} s; cut both to the same part")
    sound = sound[shift:] if shift > 0 else np.pad(sound, (-shift, 0))
    return LinedUp(np.pad(sound, (0, max(0, len(reference) - len(sound))))[: len(reference)], shift)
