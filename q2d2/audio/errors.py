"""What can be wrong with audio, said in one line that names the file and what to do about it."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import soundfile

from q2d2.resampling import check_rate


class AudioError(ValueError):
    """Audio that cannot be read or written: one line that names the file and says what to do."""


@contextmanager
def named(what: str) -> Iterator[None]:
    """Turn the errors of the system and of libsndfile into an AudioError that begins with `what`."""
    try:
        yield
    except (soundfile.SoundFileError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error).rsplit(": ", 1)[-1].rstrip(".")
        raise AudioError(f"{what} ({reason})") from error


def check_finite(block: np.ndarray, name: str, start_frame: int, sample_rate_hz: int) -> None:
    """An AudioError at the first NaN or infinity of `block`, which begins at `start_frame` of `name`."""
    finite = np.isfinite(block)
    if not finite.all():
        row = int(np.argmin(finite.reshape(len(block), -1).all(axis=1)))
        kind = "not a number" if np.isnan(block[row]).any() else "infinite"
        frame = start_frame + row
        raise AudioError(
            f"{name}: the sample at {frame / sample_rate_hz:.6f} s (number {frame}) is {kind}; repair the audio there"
        )


def check_file_rate(sample_rate_hz: int, name: str) -> None:
    """`check_rate`, as an AudioError about `name`."""
    try:
        check_rate(sample_rate_hz)
    except ValueError as error:
        raise AudioError(f"{name}: {error}") from error
