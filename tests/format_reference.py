"""A second reader of `.q2d2` files, written from docs/format.md alone: no constriction, no numpy, no floats.

What it and the package agree on is the format; a library that changes its arithmetic is caught by it.
"""

import hashlib
import json
import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import accumulate, pairwise
from math import isqrt
from typing import Any, NamedTuple
from zlib import crc32

MODULUS = 1 << 64


class File(NamedTuple):
    header: dict[str, Any]
    points: list[int]
    frames: list[list[int]]
    chunk_frames: list[int]
    num_samples: int


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value, at


def _crc_matches(data: bytes, stored: bytes) -> bool:
    return crc32(data) == int.from_bytes(stored, "little")


class Decoder:
    """The range decoder."""

    def __init__(self, payload: bytes) -> None:
        self._num_words = -(-len(payload) // 4)
        self._padded = payload + bytes(4 * self._num_words - len(payload) + 8)
        self._point, self._taken = int.from_bytes(self._padded[:8], "big"), 2
        self._lower, self._range = 0, MODULUS - 1

    def symbol(self, edges: Sequence[int]) -> int:
        """The next symbol; symbol i has the quantiles edges[i]..edges[i + 1] - 1."""
        scale = self._range >> 24
        quantile = (self._point - self._lower) % MODULUS // scale
        assert quantile < 1 << 24
        symbol = bisect_right(edges, quantile) - 1
        self._lower = (self._lower + scale * edges[symbol]) % MODULUS
        self._range = scale * (edges[symbol + 1] - edges[symbol])
        if self._range < 1 << 32:
            word = int.from_bytes(self._padded[4 * self._taken : 4 * self._taken + 4].ljust(4, b"\0"), "big")
            self._range, self._lower = self._range << 32, (self._lower << 32) % MODULUS
            self._taken += 1
            self._point = (self._point << 32) % MODULUS | word
        return symbol

    def check_end(self) -> None:
        at_end = self._taken >= self._num_words and (self._point - self._lower) % MODULUS < (1 << 33) - 1
        assert at_end or self._range == MODULUS - 1


def decode_payload(payload: bytes, num_frames: int, points: list[int]) -> list[list[int]]:
    """Frames of indices, each at log2(points) bits."""
    decoder = Decoder(payload)
    columns = []
    for n in points:
        edges = [i * ((1 << 24) // n) for i in range(n)] + [1 << 24]
        columns.append([decoder.symbol(edges) if n > 1 else 0 for _ in range(num_frames)])
    decoder.check_end()
    return [list(frame) for frame in zip(*columns, strict=True)]


class Prior:
    """A prior file, in whole numbers."""

    def __init__(self, data: bytes) -> None:
        self.id = hashlib.sha256(data).hexdigest()[:16]
        begin = 8 + int.from_bytes(data[:8], "little")
        about = json.loads(data[8:begin])
        self.header = json.loads(about.pop("__metadata__")["prior"])
        self.points: list[int] = self.header["points"]
        self.offsets = [0, *accumulate(self.points)]
        for name, entry in about.items():
            first, stop = entry["data_offsets"]
            code = {"I16": "h", "I32": "i"}[entry["dtype"]]
            numbers = struct.unpack(
                f"<{(stop - first) // struct.calcsize(code)}{code}", data[begin + first : begin + stop]
            )
            setattr(self, name, _shaped(list(numbers), entry["shape"]))

    def decode(self, payload: bytes, num_frames: int, codebooks: int) -> list[list[int]]:
        decoder = Decoder(payload)
        frames: list[list[int]] = []
        seen = self._seen(codebooks)
        for _ in range(num_frames):
            frame: list[int] = []
            hidden = next(seen) if not frames else seen.send(frames[-1])
            for number, (first, stop) in enumerate(self._groups(codebooks)):
                known = [(h + (g << 14)) for h, g in zip(hidden, self.by_group[number], strict=True)]
                largest = max(2, *self.points[first:stop])
                found = [
                    decoder.symbol(_edges(self._logits(known, book, frames[-1][book] + 1 if frames else 0), largest))
                    for book in range(first, stop)
                ]
                for book, index in enumerate(found, first):
                    assert index < self.points[book]
                    hidden = [h + (m << 14) for h, m in zip(hidden, self.mix[self.offsets[book] + index], strict=True)]
                frame += found
            frames.append(frame)
        decoder.check_end()
        return frames

    def _groups(self, codebooks: int) -> list[tuple[int, int]]:
        return list(pairwise([*(start for start in self.header["starts"] if start < codebooks), codebooks]))

    def _seen(self, codebooks: int) -> Iterator[Any]:
        """Frame after frame: the hidden units, as far as the past and the rate determine them."""
        width = len(self.value[0])
        back = [[0] * (codebooks * width) for _ in range(self.header["frames_back"])]
        averages = [[0] * (codebooks * width) for _ in self.header["decays"]]
        while True:
            hidden = [sum(column) << 14 for column in zip(*self.by_rate[:codebooks], strict=True)]
            for inputs, weights in zip(back + averages, self.past, strict=True):
                for x, row in zip(inputs, weights, strict=False):
                    if x:
                        hidden = [h + x * w for h, w in zip(hidden, row, strict=True)]
            frame = yield hidden
            new = [v << 6 for book, index in enumerate(frame) for v in self.value[self.offsets[book] + index]]
            back = [new, *back][: len(back)]
            averages = [
                [a + ((n - a) >> decay) for a, n in zip(average, new, strict=True)]
                for average, decay in zip(averages, self.header["decays"], strict=True)
            ]

    def _logits(self, hidden: list[int], book: int, last: int) -> list[int]:
        size, begin = self.points[book], self.offsets[book]
        pairs = sum((n + 1 if n <= 256 else 1) * n for n in self.points[:book]) + (last if size <= 256 else 0) * size
        return [
            sum(max(h, 0) * w for h, w in zip(hidden, self.output[begin + i], strict=True))
            + ((self.bias[begin + i] + self.follow[pairs + i]) << 24)
            for i in range(size)
        ]


def _shaped(numbers: list[int], shape: list[int]) -> Any:
    if len(shape) == 1:
        return numbers
    rest = len(numbers) // shape[0] if shape[0] else 0
    return [_shaped(numbers[i * rest : (i + 1) * rest], shape[1:]) for i in range(shape[0])]


@cache
def _power(down: int) -> int:
    """2^(18 - down / 64), rounded down."""
    root = 1 << (18 * 64 - down)
    for _ in range(6):
        root = isqrt(root)
    return root


def _edges(logits: list[int], n: int) -> list[int]:
    top = max(logits)
    downs = [(top - logit) >> 28 for logit in logits]
    weights = [_power(down) if down <= 18 * 64 else 0 for down in downs] + [0] * (n - len(logits))
    total = sum(weights)
    shares = [(part << 16) // total for part in accumulate(weights, initial=0)]
    return [(share * ((1 << 24) - n) >> 16) + i for i, share in enumerate(shares[:-1])] + [1 << 24]


class _Bytes:
    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at

    def take(self, count: int) -> bytes:
        self.at += count
        return self.data[self.at - count : self.at]

    def integer(self) -> int:
        value, self.at = _varint(self.data, self.at)
        return value


def _header(data: bytes, prior: Prior | None) -> tuple[dict[str, Any], int]:
    """The header under the names of version 1, with `by_prior`, and where it ends."""
    assert data[:4] == b"Q2D2" and data[4] in (1, 2)
    if data[4] == 1:
        at = 7 + int.from_bytes(data[5:7], "little")
        header = json.loads(data[7:at])
        header["points"] = [size for count, size in header["points"] for _ in range(count)]
        header["by_prior"] = False
    else:
        kind, rest = data[5], _Bytes(data, 6)
        assert kind < 4
        if kind & 1:
            assert prior is not None and rest.take(8).hex() == prior.id
            names = {"model": "model", "weights": "weights", "codec_rate_hz": "codec_rate", "hop": "hop"}
            header = {ours: prior.header[theirs] for theirs, ours in names.items()}
            header["points"] = prior.points[: rest.integer()]
        else:
            header = {"model": rest.take(rest.integer()).decode(), "weights": rest.take(8).hex()}
            header |= {"codec_rate": rest.integer(), "hop": rest.integer()}
            runs = [(rest.integer(), rest.integer()) for _ in range(rest.integer())]
            header["points"] = [size for count, size in runs for _ in range(count)]
        header |= {"by_prior": bool(kind & 1), "sample_rate": rest.integer()}
        header["samples"] = None if kind & 2 else rest.integer()
        at = rest.at
    assert _crc_matches(data[:at], data[at : at + 4])
    return header, at + 4


def read(data: bytes, prior: Prior | None = None) -> File:
    """The whole file; any damage is an AssertionError or worse."""
    header, at = _header(data, prior)
    points = header["points"]

    frames: list[list[int]] = []
    layout: list[tuple[int, int]] = []
    while data[at]:
        begin = at
        num_frames, at = _varint(data, at)
        start, at = _varint(data, at)
        length, at = _varint(data, at)
        coded = header["by_prior"] and length & 1
        size = length >> 1 if header["by_prior"] else length
        payload = data[at + 4 : at + 4 + size]
        assert _crc_matches(data[begin:at] + payload, data[at : at + 4])
        assert start == len(frames)
        if coded:
            assert prior is not None
            frames += prior.decode(payload, num_frames, len(points))
        else:
            frames += decode_payload(payload, num_frames, points)
        at += 4 + size
        layout.append((num_frames, at - begin))

    begin = at
    length, at = _varint(data, at + 1)
    end = at + length
    assert _crc_matches(data[begin:end] + begin.to_bytes(8, "little"), data[end : end + 4])
    assert data[end + 4 :] == (end + 4 - begin).to_bytes(3, "little") + b"2Q"
    total, at = _varint(data, at)
    num_samples = header["samples"]
    if num_samples is None:
        num_samples, at = _varint(data, at)
    table = []
    while at < end:
        chunk_frames, at = _varint(data, at)
        chunk_bytes, at = _varint(data, at)
        table.append((chunk_frames, chunk_bytes))
    assert table == layout[:-1] and total == len(frames)
    return File(header, points, frames, [n for n, _ in layout], num_samples)
