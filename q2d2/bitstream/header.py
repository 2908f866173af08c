"""The header of a `.q2d2` file: what a decoder must know before the first frame.

It names the prior that its indices are coded with, from which model, weights and points follow, or says all of them
where there is no prior.
"""

from dataclasses import dataclass
from itertools import groupby
from zlib import crc32

from q2d2.bitstream.fields import MAX_RATE_HZ, require_codec, require_hash, require_range
from q2d2.bitstream.packing import MAX_ALPHABET, MAX_CODEBOOKS, MAX_INTEGER, pack_varint
from q2d2.bitstream.prior import Prior

MAGIC = b"Q2D2"
VERSION = 2
BY_PRIOR, LENGTH_IN_TRAILER = 1, 2  # bits of the kind

MAX_HEADER_BYTES = 4096  # no header of any version is longer


@dataclass(frozen=True)
class Header:
    """What a decoder must know before the first frame.

    model: name of the model that made the indices. weights: first 16 hex digits of the SHA-256 of its weights.
    sample_rate_hz: of the original audio. codec_rate_hz: of the audio inside the codec. hop: samples per frame at
    codec_rate_hz. points: alphabet size of each index of a frame. num_samples: length of the original audio at
    sample_rate_hz; None where the writer does not know it yet, and then the trailer says it. prior: the id of the
    `Prior` that states model, weights, codec_rate_hz, hop and alphabets (see `by_prior`); None where the header does.
    """

    model: str
    weights: str
    sample_rate_hz: int
    codec_rate_hz: int
    hop: int
    points: tuple[int, ...]
    num_samples: int | None = None
    prior: str | None = None

    def __post_init__(self) -> None:
        require_codec(self.model, self.weights, self.codec_rate_hz, self.hop)
        if self.prior is not None:
            require_hash("prior", self.prior)
        require_range("sample_rate_hz", self.sample_rate_hz, 1, MAX_RATE_HZ)
        require_range("the number of codebooks", len(self.points), 1, MAX_CODEBOOKS)
        for size in self.points:
            require_range("each of points", size, 1, MAX_ALPHABET)
        if self.num_samples is not None:
            require_range("num_samples", self.num_samples, 0, MAX_INTEGER)

    @classmethod
    def by_prior(cls, prior: Prior, codebooks: int, sample_rate_hz: int, num_samples: int | None = None) -> "Header":
        """That of a file whose first so many codebooks are coded with a prior. ValueError if it knows fewer."""
        require_range("the number of codebooks", codebooks, 1, len(prior.points))
        points = prior.points[:codebooks]
        return cls(
            prior.model, prior.weights, sample_rate_hz, prior.codec_rate_hz, prior.hop, points, num_samples, prior.id
        )

    def max_samples(self, num_frames: int) -> int:
        """The most samples at sample_rate_hz that so many frames stand for; one frame more, for rounding."""
        return (num_frames + 1) * self.hop * self.sample_rate_hz // self.codec_rate_hz + 1

    def to_bytes(self) -> bytes:
        """The header record: magic, version, kind, fields, CRC."""
        kind = (0 if self.prior is None else BY_PRIOR) | (LENGTH_IN_TRAILER if self.num_samples is None else 0)
        record = MAGIC + bytes([VERSION, kind])
        if self.prior is not None:
            record += bytes.fromhex(self.prior) + pack_varint(len(self.points))
        else:
            name = self.model.encode()
            runs = [(len(list(run)), size) for size, run in groupby(self.points)]
            record += pack_varint(len(name)) + name + bytes.fromhex(self.weights)
            record += pack_varint(self.codec_rate_hz) + pack_varint(self.hop) + pack_varint(len(runs))
            record += b"".join(pack_varint(count) + pack_varint(size) for count, size in runs)
        record += pack_varint(self.sample_rate_hz)
        if self.num_samples is not None:
            record += pack_varint(self.num_samples)
        return record + crc32(record).to_bytes(4, "little")
