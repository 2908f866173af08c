"""Damaged and forged `.q2d2` files, guided by coverage: `python runs/fuzz_files.py OUT -runs=1000000`.

Needs `pip install atheris`, numpy, constriction, safetensors and jaxtyping, and no torch. OUT keeps the files that
found new ways through the reader; options after it are libFuzzer's. Checksums count as right in two of three runs, so
that what lies behind them is reached. What must hold: frames of the file's alphabets or a BitstreamError of one line;
no run may take 5 s (libFuzzer ends those). Memory grows in atheris, by 1 KB a run: start again every 200,000.
"""

import io
import sys
import types
from pathlib import Path

import atheris
import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
package = types.ModuleType("q2d2")  # without q2d2/__init__.py: the format alone
package.__path__ = [str(ROOT / "q2d2")]
sys.modules["q2d2"] = package

with atheris.instrument_imports(include=["q2d2.bitstream"]):
    from q2d2 import bitstream
    from q2d2.bitstream import header as headers
    from q2d2.bitstream import header_reading, records

POINTS = (13, 1, 5, 2)
MOST_FRAMES = 1 << 15  # 8 chunks of the most frames


def small_prior() -> bitstream.Prior:
    rng = np.random.default_rng(0)
    every, width, hidden = sum(POINTS), 1, 3

    def numbers(*shape: int) -> np.ndarray:
        return rng.integers(-900, 901, shape).astype(np.int16)

    return bitstream.Prior(
        "fuzz", "0" * 16, 24_000, 450, POINTS, (0, 2), 1, (1,), numbers(every, width), numbers(2, 4 * width, hidden),
        numbers(4, hidden), numbers(2, hidden), numbers(every, hidden), numbers(every, hidden),
        numbers(every).astype(np.int32), numbers(sum((n + 1) * n for n in POINTS)),
    )  # fmt: skip


PRIOR = small_prior()
CRC32 = records.crc32


def seeds() -> list[bytes]:
    """Good files of every kind: version 1, plain, by a prior; with their length in the header and in the trailer."""
    rng = np.random.default_rng(1)
    indices = rng.integers(0, POINTS, (40, 4))
    indices[:20] = indices[0]
    described = bitstream.Header("fuzz", "0" * 16, 24_000, 24_000, 450, POINTS)
    files = [(ROOT / "tests" / "data" / name).read_bytes() for name in ("golden-1.q2d2", "golden-2.q2d2")]
    for header in (
        described,
        bitstream.Header.by_prior(PRIOR, 4, 8_000),
        bitstream.Header.by_prior(PRIOR, 3, 8_000, 6_000),
    ):
        file = io.BytesIO()
        prior = PRIOR if header.prior else None
        writer = bitstream.Writer(file, header, 16, prior)
        writer.write(indices[:, : len(header.points)])
        writer.close(6_000)
        files.append(file.getvalue())
    return files


class Pipe(io.BytesIO):
    def seekable(self) -> bool:
        return False


def check_sums(count: bool) -> None:
    """Checksums as they are, or all of them 0."""
    for module in (records, headers, header_reading):
        module.crc32 = CRC32 if count else lambda data, value=0: 0


def one(data: bytes) -> None:
    """The first byte says how the others are read."""
    how = data[0] if data else 0
    check_sums(how % 3 == 0)
    opened = (io.BytesIO, Pipe)[how // 3 % 2]
    on_damage = ("raise", "skip")[how // 6 % 2]
    try:
        reader = bitstream.Reader(opened(data[1:]), on_damage, (PRIOR,))
        points, frames = np.array(reader.header.points), 0
        for chunk in reader.chunks():
            assert chunk.indices.shape == (len(chunk.indices), len(points))
            assert ((chunk.indices >= 0) & (chunk.indices < points)).all()
            frames += len(chunk.indices)
            if frames > MOST_FRAMES:
                return
        if on_damage == "raise":
            assert not reader.damage and reader.num_frames == frames and reader.header.num_samples is not None
    except bitstream.BitstreamError as error:
        assert str(error) and "\n" not in str(error)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for counted in (True, False):
        check_sums(counted)
        for number, seed in enumerate(seeds()):
            for how in range(12):
                if (how % 3 == 0) == counted:
                    (folder / f"seed-{number}-{how}").write_bytes(bytes([how]) + seed)
    check_sums(True)
    atheris.Setup([sys.argv[0], "-timeout=5", "-rss_limit_mb=1024", "-max_len=800", *sys.argv[2:], str(folder)], one)
    atheris.Fuzz()
