"""Stimuli that play in step with their reference: as long, and not late. Arrays only.

A listener switches between them while they play. One that lags betrays itself, or is rated for the jump.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float32

from q2d2.audio import AudioError
from q2d2.evaluate.alignment import best_fit

Timing = Literal["check", "align", "trust"]

MAX_DELAY_S = 0.005  # a vocoder's estimate scatters by 2 ms, and what is later than 10 ms may be heard as a jump
MAX_LENGTH_DIFFERENCE_S = 0.05  # codecs fill their last frame
LEAST_ALIKE = 0.35  # `Fit.likeness` of two versions of one recording: others have up to 0.28, decoded ones 0.6 and more


class LinedUp(NamedTuple):
    """A sound in its place."""

    sound: Float32[np.ndarray, " samples"]
    shift: int  # samples by which it was too late, and no longer is


def lined_up(
    reference: Float32[np.ndarray, " samples"],
    sound: Float32[np.ndarray, " _"],
    sample_rate_hz: int,
    name: str,
    timing: Timing = "check",
) -> LinedUp:
    """The sound in exactly the length of its reference: cut at the end, or filled with silence.

    One that lags or leads by more than 5 ms is an AudioError that begins with `name`; with the `timing` "align" it is
    shifted first, by up to 100 ms. So is one that sounds like another recording. With "trust" neither is looked for.
    A length that differs by more than 50 ms, but for the shift, is an error in any case.
    """
    shift = 0 if timing == "trust" else _shift(reference, sound, sample_rate_hz, name, timing == "align")
    difference = len(sound) - len(reference)  # shifted, what is late may be longer by that, and what is cut as short
    if min(abs(difference), abs(difference - shift)) > MAX_LENGTH_DIFFERENCE_S * sample_rate_hz:
        length_s, wanted_s = len(sound) / sample_rate_hz, len(reference) / sample_rate_hz
        raise AudioError(f"{name}: is {length_s:.3f} s long, its reference {wanted_s:.3f} s; cut both to the same part")
    sound = sound[shift:] if shift > 0 else np.pad(sound, (-shift, 0))
    return LinedUp(np.pad(sound, (0, max(0, len(reference) - len(sound))))[: len(reference)], shift)


def _shift(
    reference: Float32[np.ndarray, " samples"],
    sound: Float32[np.ndarray, " _"],
    sample_rate_hz: int,
    name: str,
    align: bool,
) -> int:
    """By how many samples the sound is too late to be left as it is."""
    fit = best_fit(reference, sound, sample_rate_hz)
    if fit is None:
        return 0
    if fit.likeness < LEAST_ALIKE:
        raise AudioError(f"{name}: sounds like another recording than its reference; --trust-timing takes it as it is")
    if abs(fit.delay) <= MAX_DELAY_S * sample_rate_hz:
        return 0
    if not align:
        delay_ms, side = 1000 * abs(fit.delay) / sample_rate_hz, "after" if fit.delay > 0 else "before"
        raise AudioError(f"{name}: is {delay_ms:.0f} ms {side} its reference; --align shifts it")
    return fit.delay
