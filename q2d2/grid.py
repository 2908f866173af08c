"""Tilings of the plane and of space: finite point sets, nearest points, indices. Geometry only.

Every grid here is a union of *cosets*, and a coset is a box of evenly spaced points (origin, step, size per axis). In
one box the nearest point is found axis by axis, `clamp(round((z - origin) / step), 0, size - 1)`: the axes are
separable and the squared distance is convex in each, so clamping after rounding is exact, inside the hull and outside
it. The nearest point of the union is the nearest of the boxes' candidates. This costs O(cosets), not O(points), needs
no table and no distance matrix, and stays exact at the boundary, where snapping on the infinite lattice and clamping
afterwards is wrong for 13 % of the box (rhombic, 7 levels).

Coordinates are in units of the spacing along the first axis, centred on the origin. Ties go to the lowest index.
This module knows nothing of quantizers, gradients or audio.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from pydantic import Discriminator
from torch import Tensor

FAR = 1e30  # what an infinite coordinate counts as: its products still fit float32
TIE = 1e-30  # per index: tells equal distances apart, and is lost in any other difference


class Coset(NamedTuple):
    """A box of evenly spaced points; the point with coordinates k has index `base + sum(k * stride)`."""

    origin: tuple[float, ...]
    step: tuple[float, ...]
    size: tuple[int, ...]
    base: int
    stride: tuple[int, ...]


Number = int | float | Tensor


class Box(NamedTuple):
    """A coset as `nearest` wants it: numbers for one grid, tensors [grids 1] for several side by side."""

    factor: tuple[Number, ...]  # with `shift`: from a coordinate to half a step below its place in the box
    shift: tuple[Number, ...]
    last: tuple[Number, ...]
    step: tuple[Number, ...]
    origin: tuple[Number, ...]
    stride: tuple[Number, ...]
    base: Number


class Nearest(NamedTuple):
    """The grid point nearest to each input, and its index."""

    points: Float[Tensor, "*batch dimension"]
    indices: Int64[Tensor, "*batch"]


def _box(size: tuple[int, ...], base: int, centre: float = 0.0) -> Coset:
    """A unit-spaced box around `centre` (on every axis), indexed row-major from `base`."""
    origin = tuple(centre - (n - 1) / 2 for n in size)
    stride = tuple(math.prod(size[axis + 1 :]) for axis in range(len(size)))
    return Coset(origin, (1.0,) * len(size), size, base, stride)


@dataclass(frozen=True)
class Grid:
    """What all grids share. Leaves add `cosets`; levels are points per axis of the underlying box."""

    dimension: ClassVar[int] = 2
    scale: ClassVar[tuple[float, ...]] = (1.0, 1.0)  # distance of two levels, per axis

    levels: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.levels) != self.dimension:
            raise ValueError(f"{type(self).__name__} needs {self.dimension} levels (one per axis), got {self.levels}")
        if not all(isinstance(level, int) and level >= 2 for level in self.levels):
            raise ValueError(
                f"{type(self).__name__} needs whole numbers of at least 2 levels per axis, got {self.levels}"
            )
        if self.num_points > 2**24:
            raise ValueError(f"{self} has {self.num_points} points; float32 counts exactly to 2**24 only")

    @property
    def cosets(self) -> tuple[Coset, ...]:
        """The boxes whose union is the grid."""
        raise TypeError(f"{type(self).__name__} is abstract: use one of its leaves, e.g. RhombicGrid((7, 7))")

    @cached_property
    def boxes(self) -> list[Box]:
        """The same as `nearest` wants them."""
        return [_as_box(coset) for coset in self.cosets]

    @property
    def extent(self) -> tuple[float, ...]:
        """Half the width of the underlying box of points: the paper's spread e = (l - 1) / 2, per axis."""
        return tuple(s * (level - 1) / 2 for s, level in zip(self.scale, self.levels, strict=True))

    @property
    def half_width(self) -> tuple[float, ...]:
        """Half the width of the area the points serve: the paper's bound l / 2 (Eq. 1), per axis."""
        return tuple(s * level / 2 for s, level in zip(self.scale, self.levels, strict=True))

    @property
    def num_points(self) -> int:
        return sum(math.prod(coset.size) for coset in self.cosets)

    @cached_property
    def points(self) -> np.ndarray:
        """All points in the order of their indices: float64 [num_points, dimension]."""
        table = np.empty((self.num_points, self.dimension))
        for coset in self.cosets:
            k = np.indices(coset.size).reshape(self.dimension, -1).T
            table[coset.base + k @ np.array(coset.stride)] = np.array(coset.origin) + k * np.array(coset.step)
        return table

    @torch.no_grad()
    def nearest(self, z: Float[Tensor, "*batch dimension"]) -> Nearest:
        """Nearest grid point (Eq. 3), in z's dtype (float32 or float64; anything narrower is computed in float32).

        Infinities count as very large numbers. NaN stays NaN in the point and gives some valid index.
        """
        z = z.to(torch.promote_types(z.dtype, torch.float32)).clamp(-FAR, FAR)
        points, indices = nearest(z.unbind(-1), self.boxes)
        return Nearest(torch.stack(points, dim=-1), indices.to(torch.int64))

    def index_to_point(self, indices: Int64[Tensor, "*batch"]) -> Float[Tensor, "*batch dimension"]:
        """Coordinates (float64) of the points with these indices; IndexError outside 0..num_points-1."""
        if indices.numel() and (int(indices.min()) < 0 or int(indices.max()) >= self.num_points):
            raise IndexError(f"indices of {self} lie in 0..{self.num_points - 1}")
        return torch.from_numpy(self.points).to(indices.device)[indices]

    def point_to_index(self, points: Float[Tensor, "*batch dimension"]) -> Int64[Tensor, "*batch"]:
        """Indices of these points; ValueError for a coordinate that is no grid point (within 1e-3 of the spacing)."""
        found = self.nearest(points)
        if found.points.numel() and not float((found.points - points).abs().max()) < 1e-3:
            raise ValueError(f"not all of these are points of {self}")
        return found.indices


