"""How strong channels are and how many bits there are -> which grid each pair of channels gets.

The channels are `linear_start`'s; what grids cost and lose on them is `gaussian`'s to say. The rates are settled one
after the other, the lowest first. Each gets what leaves the least error given the lower rates' pairs: a dynamic
programme over all ways to spend the bits that the rate adds on new pairs of channels and on refinements of earlier
ones, among the grids below, at costs rounded up to `STEP`. (Reverse water-filling with real grids in place of ideal
ones: Jayant & Noll 1984, "Digital Coding of Waveforms".) Where the saving of coded over raw bits counts, grids are
sorted out by their raw bits first, a heuristic. Errors are in the units of the channels, squared.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from q2d2.grid import AnyGrid, RectangularGrid, RegularHexagonalGrid, RhombicGrid
from q2d2.refinement import AnyPair, Refinement
from q2d2.train.gaussian import Chain, entropy, lost

NARROWEST = 2  # levels on any axis
WIDEST = 13  # most levels on an axis of a new pair
FINEST = 5  # most levels on an axis of a refinement
STEP = 1 / 64  # bits: costs are rounded up to it


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

    grid: AnyPair
    rate: int  # number of the lowest rate that has it
    channel: int  # the first of its two
    raw_bits: float  # log2(points)
    coded_bits: float  # of its index, given its index in the frame before


class Allocation(NamedTuple):
    """Pairs in the order of a quantizer's, and what each rate leaves."""

    pairs: tuple[Pair, ...]
    errors: tuple[float, ...]  # by rate: variance of what is lost, over all channels

    @property
    def grids(self) -> tuple[AnyPair, ...]:
        return tuple(pair.grid for pair in self.pairs)

    def of_rate(self, rate: int) -> tuple[Pair, ...]:
        """The pairs of this rate, those of lower ones included."""
        return tuple(pair for pair in self.pairs if pair.rate <= rate)


@dataclass(frozen=True)
class GaussianModel:
    """What grids cost and lose on these channels, taken two by two in their order."""

    channels: Channels
    spread: float  # z = tanh(x / (spread * standard deviation))
    saving_kept: float = 1.0  # share of the saving of coded over raw bits that is counted on; 0: bits are raw

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
        if not self.saving_kept:  # entropies are slow
            return raw
        return raw - self.saving_kept * (raw - self.coded_bits(pair, chain))


def allocate(model: GaussianModel, budgets: Sequence[Budget], refine: bool = True) -> Allocation:
    """The best pairs for these budgets, lowest rate first; without `refine`, higher rates add new channels only."""
    chains: list[Chain] = []
    grids: list[AnyPair] = []
    newest: list[int] = []  # of the pairs of `grids`, the last one on each pair of channels
    counts, spent = [], 0.0
    for number, budget in enumerate(budgets):
        last = number == len(budgets) - 1
        new_grids = refinable(WIDEST) + hexagonal(WIDEST) if last else refinable(WIDEST)
        refinements = [*refinable(FINEST), *refinable(FINEST, turned=True)] if refine else []
        chosen = _best(model, chains, refinements, new_grids, Budget(budget.bits - spent, budget.pairs - len(grids)))
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
    return evaluate(model, grids, counts)


def evaluate(model: GaussianModel, grids: Sequence[AnyPair], rates: Sequence[int]) -> Allocation:
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
    model: GaussianModel,
    chains: list[Chain],
    refinements: Sequence[AnyGrid],
    new_grids: Sequence[AnyGrid],
    budget: Budget,
) -> dict[int, AnyGrid]:
    """What takes away the most error: the grid of each pair of channels that gets one.

    Earlier pairs get a refinement or none; new ones follow each other without a gap. `gains[n, b]` is the largest gain
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
        options = _options(model, pair, chain, new_grids if new else refinements)
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


def _options(model: GaussianModel, pair: int, chain: Chain, grids: Sequence[AnyGrid]) -> list[_Option]:
    """The grids for which no other both costs less and leaves less."""
    before = model.error(pair, chain)
    # first sorted out by their raw bits, since entropies are slow: this misses a grid only where one with more points
    # and more error than another would still be coded in fewer bits
    by_points = [(math.log2(grid.num_points), before - model.error(pair, (*chain, grid)), grid) for grid in grids]
    priced = [(model.cost(pair, (*chain, grid)), gain, grid) for _, gain, grid in _frontier(by_points)]
    return [_Option(math.ceil(cost / STEP), gain, grid) for cost, gain, grid in _frontier(priced)]


def _frontier(options: list[tuple[float, float, AnyGrid]]) -> list[tuple[float, float, AnyGrid]]:
    kept: list[tuple[float, float, AnyGrid]] = []
    for option in sorted(options, key=lambda option: (option[0], -option[1])):
        if option[1] > (kept[-1][1] if kept else 0.0):
            kept.append(option)
    return kept
