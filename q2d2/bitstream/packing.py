"""Integers <-> bytes: indices [frames codebooks] at their true size, and variable-length integers.

An index out of n equally likely points is worth log2(n) bits: 6.41 for 85 points, where whole bits would
spend 7. The range coder of `constriction` with uniform models spends what an index is worth. Its arithmetic
is written down in docs/format.md and pinned by the tests, because files outlive versions of a library. Knows
nothing of files.
"""

from collections.abc import Callable
from math import ceil

import constriction
import numpy as np
from jaxtyping import Int64, Integer

MAX_CODEBOOKS = 64
MAX_ALPHABET = 1 << 20

MAX_INTEGER = (1 << 42) - 1  # six bytes of seven bits; 265 days of samples at 192 kHz


class PackingError(ValueError):
    """Bytes that no packing of integers gives."""


def pack_varint(value: int) -> bytes:
    """0..MAX_INTEGER as 1 to 6 bytes: seven bits each, low first, the top bit set on all but the last."""
    if not 0 <= value <= MAX_INTEGER:
        raise ValueError(f"{value} is outside 0..{MAX_INTEGER}")
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)


def unpack_varint(take: Callable[[int], bytes]) -> int:
    """The next integer of a source of bytes; only the shortest form of each integer is allowed."""
    value = 0
    for shift in range(0, MAX_INTEGER.bit_length(), 7):
        byte = take(1)[0]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if byte == 0 and shift > 0:
                raise PackingError("an integer is longer than it need be")
            return value
    raise PackingError(f"an integer is above {MAX_INTEGER}")


def max_packed_bytes(frames: int, points: tuple[int, ...]) -> int:
    """No packing of `frames` frames is longer: what a reader allows a file to claim.

    The coder spends at most ceil(log2(n)) bits on an index, plus 2^-8 of rounding where its range is
    smallest, and two words to end.
    """
    return ceil(frames * sum((n - 1).bit_length() + 2**-7 for n in points if n > 1) / 8) + 8


def pack(indices: Integer[np.ndarray, "frames codebooks"], points: tuple[int, ...]) -> bytes:
    """Indices in 0..points[codebook]-1 as bytes; first all of codebook 0, then all of codebook 1, and so on."""
    encoder = constriction.stream.queue.RangeEncoder()
    for codebook, size in enumerate(points):
        if size > 1:  # one symbol carries nothing, and the coder has no model for it
            column = np.ascontiguousarray(indices[:, codebook], dtype=np.int32)
            encoder.encode(column, constriction.stream.model.Uniform(size))
    return payload_of(encoder)


def unpack(payload: bytes, frames: int, points: tuple[int, ...]) -> Int64[np.ndarray, "frames codebooks"]:
    """The inverse of `pack`; allocates frames x codebooks, so the caller bounds `frames` first."""
    decoder = decoder_of(payload)
    if payload and max(points) == 1:
        raise PackingError("a payload for indices that carry nothing")
    indices = np.zeros((frames, len(points)), dtype=np.int64)
    try:
        for codebook, size in enumerate(points):
            if size > 1:
                indices[:, codebook] = decoder.decode(constriction.stream.model.Uniform(size), frames)
    except AssertionError as error:  # what constriction raises for words that no encoder writes
        raise PackingError("the payload is no output of the range coder") from error
    if not decoder.maybe_exhausted():
        raise PackingError("the payload holds more than its frames")
    return indices


def payload_of(encoder: constriction.stream.queue.RangeEncoder) -> bytes:
    """What an encoder holds: its words big-endian, one long binary fraction, in which zeros at the end say nothing."""
    return encoder.get_compressed().astype(">u4").tobytes().rstrip(b"\0")


def decoder_of(payload: bytes) -> constriction.stream.queue.RangeDecoder:
    """The inverse of `payload_of`."""
    if payload.endswith(b"\0"):
        raise PackingError("the payload ends in zeros, which are never stored")
    words = np.frombuffer(payload + bytes(-len(payload) % 4), dtype=">u4").astype(np.uint32)
    return constriction.stream.queue.RangeDecoder(words)
