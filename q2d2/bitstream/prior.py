"""How likely every index is after those before it, in whole numbers: indices <-> fewer bytes.

A small network reads the last frames and what is known of this one, and gives every point of every codebook a weight;
the range coder spends log2(1 / share) bits on it. Files outlive machines, so nothing may depend on rounding. All
numbers of the network are integers; sums of their products stay below 2^53, where float64 is exact in every order of
summation; and the powers of two come from a table of whole numbers. docs/format.md has the arithmetic,
`tests/format_reference.py` the same in plain Python. Knows numpy, not torch, and nothing of files of frames.

Frames are coded one after the other and in a frame the groups of codebooks; the codebooks of a group at once, given

    the frames before   their values, running averages of these, and for each codebook its last index
    the groups before   of the same frame

    logits = output @ max(0, past @ seen + by_rate + by_group + sum of mix[index so far]) + bias + follow[last index]

A chunk begins with nothing seen. Codebooks beyond those of a lower rate are as if they were never there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from math import isqrt
from pathlib import Path
from typing import Any, NamedTuple

import constriction
import numpy as np
from jaxtyping import Float64, Int64, Integer
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from q2d2.bitstream.fields import require, require_codec, require_range
from q2d2.bitstream.packing import MAX_CODEBOOKS, PackingError, decoder_of, payload_of

VALUE_PLACES, KEPT_PLACES, PLACES = 8, 6, 10  # binary places: of values, more of them in averages, of everything else
HIDDEN_PLACES = VALUE_PLACES + KEPT_PLACES + PLACES
LOGIT_PLACES = 6
OCTAVES = 18  # points less likely than the likeliest by more than that share 2^-24 each, 24 bits
TOTAL = 1 << 16  # what the shares of a codebook add up to
MAX_POINTS = 1 << 14  # of a codebook; TOTAL * 2^OCTAVES * MAX_POINTS is below 2^53
FOLLOWED = 256  # points: codebooks of more have no table of what follows what
EXACT = 1 << 53
MAX_BACK = 16
MAX_NUMBERS = 1 << 23  # in memory, 64 MiB: a prior's file is small, and what becomes of it for a rate should be
BLOCK, BLOCK_SHARES = 256, 1 << 20  # most frames, and shares, that are computed at once where all indices are known
CATEGORICAL = constriction.stream.model.Categorical(perfect=False)
ABOUT = {
    "model": str,
    "weights": str,
    "codec_rate_hz": int,
    "hop": int,
    "points": tuple,
    "starts": tuple,
    "frames_back": int,
    "decays": tuple,
}
FIELDS = ("value", "past", "by_rate", "by_group", "mix", "output", "bias", "follow")


class PriorError(ValueError):
    """A prior that cannot be read or used, in one line."""


@dataclass(frozen=True, eq=False)
class Prior:
    """The numbers of the network, and which indices it is for.

    model, weights, codec_rate_hz, hop: of the codec, as in a file's header. points: the alphabet of every codebook.
    starts: the first codebook of every group. decays: of the running averages, which go 2^-decay of the way to each new
    frame. With P the sum of the points, H hidden units, d values an index, and n frames and averages:
    """

    model: str
    weights: str
    codec_rate_hz: int
    hop: int
    points: tuple[int, ...]
    starts: tuple[int, ...]
    frames_back: int
    decays: tuple[int, ...]
    value: np.ndarray  # int16 [P, d]
    past: np.ndarray  # int16 [n, codebooks * d, H]
    by_rate: np.ndarray  # int16 [codebooks, H]: added up over the codebooks that there are
    by_group: np.ndarray  # int16 [groups, H]
    mix: np.ndarray  # int16 [P, H]
    output: np.ndarray  # int16 [P, H]
    bias: np.ndarray  # int32 [P]
    follow: np.ndarray  # int16: of every codebook [`follow_rows`, points], after none, after index 0, ...

    def __post_init__(self) -> None:
        try:
            self._check()
        except ValueError as error:
            raise PriorError(f"no prior: {error}") from error
        for name in FIELDS:  # the hash names these numbers and no others
            getattr(self, name).flags.writeable = False

    @cached_property
    def id(self) -> str:
        """By which files name it: first 16 hex digits of the SHA-256 of its file."""
        return hashlib.sha256(self.data).hexdigest()[:16]

    @cached_property
    def data(self) -> bytes:
        """Its file, in safetensors; of one that was loaded, the very bytes, whatever another library makes of them."""
        about = {name: getattr(self, name) for name in ABOUT}
        return save({name: getattr(self, name) for name in FIELDS}, {"prior": json.dumps(about, sort_keys=True)})

    @classmethod
    def load(cls, path: Path) -> Prior:
        """The prior in a file that holds what `data` gives; PriorError if it does not."""
        try:
            data = path.read_bytes()
            with safe_open(path, "np") as file:
                about = _about((file.metadata() or {})["prior"])
                for name in FIELDS:
                    if file.get_slice(name).get_dtype() != ("I32" if name == "bias" else "I16"):
                        raise ValueError(f"{name} has other numbers")
                fields = {name: file.get_tensor(name) for name in FIELDS}
            prior = cls(**about, **fields)
        except (SafetensorError, OSError, LookupError, RecursionError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise PriorError(f"{path}: is no prior that this program can read ({reason}); fetch it again") from error
        vars(prior)["data"] = data
        return prior

    def pack(self, indices: Integer[np.ndarray, "frames codebooks"]) -> bytes:
        """A chunk: indices of the first so many codebooks. That each is in its alphabet is not checked."""
        encoder = constriction.stream.queue.RangeEncoder()
        for symbols, steps in self._blocks(indices):
            symbols = symbols.astype(np.int32)
            for frame, row in enumerate(symbols):
                for columns, shares in steps:
                    encoder.encode(row[columns], CATEGORICAL, shares[frame])
        return payload_of(encoder)

    def unpack(self, payload: bytes, frames: int, codebooks: int) -> Int64[np.ndarray, "frames codebooks"]:
        """The inverse of `pack`; PackingError for bytes that it never gives."""
        decoder, network = decoder_of(payload), self._network(codebooks)
        points = np.array(self.points[:codebooks])
        indices = np.zeros((frames, codebooks), dtype=np.int64)
        past = _Past(network)
        try:
            for row in indices:
                hidden = past.hidden()
                for group in network.groups:
                    found = decoder.decode(CATEGORICAL, group.shares(hidden, past.last[group.columns]))
                    row[group.columns] = found
                    # a forged payload may hold points that only fill up an alphabet: those are refused below
                    hidden += np.add.reduce(network.mix.take(found + group.rows, axis=0, mode="clip"))
                if (row >= points).any():
                    raise PackingError("the payload holds points that its codebooks lack")
                past.see(row)
        except AssertionError as error:  # what constriction raises for words that no encoder writes
            raise PackingError("the payload is no output of the range coder") from error
        if not decoder.maybe_exhausted():
            raise PackingError("the payload holds more than its frames")
        return indices

    def bits(self, indices: Integer[np.ndarray, "frames codebooks"]) -> Float64[np.ndarray, " codebooks"]:
        """Bits that each codebook takes in `pack`, summed over the frames; the coder's last words are not counted."""
        total = np.zeros(indices.shape[1])
        for symbols, steps in self._blocks(indices):
            for columns, shares in steps:
                share = np.take_along_axis(shares, symbols[:, columns, None], -1)[..., 0] / TOTAL
                total[columns] -= np.log2(np.maximum(share, 2.0**-24)).sum(0)
        return total

    def _blocks(self, indices: Integer[np.ndarray, "frames codebooks"]) -> Iterator[tuple[np.ndarray, list[_Step]]]:
        """The indices of a few frames at a time, and the shares of all their groups."""
        network = self._network(indices.shape[1])
        past = _Past(network)
        block = max(1, min(BLOCK, BLOCK_SHARES // network.filled))
        for first in range(0, len(indices), block):
            symbols = indices[first : first + block].astype(np.int64)
            yield symbols, list(network.steps(symbols, past))

    @cached_property
    def _networks(self) -> dict[int, _Network]:
        return {}

    def _network(self, codebooks: int) -> _Network:
        if not 1 <= codebooks <= len(self.points):
            raise ValueError(f"{codebooks} codebooks, of a prior for 1 to {len(self.points)}")
        if codebooks not in self._networks:
            self._networks[codebooks] = _Network(self, codebooks)
        return self._networks[codebooks]

    def _check(self) -> None:
        """ValueError unless the shapes fit together and no sum can leave what float64 holds exactly."""
        require_codec(self.model, self.weights, self.codec_rate_hz, self.hop)
        require_range("the number of codebooks", len(self.points), 1, MAX_CODEBOOKS)
        for size in self.points:
            require_range("each of points", size, 1, MAX_POINTS)
        for number in (*self.decays, self.frames_back, len(self.decays)):
            require_range("each of decays, their number and frames_back", number, 0, MAX_BACK)
        every, codebooks = sum(self.points), len(self.points)
        in_order = list(self.starts) == sorted({*self.starts}) and self.starts[:1] == (0,)
        require(in_order and self.starts[-1] < codebooks, "the groups do not divide the codebooks")
        require(self.value.ndim == self.mix.ndim == 2, "value and mix are no tables")
        width, hidden = self.value.shape[1], self.mix.shape[1]
        require(width >= 1 and hidden >= 1, "it has no values or no hidden units")
        sizes = [self.points[first:stop] for first, stop in pairwise([*self.starts, codebooks])]
        filled = sum(len(group) * max(group) for group in sizes)  # points, with those that fill up smaller alphabets
        after = sum(sum(follow_rows(group)) * max(group) for group in sizes)
        inputs = (self.frames_back + len(self.decays)) * codebooks * width
        numbers = (filled + every + inputs) * hidden + after
        require(numbers <= MAX_NUMBERS, f"it needs {numbers:,} numbers, more than {MAX_NUMBERS:,}")
        shapes = {
            "value": (every, width),
            "past": (self.frames_back + len(self.decays), codebooks * width, hidden),
            "by_rate": (codebooks, hidden),
            "by_group": (len(self.starts), hidden),
            "mix": (every, hidden),
            "output": (every, hidden),
            "bias": (every,),
            "follow": (sum(rows * size for rows, size in zip(follow_rows(self.points), self.points, strict=True)),),
        }
        for name, shape in shapes.items():
            own = getattr(self, name)
            whole = own.dtype == (np.int32 if name == "bias" else np.int16)
            require(whole and own.shape == shape, f"{name} is {own.dtype} {own.shape}, not integers of {shape}")
        largest = {name: np.abs(getattr(self, name).astype(np.float64)) for name in FIELDS}
        seen = largest["past"].sum((0, 1)) * largest["value"].max() * 2**KEPT_PLACES
        known = largest["by_rate"].sum(0) + largest["by_group"].max(0) + codebooks * largest["mix"].max(0)
        top = seen + known * 2 ** (HIDDEN_PLACES - PLACES)
        rest = (largest["bias"].max() + largest["follow"].max()) * 2**HIDDEN_PLACES
        largest_sum = float((largest["output"] @ top).max() + rest)
        require(largest_sum < EXACT, "its numbers are too large for sums to be exact")


def follow_rows(points: Sequence[int]) -> list[int]:
    """Rows of `follow` of each codebook: after no index and after each; a single one for more than FOLLOWED points."""
    return [size + 1 if size <= FOLLOWED else 1 for size in points]


def _about(text: str) -> dict[str, Any]:
    """What a prior's file says in JSON; ValueError if it is something else."""
    about = json.loads(text)
    if not isinstance(about, dict) or set(about) != set(ABOUT):
        raise ValueError("it does not say what it is for")
    for name, kind in ABOUT.items():
        value = about[name]
        if kind is tuple and isinstance(value, list) and all(type(number) is int for number in value):
            about[name] = tuple(value)
        elif type(value) is not kind:
            raise ValueError(f"{name} is {value!r}")
    return about


@cache
def _powers() -> Float64[np.ndarray, " steps"]:
    """2^(OCTAVES - i / 2^LOGIT_PLACES), rounded down, by roots of whole numbers, times TOTAL; then a 0."""
    numbers = []
    for down in range((OCTAVES << LOGIT_PLACES) + 1):
        root = 1 << ((OCTAVES << LOGIT_PLACES) - down)
        for _ in range(LOGIT_PLACES):
            root = isqrt(root)
        numbers.append(root)
    return np.array([*numbers, 0], dtype=np.float64) * TOTAL


class _Step(NamedTuple):
    """The codebooks that are coded together, and the shares of their points, which add up to TOTAL."""

    columns: slice
    shares: Float64[np.ndarray, "frames group points"]


class _Group:
    """Codebooks that are coded together. Smaller alphabets are filled up with points that have no share."""

    def __init__(self, prior: Prior, first: int, stop: int) -> None:
        sizes, offsets = prior.points[first:stop], np.cumsum([0, *prior.points])
        rows = follow_rows(prior.points)
        tables = np.split(prior.follow, np.cumsum([n * size for n, size in zip(rows, prior.points, strict=True)])[:-1])
        largest, hidden = max(2, *sizes), prior.output.shape[1]  # the coder has no model for a single point
        # how far down, in steps of the table of powers: minus the logits
        output = np.zeros((len(sizes), largest, hidden))
        down = np.full((sum(rows[first:stop]), largest), float(2**40))
        self.after = np.cumsum([0, *rows[first:stop]])[:-1]  # rows of `_down` before each codebook's own
        for i, size in enumerate(sizes):
            own = slice(offsets[first + i], offsets[first + i] + size)
            output[i, :size] = prior.output[own] * -(2.0 ** (LOGIT_PLACES - HIDDEN_PLACES - PLACES))
            after = tables[first + i].reshape(-1, size) + prior.bias[own].astype(np.float64)
            down[self.after[i] : self.after[i] + len(after), :size] = after * -(2.0 ** (LOGIT_PLACES - PLACES))
        self.columns = slice(first, stop)
        self.rows = offsets[first:stop]
        self.largest = largest
        self._shape = (len(sizes), largest)
        self._output = np.ascontiguousarray(output.reshape(-1, hidden).T)
        self._down = down

    def shares(
        self, hidden: Float64[np.ndarray, "*frames H"], last: Int64[np.ndarray, "*frames group"]
    ) -> Float64[np.ndarray, "*frames group points"]:
        """Whole numbers that add up to TOTAL. `last`: as in `_Past`."""
        down = (np.maximum(hidden, 0) @ self._output).reshape(*hidden.shape[:-1], *self._shape)
        down += self._down.take(last, axis=0)
        down -= np.minimum.reduce(down, -1, keepdims=True)
        powers = _powers()
        sums = np.add.accumulate(powers.take(down.astype(np.int64), mode="clip"), -1)
        sums /= sums[..., -1:] / TOTAL
        np.floor(sums, out=sums)  # as exact as a division of whole numbers: see docs/format.md
        later = sums[..., 1:]
        later -= sums[..., :-1].copy()
        return sums


class _Network:
    """A prior's numbers as its first codebooks need them."""

    def __init__(self, prior: Prior, codebooks: int) -> None:
        width, hidden = prior.value.shape[1], prior.mix.shape[1]
        starts = [start for start in prior.starts if start < codebooks]
        self.groups = [_Group(prior, first, stop) for first, stop in pairwise([*starts, codebooks])]
        offsets = np.cumsum([0, *prior.points])
        self.rows = offsets[:codebooks]
        self.filled = sum(len(group.rows) * group.largest for group in self.groups)
        self.after = np.concatenate([group.after for group in self.groups])
        self.followed = np.array(prior.points[:codebooks]) <= FOLLOWED  # whether the last index counts
        # what an index adds to the hidden units; that of a group's first codebook also goes over to the next group
        self.mix = prior.mix.astype(np.float64)
        changes = np.diff(prior.by_group.astype(np.float64), axis=0)
        for start, change in zip(prior.starts, changes, strict=False):  # the last group has no next
            self.mix[offsets[start] : offsets[start + 1]] += change
        self.mix *= 2.0 ** (HIDDEN_PLACES - PLACES)
        self.value = prior.value.astype(np.float64) * 2**KEPT_PLACES
        self.past = prior.past[:, : codebooks * width].reshape(-1, hidden).astype(np.float64)
        first = prior.by_rate[:codebooks].astype(np.float64).sum(0) + prior.by_group[0]
        self.first = first * 2.0 ** (HIDDEN_PLACES - PLACES)
        self.frames_back = prior.frames_back
        self.share_of_new = 2.0 ** -np.array(prior.decays, dtype=np.float64)[:, None]
        self.inputs = (prior.frames_back + len(prior.decays), codebooks * width)

    def steps(self, symbols: Int64[np.ndarray, "frames codebooks"], past: _Past) -> Iterator[_Step]:
        """All groups of a block of frames that are known."""
        inputs = np.empty((len(symbols), *self.inputs))
        last = np.empty_like(symbols)
        for frame, row in enumerate(symbols):
            inputs[frame], last[frame] = past.seen, past.last
            past.see(row)
        hidden = inputs.reshape(len(symbols), -1) @ self.past + self.first
        for group in self.groups:
            yield _Step(group.columns, group.shares(hidden, last[:, group.columns]))
            hidden += self.mix.take(symbols[:, group.columns] + group.rows, axis=0).sum(1)


class _Past:
    """What has been seen of a chunk."""

    def __init__(self, network: _Network) -> None:
        self._network = network
        self.seen = np.zeros(network.inputs)  # the last frames, the latest first; the averages
        self.last = network.after  # for each codebook, the row of what follows its last index

    def hidden(self) -> Float64[np.ndarray, " H"]:
        return self.seen.ravel() @ self._network.past + self._network.first

    def see(self, row: Int64[np.ndarray, " codebooks"]) -> None:
        network = self._network
        frames, averages = self.seen[: network.frames_back], self.seen[network.frames_back :]
        values = network.value.take(row + network.rows, axis=0).ravel()
        averages += np.floor((values - averages) * network.share_of_new)
        frames[1:] = frames[:-1].copy()
        frames[:1] = values
        self.last = network.after + (row + 1) * network.followed
