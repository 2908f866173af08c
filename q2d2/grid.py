"""Tilings of the plane and of space: finite point sets, nearest points, indices. Geometry only.

Every grid here is a union of *cosets*, and a coset is a box of evenly spaced points (origin, step, count per axis). In one
box the nearest point is found axis by axis, `clamp(round((z - origin) / step), 0, count - 1)`: the axes are separable and the
squared distance is convex in each, so clamping after rounding is exact, inside the hull and outside it. The nearest point of
the union is the nearest of the boxes' candidates. This costs O(cosets), not O(points), needs no table and no distance matrix,
and stays exact at the boundary, where snapping on the infinite lattice and clamping afterwards is wrong for 13 % of the
box (rhombic, 7 levels).

Coordinates are in units of the spacing along the first axis, centred on the origin. Ties go to the lowest index.
This module knows nothing of quantizers, gradients or audio.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor


class Coset(NamedTuple):
    """A box of evenly spaced points; the point with coordinates k has index `base + sum(k * stride)`."""

    origin: tuple[float, ...]
    step: tuple[float, ...]
    count: tuple[int, ...]
    base: int
    stride: tuple[int, ...]


class CosetTables(NamedTuple):
    """The cosets of several grids as tensors, padded to the same number of cosets by repeating the first."""

    origin: Float[Tensor, "grids cosets dimension"]
    step: Float[Tensor, "grids cosets dimension"]
    last: Float[Tensor, "grids cosets dimension"]
    base: Float[Tensor, "grids cosets"]
    stride: Float[Tensor, "grids cosets dimension"]


class Nearest(NamedTuple):
    """The grid point nearest to each input, and its index."""

    points: Float[Tensor, "*batch grids dimension"]
    indices: Int64[Tensor, "*batch grids"]


def _box(count: tuple[int, ...], base: int, step: tuple[float, ...], centre: tuple[float, ...]) -> Coset:
    """A box centred on `centre`, indexed row-major from `base`."""
    origin = tuple(c - s * (n - 1) / 2 for c, s, n in zip(centre, step, count, strict=True))
    stride = tuple(math.prod(count[axis + 1 :]) for axis in range(len(count)))
    return Coset(origin, step, count, base, stride)


@dataclass(frozen=True)
class Grid:
    """What all grids share. Leaves add `cosets`; levels are points per axis of the underlying box."""

    dimension: ClassVar[int]
    scale: ClassVar[tuple[float, ...]]

    levels: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.levels) != self.dimension:
            raise ValueError(
                f"{type(self).__name__} needs {self.dimension} levels (one per axis), got {self.levels}"
            )
        if any(level < 2 for level in self.levels):
            raise ValueError(f"{type(self).__name__} needs at least 2 levels per axis, got {self.levels}")
        if self.num_points > 2**24:
            raise ValueError(f"{self} has {self.num_points} points; float32 counts exactly to 2**24 only")

    @property
    def cosets(self) -> tuple[Coset, ...]:
        """The boxes whose union is the grid."""
        raise TypeError(f"{type(self).__name__} is abstract: use one of its leaves, e.g. RhombicGrid((7, 7))")

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
        return sum(math.prod(coset.count) for coset in self.cosets)

    @cached_property
    def points(self) -> np.ndarray:
        """All points in the order of their indices: float64 [num_points, dimension]."""
        table = np.empty((self.num_points, self.dimension))
        for coset in self.cosets:
            for k in itertools.product(*map(range, coset.count)):
                index = coset.base + sum(i * s for i, s in zip(k, coset.stride, strict=True))
                table[index] = [o + s * i for o, s, i in zip(coset.origin, coset.step, k, strict=True)]
        return table

    def nearest(self, z: Float[Tensor, "*batch dimension"]) -> Nearest:
        """Nearest grid point (Eq. 3) of any float input, in its dtype (float32 or float64).

        Infinities count as very large numbers; NaN gives an arbitrary valid index (callers who care test for it).
        """
        found = nearest(z.unsqueeze(-2), stack_cosets([self], z.dtype, z.device))
        return Nearest(found.points.squeeze(-2), found.indices.squeeze(-1))

    def index_to_point(self, indices: Int64[Tensor, "*batch"]) -> Float[Tensor, "*batch dimension"]:
        """Coordinates (float64) of the points with these indices; IndexError outside 0..num_points-1."""
        if indices.numel() and not (0 <= int(indices.min()) and int(indices.max()) < self.num_points):
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

    dimension: ClassVar[int] = 2
    scale: ClassVar[tuple[float, ...]] = (1.0, 1.0)

    levels: tuple[int, int]
    tiling: Literal["rectangular"] = "rectangular"

    @property
    def cosets(self) -> tuple[Coset, ...]:
        return (_box(self.levels, 0, self.scale, (0.0, 0.0)),)


@dataclass(frozen=True)
class RhombicGrid(Grid):
    """Algorithm 3: the rectangle and its midpoints.

    `interior` midpoints (l1 l2 + (l1-1)(l2-1) points) explain Fig. 1c and every bandwidth the paper states; `full` is the
    algorithm as it literally reads: as many midpoints as points, all shifted by half a step (2 l1 l2). With its unit
    spacing the tiling is the square lattice turned by 45 degrees, so it has no granular gain over the rectangle.
    """

    dimension: ClassVar[int] = 2
    scale: ClassVar[tuple[float, ...]] = (1.0, 1.0)

    levels: tuple[int, int]
    midpoints: Literal["interior", "full"] = "interior"
    tiling: Literal["rhombic"] = "rhombic"

    @property
    def cosets(self) -> tuple[Coset, ...]:
        regular = _box(self.levels, 0, self.scale, (0.0, 0.0))
        first = math.prod(self.levels)
        if self.midpoints == "full":
            return regular, _box(self.levels, first, self.scale, (0.5, 0.5))
        inner = (self.levels[0] - 1, self.levels[1] - 1)
        return regular, _box(inner, first, self.scale, (0.0, 0.0))


def _staggered(levels: tuple[int, int], step: tuple[float, float], offset: float) -> tuple[Coset, ...]:
    """Rows of x along y, even rows moved by +offset and odd ones by -offset; index order row by row (Algorithm 1)."""
    columns, rows = levels
    x0, y0 = -step[0] * (columns - 1) / 2, -step[1] * (rows - 1) / 2
    return tuple(
        Coset(
            origin=(x0 + sign * offset * step[0], y0 + parity * step[1]),
            step=(step[0], 2 * step[1]),
            count=(columns, (rows + 1 - parity) // 2),
            base=parity * columns,
            stride=(1, 2 * columns),
        )
        for parity, sign in ((0, 1), (1, -1))
    )


@dataclass(frozen=True)
class HexagonalGrid(Grid):
    """Algorithm 1: staggered rows one x-spacing apart, shifted by +-`offset` spacings (the paper's dx/4; Table 12 varies it).

    The algorithm computes dy = dx sqrt(3)/2 and never uses it, so this is not the regular hexagonal lattice: second moment
    0.0807, where `RegularHexagonalGrid` has 0.0802. An offset of 0.5 is the square lattice again.
    """

    dimension: ClassVar[int] = 2
    scale: ClassVar[tuple[float, ...]] = (1.0, 1.0)

    levels: tuple[int, int]
    offset: float = 0.25
    tiling: Literal["hexagonal"] = "hexagonal"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not -0.5 <= self.offset <= 0.5:
            raise ValueError(f"the row offset is a share of the spacing in -0.5..0.5, got {self.offset}")

    @property
    def cosets(self) -> tuple[Coset, ...]:
        return _staggered(self.levels, (1.0, 1.0), self.offset)


@dataclass(frozen=True)
class RegularHexagonalGrid(Grid):
    """True A2: rows sqrt(3)/2 apart, each point with six equidistant neighbours; the best lattice of the plane (0.0802)."""

    dimension: ClassVar[int] = 2
    scale: ClassVar[tuple[float, ...]] = (1.0, math.sqrt(3) / 2)

    levels: tuple[int, int]
    tiling: Literal["regular_hexagonal"] = "regular_hexagonal"

    @property
    def cosets(self) -> tuple[Coset, ...]:
        return _staggered(self.levels, (1.0, math.sqrt(3) / 2), 0.25)


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
        return (
            _box((a, b, c), 0, self.scale, (0.0, 0.0, 0.0)),
            _box((a - 1, b - 1, c - 1), a * b * c, self.scale, (0.0, 0.0, 0.0)),
        )


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
        for count in ((a, b, c), (a, b - 1, c - 1), (a - 1, b, c - 1), (a - 1, b - 1, c)):
            boxes.append(_box(count, base, self.scale, (0.0, 0.0, 0.0)))
            base += math.prod(count)
        return tuple(boxes)


AnyGrid = RectangularGrid | RhombicGrid | HexagonalGrid | RegularHexagonalGrid | BCCGrid | FCCGrid

TILINGS: dict[str, type[Grid]] = {
    "rectangular": RectangularGrid,
    "rhombic": RhombicGrid,
    "hexagonal": HexagonalGrid,
    "regular_hexagonal": RegularHexagonalGrid,
    "bcc": BCCGrid,
    "fcc": FCCGrid,
}


def stack_cosets(
    grids: list[Grid], dtype: torch.dtype = torch.float32, device: torch.device | None = None
) -> CosetTables:
    """Tables with which one call of `nearest` serves several grids of the same dimension at once."""
    most = max(len(grid.cosets) for grid in grids)
    padded = [grid.cosets + grid.cosets[:1] * (most - len(grid.cosets)) for grid in grids]

    def table(field: str) -> Tensor:
        return torch.tensor([[getattr(c, field) for c in cosets] for cosets in padded], dtype=dtype, device=device)

    return CosetTables(table("origin"), table("step"), table("count") - 1, table("base"), table("stride"))


def nearest(z: Float[Tensor, "*batch grids dimension"], tables: CosetTables) -> Nearest:
    """Nearest point of grid g to `z[..., g, :]`, for all grids at once; exact up to the rounding of z's dtype.

    Two candidates p and q are compared by the sign of `(p - q) . (p + q - 2 z)`, the difference of their squared distances:
    p - q and p + q are small exact numbers, so neither the cancellation of nearly equal distances nor the overflow of
    huge ones can spoil the choice.
    """
    z = torch.nan_to_num(z, nan=0.0, posinf=1e30, neginf=-1e30)

    def candidate(coset: int) -> tuple[Tensor, Tensor]:
        origin, step = tables.origin[:, coset], tables.step[:, coset]
        # ceil(x - 1/2) rounds halves down: ties go to the lowest index, where torch.round takes the even one
        k = torch.ceil((z - origin) / step - 0.5).clamp(min=0.0).minimum(tables.last[:, coset])
        return origin + k * step, (tables.base[:, coset] + (k * tables.stride[:, coset]).sum(-1))

    point, index = candidate(0)
    for coset in range(1, tables.origin.shape[1]):
        other, other_index = candidate(coset)
        gain = ((other - point) * (other + point - 2 * z)).sum(-1)
        better = (gain < 0) | ((gain == 0) & (other_index < index))
        point = torch.where(better.unsqueeze(-1), other, point)
        index = torch.where(better, other_index, index)
    return Nearest(point, index.to(torch.int64))
