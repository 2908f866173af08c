"""`.q2d2` files: frames of indices <-> bytes on a disk or in a pipe. docs/format.md is the specification.

Header, chunks of frames that decode on their own, trailer with a seek table. A file is checked as it is read:
what comes out is what was written, or an error that names the damage in one line, or (`on_damage="skip"`) the
undamaged chunks and a list of what is missing. Knows numpy, not torch, and nothing of models but their priors
(`prior.py`), small networks of integers that make chunks shorter: a lower rate is a header with fewer points.
"""

from q2d2.bitstream.header import Header
from q2d2.bitstream.header_reading import parse_header
from q2d2.bitstream.prior import Prior, PriorError
from q2d2.bitstream.reader import Damage, DecodedChunk, Reader
from q2d2.bitstream.records import (
    BitstreamError,
    DamagedChunkError,
    DamagedTrailerError,
    HeaderError,
    NotQ2D2Error,
    ReadableFile,
    TrailingDataError,
    TruncatedError,
    UnknownPriorError,
    VersionError,
)
from q2d2.bitstream.writer import DEFAULT_CHUNK_FRAMES, WritableFile, Writer

__all__ = [
    "DEFAULT_CHUNK_FRAMES",
    "BitstreamError",
    "Damage",
    "DecodedChunk",
    "DamagedChunkError",
    "DamagedTrailerError",
    "Header",
    "HeaderError",
    "NotQ2D2Error",
    "Prior",
    "PriorError",
    "ReadableFile",
    "Reader",
    "TrailingDataError",
    "TruncatedError",
    "UnknownPriorError",
    "VersionError",
    "WritableFile",
    "Writer",
    "parse_header",
]
