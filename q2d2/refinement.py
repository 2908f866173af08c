"""Multistage quantization on grids: a pair that quantizes the residual of an earlier pair.

Successive refinement: the first pair's index says which cell of its grid the value is in, the second's which part of
that cell, and so on. Each stage is a finer grid over the same two channels, and whoever stops early has a coarser value
of them. A rectangular cell is a square, the rhombic one a square turned by 45 degrees; both are brought to [-1, 1]^2,
where any grid can refine them. Pairs whose parents are all done form a stage and are snapped at once.

This module knows grids, and nothing of projections, gradients and audio.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from pydantic import Discriminator, Tag
from torch import Tensor

from q2d2.grid import AnyGrid, Grid, RectangularGrid, RhombicGrid, boxes_of, nearest, side_by_side


@dataclass(frozen=True)
class Refinement:
    """A pair, in a quantizer's list of grids, that has no channels of its own but quantizes another's residual."""

    of: int  # the pair that it refines: its place in the same list
    grid: AnyGrid

    def __post_init__(self) -> None:
        if type(self.of) is not int or not isinstance(self.grid, Grid):
            raise ValueError(f"a refinement is of a pair, by its place in the list, and over a grid, got {self}")


def _which(value: object) -> str:
    """Which of the two a pair is, built or as JSON."""
    of = "of" in value if isinstance(value, dict) else isinstance(value, Refinement)
    return "refinement" if of else "grid"


AnyPair = Annotated[Annotated[AnyGrid, Tag("grid")] | Annotated[Refinement, Tag("refinement")], Discriminator(_which)]


class Stage(NamedTuple):
    """Pairs that are snapped at once. Those of the first stage have channels, the others refine pairs of the last."""

    pairs: tuple[int, ...]
    parents: tuple[int, ...]  # of each pair, the one that it refines: its place in the stage before
    cosets: int  # of the grid with the most
    grid: Grid | None  # the one that all of them have: its numbers need no table


class Snapped(NamedTuple):
    """All pairs of a stage, in the units of their grids."""

    coordinates: list[Float[Tensor, "pairs rows"]]  # z', a tensor an axis
    points: list[Float[Tensor, "pairs rows"]]  # the nearest points, a tensor an axis
    indices: Float[Tensor, "pairs rows"]  # whole numbers


def cell(grid: Grid) -> Float64[np.ndarray, "axes axes"]:
    """The matrix that takes z' - point to [-1, 1]^2 within the point's cell; ValueError unless cells are squares."""
    if isinstance(grid, RectangularGrid):
        return np.array([[2.0, 0.0], [0.0, 2.0]])
    if isinstance(grid, RhombicGrid) and grid.midpoints == "interior":
        return np.array([[2.0, 2.0], [2.0, -2.0]])
    raise ValueError(f"only pairs on rectangular and rhombic grids (interior midpoints) can be refined, not {grid}")


def stages_of(grids: Sequence[Grid], refines: Sequence[int | None]) -> list[Stage]:
    """The stages of pairs with these grids; `refines`: the pair that each of them refines, None if it has channels.

    ValueError if a pair refines a later one, or two refine the same.
    """
    depth: list[int] = []
    for pair, parent in enumerate(refines):
        if parent is not None and (not 0 <= parent < pair or parent in refines[:pair]):
            raise ValueError(
                f"pair {pair} refines pair {parent}: a pair can refine one before it, and that one only once"
            )
        depth.append(0 if parent is None else depth[parent] + 1)
    stages: list[Stage] = []
    for number in range(max(depth) + 1):
        own = tuple(pair for pair, at in enumerate(depth) if at == number)
        parents = tuple(stages[-1].pairs.index(parent) for pair in own if (parent := refines[pair]) is not None)
        cosets = max(len(grids[pair].cosets) for pair in own)
        alike = all(grids[pair] == grids[own[0]] for pair in own)
        stages.append(Stage(own, parents, cosets, grids[own[0]] if alike else None))
    return stages


def synthesis_matrix(
    grids: Sequence[Grid], refines: Sequence[int | None], bounds: Sequence[Sequence[float]]
) -> Float64[np.ndarray, "channels codes"]:
    """The matrix from the codes of all pairs to the channels' values, in units of their own grids' extent.

    The codes of a pair with channels are their coarse values; a refinement moves these within the cell.
    """
    axes, sources = grids[0].dimension, [pair for pair, parent in enumerate(refines) if parent is None]
    total = np.zeros((len(sources), axes, len(grids), axes))
    source: list[int] = []
    moves: list[np.ndarray] = []  # from a pair's z' to the z' of the pair whose channels it tells of
    for pair, (grid, parent) in enumerate(zip(grids, refines, strict=True)):
        if parent is None:
            source.append(pair)
            moves.append(np.eye(axes))
        else:
            source.append(source[parent])
            moves.append(moves[parent] @ np.linalg.inv(cell(grids[parent])) @ np.diag(1 / np.array(bounds[pair])))
        unit = np.diag(1 / np.array(grids[source[pair]].extent))
        total[sources.index(source[pair]), :, pair] = unit @ moves[pair] @ np.diag(grid.extent)
    return total.reshape(len(sources) * axes, len(grids) * axes)


def stage_table(
    grids: Sequence[Grid], refines: Sequence[int | None], bounds: Sequence[Sequence[float]], stages: Sequence[Stage]
) -> Float[Tensor, "numbers pairs 1"]:
    """What `run_stages` must know of the pairs, stage after stage.

    Rows: the bound of each axis; the matrix of the cell, row by row; the boxes, as `side_by_side` has them.
    """
    order = [pair for stage in stages for pair in stage.pairs]
    cells = [cell(grids[pair]).ravel() if pair in refines else np.zeros(grids[pair].dimension ** 2) for pair in order]
    head = torch.tensor(np.array([[*bounds[pair], *own] for pair, own in zip(order, cells, strict=True)]))
    return torch.cat([head.float().T.unsqueeze(-1), side_by_side([grids[pair] for pair in order])])


def run_stages(
    z: Sequence[Float[Tensor, "sources rows"]],
    stages: Sequence[Stage],
    parents: Int64[Tensor, " refinements"],
    table: Float[Tensor, "numbers pairs 1"],
) -> list[Snapped]:
    """z' and nearest point of every pair, from the channels (z, a tensor an axis) of the pairs of the first stage.

    `parents`: those of all stages, one after the other, where the table is.
    """
    axes = len(z)
    done: list[Snapped] = []
    inside, start = list(z), 0
    bounds, cells, boxes = table.split([axes, axes**2, len(table) - axes - axes**2])
    for stage, of in zip(stages, parents.split([len(stage.parents) for stage in stages]), strict=True):
        own = slice(start, start + len(stage.pairs))
        if done:
            before = done[-1]
            residual = [(at - point)[of] for at, point in zip(before.coordinates, before.points, strict=True)]
            turn = cells[:, start - len(before.indices) : start][:, of].unflatten(0, (axes, axes))
            inside = [sum(turn[i, j] * residual[j] for j in range(axes)).clamp(-1, 1) for i in range(axes)]
        coordinates = [inside[axis] * bounds[axis, own] for axis in range(axes)]
        found = nearest(coordinates, stage.grid.boxes if stage.grid else boxes_of(boxes[:, own], axes)[: stage.cosets])
        done.append(Snapped(coordinates, *found))
        start = own.stop
    return done