@dataclass(frozen=True)
class RectangularGrid(Grid):
    """Algorithm 2: an evenly spaced rectangle, first axis outermost."""

    levels: tuple[int, int]
    tiling: Literal["rectangular"] = "rectangular"

    @property
    def cosets(self) -> tuple[Coset, ...]:
        return (_box(self.levels, 0),)


@dataclass(frozen=True)
class RhombicGrid(Grid):
    """Algorithm 3: the rectangle and its midpoints.

    `interior` midpoints (l1 l2 + (l1-1)(l2-1) points) explain Fig. 1c and every bandwidth the paper states; `full` is
    the algorithm as it literally reads: as many midpoints as points, all shifted by half a step (2 l1 l2). With its
    unit spacing the tiling is the square lattice turned by 45 degrees: no granular gain over the rectangle.
    """

    levels: tuple[int, int]
    midpoints: Literal["interior", "full"] = "interior"
    tiling: Literal["rhombic"] = "rhombic"

    @property
    def cosets(self) -> tuple[Coset, ...]:
        regular = _box(self.levels, 0)
        first = math.prod(self.levels)
        if self.midpoints == "full":
            return regular, _box(self.levels, first, centre=0.5)
        inner = (self.levels[0] - 1, self.levels[1] - 1)
        return regular, _box(inner, first)


