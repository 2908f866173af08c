"""A pair that quantizes what is left of an earlier one: where in the cell of its point the value lies.

Successive refinement: the first pair's index says which cell, the second's which part of it, and so on; each step is
a finer grid over the same two channels, and whoever stops early has a coarser value of them. A rectangular cell is a
square, the rhombic one a square turned by 45 degrees; both are brought to [-1, 1]^2, where any grid can refine them.
Geometry only, and the order of the work: what is snapped together, and after what.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from q2d2.grid import AnyGrid, Grid, RectangularGrid, RhombicGrid, boxes_of, nearest, side_by_side


@dataclass(frozen=True)
class Refinement:
    """In a quantizer's list of grids: no new channels, but what is left of the pair `of`, over this grid."""

    of: int
    grid: AnyGrid


class Round(NamedTuple):
    """Pairs that are snapped at once."""

    pairs: tuple[int, ...]
    parents: tuple[int, ...]  # those that they refine, if any, by their place in the rounds before
    grid: Grid | None  # the one that all of them have: its numbers need no table


class Snapped(NamedTuple):
    """Of every pair, round after round: an axis each, [pairs rows]."""

    coordinates: list[Tensor]  # in the units of the pair's grid
    points: list[Tensor]  # the nearest points
    indices: Tensor  # as floats


def cell(grid: Grid) -> Float64[np.ndarray, "axes axes"]:
    """From a distance to a point, in the units of `grid`, to [-1, 1]^2 of its cell; ValueError for other cells."""
    if isinstance(grid, RectangularGrid):
        return np.array([[2.0, 0.0], [0.0, 2.0]])
    if isinstance(grid, RhombicGrid) and grid.midpoints == "interior":
        return np.array([[2.0, 2.0], [2.0, -2.0]])
    raise ValueError(f"only pairs on rectangular and rhombic grids (interior midpoints) can be refined, not {grid}")


def rounds(grids: Sequence[Grid], refined: Sequence[int | None]) -> list[Round]:
    """The pairs in the order of the work, from their grids and which pair each one refines (None: it has channels).

    ValueError if a pair refines a later one, or two refine the same.
    """
    depth: list[int] = []
    for pair, parent in enumerate(refined):
        if parent is not None and (not 0 <= parent < pair or parent in refined[:pair]):
            raise ValueError(
                f"pair {pair} refines pair {parent}: a pair can refine one before it, and that one only once"
            )
        depth.append(0 if parent is None else depth[parent] + 1)
    place: dict[int, int] = {}
    found = []
    for level in range(max(depth) + 1):
        own = tuple(pair for pair, at in enumerate(depth) if at == level)
        parents = tuple(place[parent] for pair in own if (parent := refined[pair]) is not None)
        found.append(Round(own, parents, grids[own[0]] if len({grids[pair] for pair in own}) == 1 else None))
        place |= {pair: len(place) + i for i, pair in enumerate(own)}
    return found


def added_up(
    grids: Sequence[Grid], refined: Sequence[int | None], bounds: Sequence[Sequence[float]]
) -> Float64[np.ndarray, "channels codes"]:
    """The matrix from the codes of all pairs to the channels, in the unit that the channels' own pairs give them.

    A pair's own codes are its channels' values already; a refinement moves them within the cell.
    """
    axes, sources = grids[0].dimension, [pair for pair, parent in enumerate(refined) if parent is None]
    total = np.zeros((len(sources), axes, len(grids), axes))
    source: list[int] = []
    moves: list[np.ndarray] = []  # from a pair's z' to the z' of the pair whose channels it tells of
    for pair, (grid, parent) in enumerate(zip(grids, refined, strict=True)):
        if parent is None:
            source.append(pair)
            moves.append(np.eye(axes))
        else:
            source.append(source[parent])
            moves.append(moves[parent] @ np.linalg.inv(cell(grids[parent])) @ np.diag(1 / np.array(bounds[pair])))
        unit = np.diag(1 / np.array(grids[source[pair]].extent))
        total[sources.index(source[pair]), :, pair] = unit @ moves[pair] @ np.diag(grid.extent)
    return total.reshape(len(sources) * axes, len(grids) * axes)


def numbers(
    grids: Sequence[Grid], bounds: Sequence[Sequence[float]], refined: Sequence[int | None], order: Sequence[int]
) -> Float[Tensor, "numbers pairs 1"]:
    """All that `snap` must know of the pairs, in this order, as one table."""
    cells = [cell(grids[pair]).ravel() if pair in refined else np.zeros(grids[pair].dimension ** 2) for pair in order]
    head = torch.tensor(np.array([[*bounds[pair], *own] for pair, own in zip(order, cells, strict=True)]))
    return torch.cat([head.float().T.unsqueeze(-1), side_by_side([grids[pair] for pair in order])])


def snap(
    z: Sequence[Float[Tensor, "sources rows"]],
    work: Sequence[Round],
    parents: Int64[Tensor, " refinements"],
    numbers: Float[Tensor, "numbers pairs 1"],
) -> Snapped:
    """Every pair's z' and nearest point, from the channels (an axis each) of the pairs that have some.

    `parents`: those of all rounds, one after the other.
    """
    axes = len(z)
    head, table = numbers[: axes + axes**2], numbers[axes + axes**2 :]
    done: list[Snapped] = []
    start = refinements = 0
    for round_ in work:
        own = slice(start, start + len(round_.pairs))
        inside = z
        if round_.parents:
            of = parents[refinements : refinements + len(round_.parents)]
            left = [
                torch.cat([there.coordinates[axis] - there.points[axis] for there in done]).index_select(0, of)
                for axis in range(axes)
            ]
            turn = head[axes:].index_select(1, of).unflatten(0, (axes, axes))
            inside = [
                sum((turn[i, j] * left[j] for j in range(1, axes)), turn[i, 0] * left[0]).clamp(-1, 1)
                for i in range(axes)
            ]
        coordinates = [inside[axis] * head[axis, own] for axis in range(axes)]
        boxes = boxes_of(table[:, own], axes) if round_.grid is None else round_.grid.boxes
        points, index = nearest(coordinates, boxes)
        done.append(Snapped(coordinates, points, index))
        start, refinements = own.stop, refinements + len(round_.parents)
    if len(done) == 1:
        return done[0]
    return Snapped(
        [torch.cat([there.coordinates[axis] for there in done]) for axis in range(axes)],
        [torch.cat([there.points[axis] for there in done]) for axis in range(axes)],
        torch.cat([there.indices for there in done]),
    )
