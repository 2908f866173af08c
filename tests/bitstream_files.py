"""Small `.q2d2` files for the tests, a file that cannot be sought, and what comes out of either."""

import io
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest

from q2d2.bitstream import BitstreamError, Header, Prior, Reader, Writer
from q2d2.bitstream.prior import follow_rows


def header(points: Sequence[int], num_samples: int | None = None) -> Header:
    return Header("speech", "0123456789abcdef", 24_000, 24_000, 450, tuple(points), num_samples)


def header_by(prior: Prior, codebooks: int, num_samples: int | None = None) -> Header:
    return Header.by_prior(prior, codebooks, 24_000, num_samples)


def small_prior(points: Sequence[int], seed: int = 0, hidden: int = 5, decays: tuple[int, ...] = (1, 3)) -> Prior:
    """Of random numbers, but for a liking for indices that stay."""
    rng = np.random.default_rng(seed)

    def numbers(most: int, *shape: int) -> np.ndarray:
        return rng.integers(-most, most + 1, shape).astype(np.int16)

    every, codebooks, width, frames_back = sum(points), len(points), 2, 1 + seed % 2
    starts = (0, *(start for start in (1, 3, 6) if start < codebooks))
    stay = np.concatenate([np.eye(n, size, -1).ravel() for n, size in zip(follow_rows(points), points, strict=True)])
    return Prior(
        model="speech",
        weights="0123456789abcdef",
        codec_rate_hz=24_000,
        hop=450,
        points=tuple(points),
        starts=starts,
        frames_back=frames_back,
        decays=decays,
        value=numbers(300, every, width),
        past=numbers(700, frames_back + len(decays), codebooks * width, hidden),
        by_rate=numbers(500, codebooks, hidden),
        by_group=numbers(500, len(starts), hidden),
        mix=numbers(900, every, hidden),
        output=numbers(900, every, hidden),
        bias=numbers(3000, every).astype(np.int32),
        follow=numbers(3000, len(stay)) + (9000 * stay).astype(np.int16),
    )


def lasting_indices(points: Sequence[int], num_frames: int, seed: int = 0) -> np.ndarray:
    """What `small_prior` expects: most indices are those of the frame before."""
    return np.repeat(random_indices(points, -(-num_frames // 9), seed), 9, axis=0)[:num_frames]


def random_indices(points: Sequence[int], num_frames: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.integers(0, np.array(points), size=(num_frames, len(points)))


def write_file(
    indices: np.ndarray,
    about: Header,
    chunk_frames: int = 512,
    cuts: Sequence[int] = (),
    num_samples: int = 0,
    prior: Prior | None = None,
) -> bytes:
    """The file, written by one call for each part between the cuts."""
    file = io.BytesIO()
    writer = Writer(file, about, chunk_frames, prior)
    for part in np.split(indices, sorted(cuts)):
        writer.write(part)
    writer.close(num_samples)
    return file.getvalue()


class Pipe(io.BytesIO):
    """Goes forward only and hands out a few bytes at a time, as a raw pipe may."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: int) -> int:
        raise io.UnsupportedOperation("seek")

    def tell(self) -> int:
        raise io.UnsupportedOperation("tell")

    def read(self, size: int | None = -1) -> bytes:
        assert size is not None and size >= 0, "a reader must not ask for everything"
        return super().read(min(size, 7))


def read_all(reader: Reader) -> np.ndarray:
    """All frames of an undamaged file."""
    parts = [np.zeros((0, len(reader.header.points)), dtype=np.int64)]
    for start_frame, indices in reader:
        assert start_frame == sum(map(len, parts))
        assert indices.dtype == np.int64
        parts.append(indices)
    return np.concatenate(parts)


OPENERS: list[Callable[[bytes], io.BytesIO]] = [io.BytesIO, Pipe]
both = pytest.mark.parametrize("opened", OPENERS, ids=["seekable", "pipe"])


@contextmanager
def little_memory(limit: int = 1 << 20) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


def outcome(file: io.BytesIO, priors: Sequence[Prior] = ()) -> np.ndarray | BitstreamError:
    """All frames, or the error, which is one line."""
    try:
        return read_all(Reader(file, priors=priors))
    except BitstreamError as error:
        assert str(error) and len(str(error).splitlines()) == 1 and len(str(error)) < 200
        return error