def _staggered(levels: tuple[int, int], step: tuple[float, ...], offset: float) -> tuple[Coset, ...]:
    """Rows of x along y, even rows moved by +offset and odd ones by -offset; index order row by row (Algorithm 1)."""
    columns, rows = levels
    x0, y0 = -step[0] * (columns - 1) / 2, -step[1] * (rows - 1) / 2
    return tuple(
        Coset(
            origin=(x0 + sign * offset * step[0], y0 + parity * step[1]),
            step=(step[0], 2 * step[1]),
            size=(columns, (rows + 1 - parity) // 2),
            base=parity * columns,
            stride=(1, 2 * columns),
        )
        for parity, sign in ((0, 1), (1, -1))
    )


@dataclass(frozen=True)
class HexagonalGrid(Grid):
    """Algorithm 1: staggered rows one x-spacing apart, shifted by +-`offset` spacings (dx/4; Table 12 varies it).

    The algorithm computes dy = dx sqrt(3)/2 and never uses it, so this is not the regular hexagonal lattice: second
    moment 0.0807, where `RegularHexagonalGrid` has 0.0802. An offset of 0.5 is the square lattice again.
    """

    levels: tuple[int, int]
    offset: float = 0.25
    tiling: Literal["hexagonal"] = "hexagonal"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not -0.5 <= self.offset <= 0.5:
            raise ValueError(f"the row offset is a share of the spacing in -0.5..0.5, got {self.offset}")

    @property
    def cosets(self) -> tuple[Coset, ...]:
        return _staggered(self.levels, self.scale, self.offset)


@dataclass(frozen=True)
class RegularHexagonalGrid(Grid):
    """True A2: rows sqrt(3)/2 apart, six equidistant neighbours; the best lattice of the plane (0.0802)."""

    scale: ClassVar[tuple[float, ...]] = (1.0, math.sqrt(3) / 2)

    levels: tuple[int, int]
    tiling: Literal["regular_hexagonal"] = "regular_hexagonal"

    @property
    def cosets(self) -> tuple[Coset, ...]:
        return _staggered(self.levels, self.scale, 0.25)


@dataclass(frozen=True)
class BCCGrid(Grid):
    """Body-centred cubic (Appendix E's third dimension): a cube and its interior body centres; second moment 0.0785."""

    dimension: ClassVar[int] = 3
    scale: ClassVar[tuple[float, ...]] = (1.0, 1.0, 1.0)

    levels: tuple[int, int, int]
    tiling: Literal["bcc"] = "bcc"

    @property
    def cosets(self) -> tuple[Coset, ...]:
        a, b, c = self.levels
        return _box((a, b, c), 0), _box((a - 1, b - 1, c - 1), a * b * c)


@dataclass(frozen=True)
class FCCGrid(Grid):
    """Face-centred cubic: a cube and the centres of all its faces; second moment 0.0787."""

    dimension: ClassVar[int] = 3
    scale: ClassVar[tuple[float, ...]] = (1.0, 1.0, 1.0)

    levels: tuple[int, int, int]
    tiling: Literal["fcc"] = "fcc"

    @property
    def cosets(self) -> tuple[Coset, ...]:
        a, b, c = self.levels
        boxes, base = [], 0
        for size in ((a, b, c), (a, b - 1, c - 1), (a - 1, b, c - 1), (a - 1, b - 1, c)):
            boxes.append(_box(size, base))
            base += math.prod(size)
        return tuple(boxes)


AnyGrid = Annotated[
    RectangularGrid | RhombicGrid | HexagonalGrid | RegularHexagonalGrid | BCCGrid | FCCGrid, Discriminator("tiling")
]

TILINGS: dict[str, type[Grid]] = {
    "rectangular": RectangularGrid,
    "rhombic": RhombicGrid,
    "hexagonal": HexagonalGrid,
    "regular_hexagonal": RegularHexagonalGrid,
    "bcc": BCCGrid,
    "fcc": FCCGrid,
}


def side_by_side(grids: Sequence[Grid]) -> Float[Tensor, "numbers grids 1"]:
    """The boxes of grids of one dimension as one table, for `boxes_of`; a grid with fewer of them repeats its last."""
    count = max(len(grid.cosets) for grid in grids)
    rows = []
    for grid in grids:
        padded = [*grid.boxes, *[grid.boxes[-1]] * (count - len(grid.boxes))]
        rows.append([number for box in padded for part in box[:-1] for number in part])
        rows[-1] += [box.base for box in padded]
    return torch.tensor(rows, dtype=torch.float64).float().T.unsqueeze(-1).contiguous()


def boxes_of(table: Float[Tensor, "numbers grids 1"], dimension: int) -> list[Box]:
    """What `side_by_side` wrote down."""
    parts = len(Box._fields) - 1
    numbers = table.unbind(0)
    count = len(numbers) // (parts * dimension + 1)
    bases = numbers[len(numbers) - count :]
    axes = [numbers[i : i + dimension] for i in range(0, count * parts * dimension, dimension)]
    return [Box._make([*axes[parts * i : parts * (i + 1)], bases[i]]) for i in range(count)]


def nearest(axes: Sequence[Tensor], boxes: Sequence[Box]) -> tuple[list[Tensor], Tensor]:
    """Coordinates (one tensor per axis, as `axes` are) and index (as a float) of the union's nearest point.

    The core of everything, written for speed: long contiguous tensors, no tables of points, no booleans (a select by a
    random mask costs as much as twenty additions). |z| <= `FAR`; exact up to the rounding of z's dtype. With boxes of
    several grids side by side, `axes` are [grids rows].

    Two candidates p and q are compared by the sign of `(q - p) . (q + p - 2 z)`, the difference of their squared
    distances: q - p and q + p are small and exact, so neither the cancellation of nearly equal distances nor the
    overflow of huge ones can spoil the choice.
    """
    points, index = _nearest_in_box(axes, boxes[0])
    for box in boxes[1:]:
        others, other_index = _nearest_in_box(axes, box)
        excess = torch.zeros_like(index)
        for z, p, q in zip(axes, points, others, strict=True):
            excess.addcmul_(q - p, (q + p).sub_(z, alpha=2))
        excess.add_(other_index - index, alpha=TIE)
        closer = excess.lt_(0)  # 1.0 or 0.0; the comparison with NaN is false
        for p, q in zip(points, others, strict=True):
            p.lerp_(q, closer)  # exact for these two weights
        index.lerp_(other_index, closer)
    return points, index.nan_to_num_(0.0)


def _as_box(coset: Coset) -> Box:
    # ceil(x - 1/2) rounds halves down: ties go to the lowest index, where torch.round takes the even one
    shift = tuple(-origin / step - 0.5 for origin, step in zip(coset.origin, coset.step, strict=True))
    last = tuple(size - 1 for size in coset.size)
    return Box(tuple(1 / s for s in coset.step), shift, last, coset.step, coset.origin, coset.stride, coset.base)


def _nearest_in_box(axes: Sequence[Tensor], box: Box) -> tuple[list[Tensor], Tensor]:
    steps = [
        _affine(z, factor, shift).ceil_().clamp_min_(0).clamp_max_(last)
        for z, factor, shift, last in zip(axes, box.factor, box.shift, box.last, strict=True)
    ]
    index = _affine(steps[0], box.stride[0], box.base)
    for k, stride in zip(steps[1:], box.stride[1:], strict=True):
        index.add_(k * stride)
    return [_affine(k, step, origin) for k, step, origin in zip(steps, box.step, box.origin, strict=True)], index


def _affine(x: Tensor, factor: Number, shift: Number) -> Tensor:
    return x + shift if not isinstance(factor, Tensor) and factor == 1 else (x * factor).add_(shift)
