"""How strong channels are and how many bits there are -> which grid each pair of channels gets.

A Gaussian model of `linear_start`'s channels: how much of its variance a channel loses is then a matter of its grid
alone, and so is what an index costs once it is coded with a table of the index before. The rates are settled one after
the other, the lowest first: among all ways to spend the bits that a rate adds, on new pairs of channels and on what
earlier pairs left over, the one that leaves the least error (reverse water-filling, with real grids in place of ideal
ones: Jayant & Noll 1984, "Digital Coding of Waveforms"; a dynamic programme, so nothing is better).

Values are rebuilt as the centroid of their cell. The units are those of the channels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64, Int64

from q2d2.grid import AnyGrid, Grid, RectangularGrid, RegularHexagonalGrid, RhombicGrid
from q2d2.refinement import Refinement, cell

NARROWEST, WIDEST, FINEST = 2, 13, 5  # levels: of any axis, of a new pair's, of a refinement's
BINS, COARSE_BINS = 180, 60  # of an axis, for errors and for entropies: whole numbers of them in a level
STEP = 1 / 64  # bits: costs are rounded up to it

Chain = tuple[Grid, ...]  # a new pair's grid, its refinement's, and so on


class Channels(NamedTuple):
    """What is known of the channels of a frame, the strongest first."""

    variance: Float64[np.ndarray, " channels"]
    correlation: Float64[np.ndarray, " channels"]  # of a frame with the one before


class Budget(NamedTuple):
    """What a rate may have, the lower rates included."""

    bits: float  # a frame
    pairs: int


class Pair(NamedTuple):
    """One index of a frame."""

    grid: AnyGrid | Refinement
    rate: int  # number of the lowest rate that has it
    channel: int  # the first of its two
    raw_bits: float  # log2(points)
    coded_bits: float  # of its index, given its index in the frame before


class Allocation(NamedTuple):
    """Pairs in the order of a quantizer's, and what each rate leaves."""

    pairs: tuple[Pair, ...]
    errors: tuple[float, ...]  # by rate: variance of what is lost, over all channels

    @property
    def grids(self) -> tuple[AnyGrid | Refinement, ...]:
        return tuple(pair.grid for pair in self.pairs)

    def of_rate(self, rate: int) -> tuple[Pair, ...]:
        """The pairs of this rate, those of lower ones included."""
        return tuple(pair for pair in self.pairs if pair.rate <= rate)


@dataclass(frozen=True)
class Model:
    """What grids cost and lose on these channels, taken two by two in their order."""

    channels: Channels
    spread: float  # standard deviations of a channel that the tanh takes to 0.76
    belief: float = 1.0  # share of the saving of coded over raw bits that is counted on; 0: bits are raw

    @property
    def num_pairs(self) -> int:
        return len(self.channels.variance) // 2

    def error(self, pair: int, chain: Chain) -> float:
        own = self.channels.variance[2 * pair : 2 * pair + 2]
        return float(own @ np.array(lost(chain, self.spread))) if chain else float(own.sum())

    def coded_bits(self, pair: int, chain: Chain) -> float:
        first, second = self.channels.correlation[2 * pair : 2 * pair + 2]
        return entropy(chain, float(first), float(second), self.spread)

    def cost(self, pair: int, chain: Chain) -> float:
        raw = math.log2(chain[-1].num_points)
        return raw - self.belief * (raw - self.coded_bits(pair, chain)) if self.belief else raw


def allocate(model: Model, budgets: Sequence[Budget], refine: bool = True) -> Allocation:
    """The best pairs for these budgets, lowest rate first; without `refine`, higher rates add new channels only."""
    chains: list[Chain] = []
    grids: list[AnyGrid | Refinement] = []
    newest: list[int] = []  # of the pairs of `grids`, the last one on each pair of channels
    counts, spent = [], 0.0
    for number, budget in enumerate(budgets):
        last = number == len(budgets) - 1
        news = refinable(WIDEST) + hexagonal(WIDEST) if last else refinable(WIDEST)
        refinements = [*refinable(FINEST), *refinable(FINEST, turned=True)] if refine else []
        chosen = _best(model, chains, refinements, news, Budget(budget.bits - spent, budget.pairs - len(grids)))
        for pair, grid in sorted(chosen.items()):
            if pair < len(chains):
                grids.append(Refinement(newest[pair], grid))
                chains[pair], newest[pair] = (*chains[pair], grid), len(grids) - 1
            else:
                grids.append(grid)
                chains.append((grid,))
                newest.append(len(grids) - 1)
            spent += model.cost(pair, chains[pair])
        counts.append(len(grids))
    return describe(model, grids, counts)


