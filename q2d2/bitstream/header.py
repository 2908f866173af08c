"""The header of a `.q2d2` file: what a decoder must know before the first frame."""

import json
import re
from dataclasses import dataclass
from io import BytesIO
from itertools import groupby
from zlib import crc32

from q2d2.bitstream.packing import MAX_ALPHABET, MAX_INTEGER, MAX_PAIRS
from q2d2.bitstream.records import HeaderError, NotQ2D2Error, Source, VersionError

MAGIC = b"Q2D2"
VERSION = 1

MAX_HEADER_BYTES = 2048
MAX_RATE_HZ = 1_000_000
MAX_HOP = 1 << 16

# In the file's order. Shorter names than in Python: every file pays for them.
HEADER_FIELDS = {
    "model": "model",
    "weights": "weights",
    "sample_rate": "sample_rate_hz",
    "codec_rate": "codec_rate_hz",
    "hop": "hop",
    "samples": "num_samples",
    "points": "points",
}


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _require_range(name: str, value: int, low: int, high: int) -> None:
    _require(low <= value <= high, f"{name} is not in {low}..{high}")


@dataclass(frozen=True)
class Header:
    """What a decoder must know before the first frame.

    model: name of the model that made the indices. weights: first 16 hex digits of the SHA-256 of its
    weights. sample_rate_hz: of the original audio. codec_rate_hz: of the audio inside the codec. hop: samples
    per frame at codec_rate_hz. points: alphabet size of each index of a frame. num_samples: length of the
    original audio at sample_rate_hz; None where the writer does not know it yet, and then the trailer says
    it.
    """

    model: str
    weights: str
    sample_rate_hz: int
    codec_rate_hz: int
    hop: int
    points: tuple[int, ...]
    num_samples: int | None = None

    def __post_init__(self) -> None:
        _require(1 <= len(self.model) <= 64 and self.model.isprintable(), "model is no printable name")
        _require(re.fullmatch("[0-9a-f]{16}", self.weights) is not None, "weights is no hash")
        _require_range("sample_rate_hz", self.sample_rate_hz, 1, MAX_RATE_HZ)
        _require_range("codec_rate_hz", self.codec_rate_hz, 1, MAX_RATE_HZ)
        _require_range("hop", self.hop, 1, MAX_HOP)
        _require_range("the number of pairs", len(self.points), 1, MAX_PAIRS)
        for size in self.points:
            _require_range("each of points", size, 1, MAX_ALPHABET)
        if self.num_samples is not None:
            _require_range("num_samples", self.num_samples, 0, MAX_INTEGER)

    def max_samples(self, num_frames: int) -> int:
        """The most samples at sample_rate_hz that so many frames stand for; one frame more, for rounding."""
        return (num_frames + 1) * self.hop * self.sample_rate_hz // self.codec_rate_hz + 1

    def to_bytes(self) -> bytes:
        """The header record: magic, version, length, JSON, CRC."""
        fields = {name: getattr(self, attribute) for name, attribute in HEADER_FIELDS.items()}
        fields["points"] = [[len(list(run)), size] for size, run in groupby(self.points)]
        text = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
        record = MAGIC + bytes([VERSION]) + len(text).to_bytes(2, "little") + text
        return record + crc32(record).to_bytes(4, "little")


def _is_integer(value: object) -> bool:
    return type(value) is int  # and not isinstance: JSON's true would be one


def _header_from_json(text: bytes) -> Header:
    fields = json.loads(text.decode())
    _require(isinstance(fields, dict) and set(fields) == set(HEADER_FIELDS), "not the fields of version 1")
    for name in ("model", "weights"):
        _require(isinstance(fields[name], str), f"{name} is no string")
    for name in ("sample_rate", "codec_rate", "hop"):
        _require(_is_integer(fields[name]), f"{name} is no integer")
    _require(fields["samples"] is None or _is_integer(fields["samples"]), "samples is no integer")
    _require(isinstance(fields["points"], list), "points is no list")
    points: list[int] = []
    for run in fields["points"]:
        is_run = isinstance(run, list) and len(run) == 2 and all(map(_is_integer, run))
        _require(is_run, "points is no list of [count, size]")
        count, size = run
        _require_range("a count in points", count, 1, MAX_PAIRS)
        points += [size] * count
    values = {HEADER_FIELDS[name]: value for name, value in fields.items()}
    return Header(**values | {"points": tuple(points)})


def read_header(source: Source) -> Header:
    """The header record, checked."""
    for byte in MAGIC:
        if source.take(1)[0] != byte:
            raise NotQ2D2Error("not a .q2d2 file: it does not begin with Q2D2")
    version = source.take(1)
    if version[0] != VERSION:
        raise VersionError(f"format version {version[0]} is unknown: this program reads version {VERSION}")
    length = source.take(2)
    size = int.from_bytes(length, "little")
    if size > MAX_HEADER_BYTES:
        raise HeaderError(f"damaged header: it claims {size} bytes, more than {MAX_HEADER_BYTES}")
    text = source.take(size)
    if int.from_bytes(source.take(4), "little") != crc32(MAGIC + version + length + text):
        raise HeaderError("damaged header: its checksum does not match")
    try:
        return _header_from_json(text)
    except (ValueError, RecursionError) as error:
        raise HeaderError(f"bad header: {str(error).splitlines()[0]}") from error


def header_of(beginning: bytes) -> Header:
    """The header of a file that begins with these bytes; BitstreamError if that is none, or not all of one."""
    return read_header(Source(BytesIO(beginning)))
