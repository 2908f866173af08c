"""The header of a `.q2d2` file, read and checked: of this version of the format, and of version 1, which was JSON."""

import json
from collections.abc import Callable, Iterable
from io import BytesIO
from zlib import crc32

from q2d2.bitstream.fields import MAX_NAME, require
from q2d2.bitstream.header import BY_PRIOR, LENGTH_IN_TRAILER, MAGIC, VERSION, Header
from q2d2.bitstream.packing import MAX_CODEBOOKS, unpack_varint
from q2d2.bitstream.prior import Prior
from q2d2.bitstream.records import HeaderError, NotQ2D2Error, Source, TruncatedError, UnknownPriorError, VersionError

MAX_JSON_BYTES = 2048

# Of version 1: its name of each field, and ours.
JSON_FIELDS = {
    "model": "model",
    "weights": "weights",
    "sample_rate": "sample_rate_hz",
    "codec_rate": "codec_rate_hz",
    "hop": "hop",
    "samples": "num_samples",
    "points": "points",
}

Made = Callable[[], tuple[Header, Prior | None]]


def parse_header(beginning: bytes, priors: Iterable[Prior] = ()) -> Header:
    """The header of a file that begins with these bytes; BitstreamError if that is none, or not all of one.

    UnknownPriorError if it names a prior that is not among `priors`.
    """
    return read_header(Source(BytesIO(beginning)), priors)[0]


def read_header(source: Source, priors: Iterable[Prior]) -> tuple[Header, Prior | None]:
    """The header record, and the prior that it names. `priors`: those that it may name."""
    for byte in MAGIC:
        if source.take(1)[0] != byte:
            raise NotQ2D2Error("not a .q2d2 file: it does not begin with Q2D2")
    version = source.take(1)[0]
    if version not in (1, VERSION):
        raise VersionError(f"format version {version} is unknown: this program reads versions 1 and {VERSION}")
    taken = _Taken(source, MAGIC + bytes([version]))
    try:
        header = _json(taken) if version == 1 else _fields(taken, priors)
    except TruncatedError:
        raise
    except ValueError as error:
        raise HeaderError(f"damaged header: {error}") from error
    if int.from_bytes(source.take(4), "little") != crc32(taken.data):
        raise HeaderError("damaged header: its checksum does not match")
    try:
        return header()
    except UnknownPriorError:
        raise
    except (ValueError, RecursionError) as error:
        raise HeaderError(f"bad header: {str(error).splitlines()[0]}") from error


class _Taken:
    """A source, and all that was taken of it, which the checksum is of."""

    def __init__(self, source: Source, data: bytes) -> None:
        self._source, self.data = source, data

    def take(self, count: int) -> bytes:
        data = self._source.take(count)
        self.data += data
        return data

    def integer(self) -> int:
        return unpack_varint(self.take)


def _fields(taken: _Taken, priors: Iterable[Prior]) -> Made:
    """What makes the header of version 2, once its bytes are known to be undamaged."""
    kind = taken.take(1)[0]
    require(kind <= BY_PRIOR | LENGTH_IN_TRAILER, f"{kind} is no kind")
    if kind & BY_PRIOR:
        id_, codebooks = taken.take(8).hex(), taken.integer()
        rate_hz, num_samples = _original(taken, kind)

        def by_prior() -> tuple[Header, Prior]:
            prior = next((prior for prior in priors if prior.id == id_), None)
            if prior is None:
                raise UnknownPriorError(id_)
            return Header.by_prior(prior, codebooks, rate_hz, num_samples), prior

        return by_prior
    length = taken.integer()
    require(length <= 4 * MAX_NAME, f"a name of {length} bytes")
    name, weights = taken.take(length), taken.take(8).hex()
    codec_rate_hz, hop = taken.integer(), taken.integer()
    points: list[int] = []
    for _ in range(taken.integer()):
        count, size = taken.integer(), taken.integer()
        require(1 <= count <= MAX_CODEBOOKS - len(points), "too many codebooks, or a run of none")
        points += [size] * count
    rate_hz, num_samples = _original(taken, kind)
    return lambda: (Header(name.decode(), weights, rate_hz, codec_rate_hz, hop, tuple(points), num_samples), None)


def _original(taken: _Taken, kind: int) -> tuple[int, int | None]:
    """Sample rate and length of the original audio."""
    return taken.integer(), None if kind & LENGTH_IN_TRAILER else taken.integer()


def _json(taken: _Taken) -> Made:
    """The same of version 1."""
    length = int.from_bytes(taken.take(2), "little")
    require(length <= MAX_JSON_BYTES, f"it claims {length} bytes, more than {MAX_JSON_BYTES}")
    text = taken.take(length)
    return lambda: (_header_from_json(text), None)


def _header_from_json(text: bytes) -> Header:
    fields = json.loads(text.decode())
    require(isinstance(fields, dict) and set(fields) == set(JSON_FIELDS), "not the fields of version 1")
    for name in ("model", "weights"):
        require(isinstance(fields[name], str), f"{name} is no string")
    for name in ("sample_rate", "codec_rate", "hop"):
        require(_is_integer(fields[name]), f"{name} is no integer")
    require(fields["samples"] is None or _is_integer(fields["samples"]), "samples is no integer")
    require(isinstance(fields["points"], list), "points is no list")
    points: list[int] = []
    for run in fields["points"]:
        is_run = isinstance(run, list) and len(run) == 2 and all(map(_is_integer, run))
        require(is_run, "points is no list of [count, size]")
        count, size = run
        require(1 <= count <= MAX_CODEBOOKS, f"a count in points is not in 1..{MAX_CODEBOOKS}")
        points += [size] * count
    return Header(**{JSON_FIELDS[name]: value for name, value in fields.items()} | {"points": tuple(points)})


def _is_integer(value: object) -> bool:
    return type(value) is int  # and not isinstance: JSON's true would be one