def describe(model: Model, grids: Sequence[AnyGrid | Refinement], rates: Sequence[int]) -> Allocation:
    """What the pairs of a quantizer cost and leave; `rates` counts the pairs of each rate."""
    place: list[int] = []  # of each pair: which two channels
    chains: list[Chain] = []
    pairs, errors = [], []
    for number, grid in enumerate(grids):
        if isinstance(grid, Refinement):
            place.append(place[grid.of])
            chains[place[-1]] = (*chains[place[-1]], grid.grid)
        else:
            place.append(len(chains))
            chains.append((grid,))
        chain = chains[place[-1]]
        rate = sum(number >= count for count in rates)
        raw = math.log2(chain[-1].num_points)
        pairs.append(Pair(grid, rate, 2 * place[-1], raw, model.coded_bits(place[-1], chain)))
        if number + 1 in rates:
            told = sum(model.error(pair, own) for pair, own in enumerate(chains))
            errors.append(told + float(model.channels.variance[2 * len(chains) :].sum()))
    return Allocation(tuple(pairs), tuple(errors))


def refinable(levels: int, turned: bool = False) -> list[AnyGrid]:
    """Rectangular and rhombic grids with so many levels at most, no fewer on the first axis (turned: fewer)."""
    return [kind(own) for own in _levels(levels, turned) for kind in (RectangularGrid, RhombicGrid)]


def hexagonal(levels: int) -> list[AnyGrid]:
    return [RegularHexagonalGrid(own) for turned in (False, True) for own in _levels(levels, turned)]


def _levels(most: int, turned: bool) -> Iterable[tuple[int, int]]:
    for many in range(NARROWEST, most + 1):
        for few in range(NARROWEST, many + (not turned)):
            yield (few, many) if turned else (many, few)


class _Option(NamedTuple):
    """A grid that a pair may get."""

    steps: int  # its cost
    gain: float  # the error it takes away
    grid: AnyGrid


def _best(
    model: Model, chains: list[Chain], refinements: Sequence[AnyGrid], news: Sequence[AnyGrid], budget: Budget
) -> dict[int, AnyGrid]:
    """What takes away the most error: the grid of each pair of channels that gets one.

    Earlier pairs get a refinement or none; new ones follow each other without a gap. `left[n, b]` is the largest gain
    of n indices that cost at most b steps.
    """
    most = int(budget.bits / STEP)
    gains = np.full((budget.pairs + 1, most + 1), -np.inf)
    gains[0] = 0
    choices: list[tuple[list[_Option], np.ndarray]] = []
    best, length = gains[:, -1].copy(), 0
    for pair in range(model.num_pairs):
        new = pair >= len(chains)
        if new and not np.isfinite(gains[:-1]).any():
            break
        chain = () if new else chains[pair]
        options = _options(model, pair, chain, news if new else refinements)
        after = np.full_like(gains, -np.inf) if new else gains.copy()
        choice = np.full(gains.shape, -1, np.int16)
        reach = min(budget.pairs, len(choices) + 1)  # indices there can be by now
        for number, (steps, gain, _) in enumerate(options):
            if steps > most:
                continue
            with_it = gains[:reach, : most + 1 - steps] + gain
            own = after[1 : reach + 1, steps:]
            better = with_it > own
            own[better] = with_it[better]
            choice[1 : reach + 1, steps:][better] = number
        gains = after
        choices.append((options, choice))
        if not new or gains[:, -1].max() > best.max():
            best, length = gains[:, -1].copy(), len(choices)
    chosen = {}
    pairs, steps = int(best.argmax()), most
    for pair in reversed(range(length)):
        options, choice = choices[pair]
        if (number := int(choice[pairs, steps])) >= 0:
            chosen[pair] = options[number].grid
            pairs, steps = pairs - 1, steps - options[number].steps
    return chosen


def _options(model: Model, pair: int, chain: Chain, grids: Sequence[AnyGrid]) -> list[_Option]:
    """The grids for which no other both costs less and leaves less."""
    before = model.error(pair, chain)
    # sorted out by their points first: entropies are dear
    by_points = [(math.log2(grid.num_points), before - model.error(pair, (*chain, grid)), grid) for grid in grids]
    priced = [(model.cost(pair, (*chain, grid)), gain, grid) for _, gain, grid in _frontier(by_points)]
    return [_Option(math.ceil(cost / STEP), gain, grid) for cost, gain, grid in _frontier(priced)]


