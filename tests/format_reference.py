"""A second reader of `.q2d2` files, written from docs/format.md alone: no constriction and no numpy.

What it and the package agree on is the format; a library that changes its arithmetic is caught by it.
"""

import json
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


def decode_payload(payload: bytes, num_frames: int, points: list[int]) -> list[list[int]]:
    """Frames of indices."""
    num_words = -(-len(payload) // 4)
    padded = payload + bytes(4 * num_words - len(payload) + 8)
    point, taken = int.from_bytes(padded[:8], "big"), 2
    lower, range_ = 0, MODULUS - 1
    columns = []
    for n in points:
        column = []
        for _ in range(num_frames):
            if n == 1:
                column.append(0)
                continue
            scale, part = range_ >> 24, (1 << 24) // n
            quantile = (point - lower) % MODULUS // scale
            assert quantile < 1 << 24
            index = min(quantile // part, n - 1)
            width = part if index < n - 1 else (1 << 24) - (n - 1) * part
            lower = (lower + scale * part * index) % MODULUS
            range_ = scale * width
            if range_ < 1 << 32:
                word = int.from_bytes(padded[4 * taken : 4 * taken + 4].ljust(4, b"\0"), "big")
                range_, lower, taken = range_ << 32, (lower << 32) % MODULUS, taken + 1
                point = (point << 32) % MODULUS | word
            column.append(index)
        columns.append(column)
    assert taken >= num_words and (point - lower) % MODULUS < (1 << 33) - 1 or range_ == MODULUS - 1
    return [list(frame) for frame in zip(*columns, strict=True)]


def read(data: bytes) -> File:
    """The whole file; any damage is an AssertionError or worse."""
    assert data[:5] == b"Q2D2\x01"
    at = 7 + int.from_bytes(data[5:7], "little")
    header = json.loads(data[7:at])
    assert _crc_matches(data[:at], data[at : at + 4])
    points = [size for count, size in header["points"] for _ in range(count)]
    at += 4

    frames: list[list[int]] = []
    layout: list[tuple[int, int]] = []
    while data[at]:
        begin = at
        num_frames, at = _varint(data, at)
        start, at = _varint(data, at)
        length, at = _varint(data, at)
        payload = data[at + 4 : at + 4 + length]
        assert _crc_matches(data[begin:at] + payload, data[at : at + 4])
        assert start == len(frames)
        frames += decode_payload(payload, num_frames, points)
        at += 4 + length
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
