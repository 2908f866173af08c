"""Signals as arrays: mono, and resampling that works block by block. Knows nothing of files.

The resampler is soxr's: linear phase, so that time 0 stays time 0, and the same filter whether a signal comes
whole or in blocks.
"""

import math
from collections.abc import Iterable, Iterator

import numpy as np
import soxr
from jaxtyping import Float32

MIN_RATE_HZ, MAX_RATE_HZ = 1_000, 1_000_000

_FILLING = 65_536  # zeros that are added come in blocks of at most this many samples


def to_mono(samples: Float32[np.ndarray, "samples *channels"]) -> Float32[np.ndarray, " samples"]:
    """[samples channels] or [samples] -> [samples]: the mean of the channels."""
    if samples.ndim == 1:
        return samples
    # float64: channels that are near the largest float32 must not sum to infinity
    return samples.mean(axis=1, dtype=np.float64).astype(np.float32)


def check_rate(sample_rate_hz: int) -> None:
    """ValueError unless the rate is one that audio has.

    Outside of these bounds a header is damaged, and a minute of "audio" at 1 Hz would take a day at 24 kHz.
    """
    if not MIN_RATE_HZ <= sample_rate_hz <= MAX_RATE_HZ:
        raise ValueError(f"a sample rate of {sample_rate_hz} Hz is not within {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz")


def resampled_length(num_samples: int, from_hz: int, to_hz: int) -> int:
    """Samples after resampling: ceil(num_samples * to_hz / from_hz).

    Rounded up, so that one sample never becomes none, and so that there and back is never shorter than the
    original: cutting the result to the original's length is all that a round trip needs.
    """
    return -(-num_samples * to_hz // from_hz)


class Resampler:
    """Pieces of a signal, [piece] or [piece channels], at another rate; `resampled_length` samples in all."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        check_rate(from_hz)
        check_rate(to_hz)
        self._rates = from_hz, to_hz
        self._stream: soxr.ResampleStream | None = None
        self._channels: tuple[int, ...] = ()
        self._received = self._produced = 0

    def push(self, piece: Float32[np.ndarray, "_ *channels"]) -> Float32[np.ndarray, "_ *channels"]:
        """What this piece brings out; a filter looks ahead, so the first pieces may bring nothing."""
        from_hz, to_hz = self._rates
        if from_hz == to_hz:
            return piece
        if self._stream is None:
            self._channels = piece.shape[1:]
            self._stream = soxr.ResampleStream(from_hz, to_hz, math.prod(self._channels), dtype="float32", quality="HQ")
        part = self._stream.resample_chunk(np.ascontiguousarray(piece, np.float32))
        self._received += len(piece)
        self._produced += len(part)
        return part

    def flush(self) -> Float32[np.ndarray, "_ *channels"]:
        """What is left of the signal, which ends here."""
        if self._stream is None:
            return np.zeros((0, *self._channels), np.float32)
        from_hz, to_hz = self._rates
        # soxr rounds the length; a little silence brings out the last sample where ours is rounded up
        silence = np.zeros((-(-from_hz // to_hz) + 1, *self._channels), np.float32)
        tail = self._stream.resample_chunk(silence, last=True)
        return tail[: resampled_length(self._received, from_hz, to_hz) - self._produced]


def resample_blocks(
    blocks: Iterable[Float32[np.ndarray, "_ *channels"]],
    from_hz: int,
    to_hz: int,
    num_samples: int | None = None,
) -> Iterator[Float32[np.ndarray, "_ *channels"]]:
    """Resample a signal that arrives in blocks, [block] or [block channels]; none of the results is empty.

    Gives `resampled_length` samples in all, or exactly `num_samples`: cut, or filled with zeros, at the end.
    The result does not depend on where the blocks were cut. All of them are consumed, whatever `num_samples`.
    """
    check_rate(from_hz)
    check_rate(to_hz)
    if from_hz != to_hz:
        blocks = _filtered(blocks, from_hz, to_hz)
    if num_samples is not None:
        blocks = _fitted(blocks, num_samples)
    return (block for block in blocks if len(block))


def resample(
    samples: Float32[np.ndarray, "samples *channels"],
    from_hz: int,
    to_hz: int,
    num_samples: int | None = None,
) -> Float32[np.ndarray, "resampled *channels"]:
    """`resample_blocks` of one whole signal, [samples] or [samples channels]."""
    parts = list(resample_blocks([samples], from_hz, to_hz, num_samples))
    return np.concatenate(parts) if parts else samples[:0]


def _filtered(blocks: Iterable[np.ndarray], from_hz: int, to_hz: int) -> Iterator[np.ndarray]:
    """The blocks through one `Resampler`."""
    resampler = Resampler(from_hz, to_hz)
    for block in blocks:
        yield resampler.push(block)
    yield resampler.flush()


def _fitted(blocks: Iterable[np.ndarray], num_samples: int) -> Iterator[np.ndarray]:
    """The blocks, cut or filled with zeros to exactly `num_samples`."""
    channels: tuple[int, ...] = ()
    produced = 0
    for block in blocks:
        channels = block.shape[1:]
        part = block[: num_samples - produced]
        produced += len(part)
        yield part
    while produced < num_samples:
        filling = np.zeros((min(_FILLING, num_samples - produced), *channels), np.float32)
        produced += len(filling)
        yield filling