def _frontier(options: list[tuple[float, float, AnyGrid]]) -> list[tuple[float, float, AnyGrid]]:
    kept: list[tuple[float, float, AnyGrid]] = []
    for option in sorted(options, key=lambda option: (option[0], -option[1])):
        if option[1] > (kept[-1][1] if kept else 0.0):
            kept.append(option)
    return kept


class _Bins(NamedTuple):
    """A standard Gaussian in bins of equal width behind the tanh."""

    z: Float64[np.ndarray, " bins"]
    probability: Float64[np.ndarray, " bins"]
    mean: Float64[np.ndarray, " bins"]  # of the Gaussian in the bin


@lru_cache
def _bins(count: int, spread: float) -> _Bins:
    z = torch.linspace(-1, 1, count + 1, dtype=torch.float64)
    edges = spread * z.atanh()
    density = torch.exp(-edges.square() / 2) / math.sqrt(2 * math.pi)
    probability = torch.special.ndtr(edges).diff()
    return _Bins((z[1:] + z[:-1]).numpy() / 2, probability.numpy(), (-density.diff() / probability).numpy())


class _Cells(NamedTuple):
    """Where the points of a square of bins end up."""

    inside: Float64[np.ndarray, "points 2"]  # of the cell, in [-1, 1]
    path: Int64[np.ndarray, " points"]  # one number for the indices of all grids


def _snapped(grid: Grid, z: Float64[np.ndarray, "points 2"]) -> tuple[np.ndarray, np.ndarray]:
    scaled = z * np.array(grid.half_width)
    points, index = grid.nearest(torch.from_numpy(scaled))
    return scaled - points.numpy(), index.numpy()


@lru_cache(maxsize=256)
def _cells(chain: Chain, bins: int, spread: float) -> _Cells:
    """After all grids of a chain that is to be refined."""
    if not chain:
        axes = np.meshgrid(*2 * [_bins(bins, spread).z], indexing="ij")
        return _Cells(np.stack(axes, axis=-1).reshape(-1, 2), np.zeros(bins**2, np.int64))
    before = _cells(chain[:-1], bins, spread)
    left, index = _snapped(chain[-1], before.inside)
    _, path = np.unique(before.path * chain[-1].num_points + index, return_inverse=True)
    return _Cells(np.clip(left @ cell(chain[-1]).T, -1, 1), path)


@cache
def lost(chain: Chain, spread: float) -> tuple[float, float]:
    """The share of each channel's variance that is left when the indices of all these grids are known."""
    axis = _bins(BINS, spread)
    before = _cells(chain[:-1], BINS, spread)
    _, index = _snapped(chain[-1], before.inside)
    path = before.path * chain[-1].num_points + index
    weight = np.outer(axis.probability, axis.probability)
    of_cell = np.maximum(np.bincount(path, weight.ravel()), 1e-300)
    first, second = (np.bincount(path, (weight * x).ravel()) for x in (axis.mean[:, None], axis.mean))
    return float(1 - (first**2 / of_cell).sum()), float(1 - (second**2 / of_cell).sum())


@cache
def entropy(chain: Chain, first: float, second: float, spread: float) -> float:
    """Bits of the last grid's index, given that index in the frame before, with which the channels correlate so."""
    before = _cells(chain[:-1], COARSE_BINS, spread)
    _, index = _snapped(chain[-1], before.inside)
    one_hot = np.eye(chain[-1].num_points)[index].reshape(COARSE_BINS, COARSE_BINS, -1)
    moved = np.tensordot(_transition(first, spread), one_hot, axes=1)
    moved = (_transition(second, spread) @ moved).reshape(len(index), -1)
    joint = one_hot.reshape(len(index), -1).T @ moved
    return _entropy(joint) - _entropy(joint.sum(axis=0))


@lru_cache
def _transition(correlation: float, spread: float) -> Float64[np.ndarray, "bins bins"]:
    """How probable it is that a channel is in one bin, and was in another a frame ago."""
    _, probability, mean = _bins(COARSE_BINS, spread)
    correlation = float(np.clip(correlation, -0.97, 0.97))  # narrower than the bins it would say nothing
    away = mean - correlation * mean[:, None]
    ratio = np.exp(-(away**2) / (2 * (1 - correlation**2)) + mean**2 / 2)
    joint = np.outer(probability, probability) * ratio
    joint = joint * (probability / joint.sum(axis=1))[:, None]
    return (joint + joint.T) / 2


def _entropy(probability: np.ndarray) -> float:
    positive = probability[probability > 0] / probability.sum()
    return float(-(positive * np.log2(positive)).sum())
