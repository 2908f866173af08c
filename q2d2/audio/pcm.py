"""Samples as 16-bit numbers, and the header of a WAV stream. Knows nothing of files."""

import struct
from typing import Literal

import numpy as np
from jaxtyping import Float32, Int16

SampleFormat = Literal["int16", "float32"]

MAX_WAV_BYTES = 2**32 - 2**12  # a WAV counts its bytes, header included, in 32 bits
_UNKNOWN = 2**32 - 1


def to_int16(samples: Float32[np.ndarray, "*shape"]) -> Int16[np.ndarray, "*shape"]:
    """Finite samples, rounded to multiples of 1/32768 and limited to full scale: never wrapped.

    The exact inverse of reading int16 as float32, so that a copy is a copy; libsndfile's own rounds down.
    """
    return np.minimum(np.rint(np.clip(samples, -1, 1) * 32768), 32767).astype(np.int16)


def wav_header(sample_rate_hz: int, num_channels: int, num_frames: int | None, sample_format: SampleFormat) -> bytes:
    """The 44 bytes before the samples of a stream, where nobody can go back to fill in the sizes.

    The largest size stands for one that is not known or too large to tell; readers then take what comes.
    """
    width = 2 if sample_format == "int16" else 4
    frame = width * num_channels
    size = MAX_WAV_BYTES + 1 if num_frames is None else num_frames * frame
    riff_size, data_size = (size + 36, size) if size <= MAX_WAV_BYTES else (_UNKNOWN, _UNKNOWN)
    coding = 1 if sample_format == "int16" else 3
    layout = (coding, num_channels, sample_rate_hz, sample_rate_hz * frame, frame, 8 * width)
    return (
        struct.pack("<4sI4s", b"RIFF", riff_size, b"WAVE")
        + struct.pack("<4sIHHIIHH", b"fmt ", 16, *layout)
        + struct.pack("<4sI", b"data", data_size)
    )
