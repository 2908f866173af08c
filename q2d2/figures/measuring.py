"""The numbers behind two figures: dependence of a model's channels, and what the grids lose on samples."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int64
from tqdm import tqdm

from q2d2.analyze import dependence, distortion
from q2d2.analyze.dependence import Baseline, Dependence
from q2d2.analyze.distortion import Distortion, Samples
from q2d2.grid import TILINGS, Grid

# Shifted, not shuffled: frames of speech resemble their neighbours.
BASELINE = Baseline(surrogates=40, surrogate=dependence.shifted)
CUBIC = "rectangular"  # with equal levels, and the same in any dimension
BITS = (2.0, 2.5, 3.0, 3.5, 4.0)  # per dimension


class PairDependence(NamedTuple):
    """Mutual information of one pair of channels, in bits."""

    grid: Grid
    before: Dependence  # of the channels as they come
    after: Dependence  # of the points' coordinates; the baseline is of channels shifted before the grid
    given_coset: Dependence  # of the points' coordinates within a coset; shifted within it
    uniform_bits: float  # of the coordinates where the channels are independent, and uniform in the box


class Curves(NamedTuple):
    """What the grids lose on samples of one source."""

    source: str
    cubic: list[Distortion]
    tilings: dict[str, list[Distortion]]  # all others of `grid.TILINGS`, at matched bits

    def gains_db(self, points: Sequence[Distortion]) -> list[float]:
        """Over the cubic lattice at equal log2(points); NaN where that is not known.

        Not at equal entropy: estimates from as many samples as a model gives are low for large alphabets, by more than
        the gains, and those of triples contain what three channels have in common, those of pairs what two have.
        """
        return distortion.gains_db(points, self.cubic)


def dependences(
    on_grid: Float[np.ndarray, "frames pairs 2"],
    indices: Int64[np.ndarray, "frames pairs"],
    grids: Sequence[Grid],
    baseline: Baseline = BASELINE,
) -> list[PairDependence]:
    """Of each pair; channels in the units of the grids."""
    uniform_bits = {grid: dependence.on_uniform(grid) for grid in dict.fromkeys(grids)}
    return [
        PairDependence(
            grid,
            dependence.before(on_grid[:, pair], baseline),
            dependence.beyond_grid(on_grid[:, pair], grid, baseline),
            dependence.given_coset(indices[:, pair], grid, baseline),
            uniform_bits[grid],
        )
        for pair, grid in enumerate(tqdm(grids, desc="mutual information", unit="pair", disable=None))
    ]


def curves(sources: Mapping[str, Samples], bits: Sequence[float] = BITS) -> list[Curves]:
    """Of each source, by name, the cubic lattice and every grid, at their best scales. Channels divide by 6."""
    wanted = [distortion.matched(rate, (tiling for tiling in TILINGS if tiling != CUBIC)) for rate in bits]
    cubic = distortion.cubic(math.ceil(2 ** (max(bits) + 0.25)))  # beyond whatever is matched to these bits
    # neighbouring bits may have the same grid
    tilings = {tiling: list(dict.fromkeys(grids[tiling] for grids in wanted)) for tiling in wanted[0]}
    return [
        Curves(
            name,
            distortion.curve(cubic, samples),
            {tiling: distortion.curve(grids, samples) for tiling, grids in tilings.items()},
        )
        for name, samples in tqdm(sources.items(), desc="rate and distortion", unit="source", disable=None)
    ]


def dependence_csv(pairs: Sequence[PairDependence]) -> str:
    """A line for each pair."""
    kinds = ("before", "after", "given_coset")
    parts = ("bits", "baseline_bits", "baseline_95_bits", "p_value")
    table: list[list[object]] = [
        ["pair", "grid", "points", "frames", "uniform_bits", *(f"{kind}_{part}" for kind in kinds for part in parts)]
    ]
    for number, pair in enumerate(pairs, start=1):
        found = [getattr(getattr(pair, kind), part) for kind in kinds for part in parts]
        texts = [f"{bits:.5f}" for bits in (pair.uniform_bits, *found)]
        table.append([number, str(pair.grid), pair.grid.num_points, pair.after.frames, *texts])
    return _csv(table)


def rate_distortion_csv(sources: Sequence[Curves]) -> str:
    """A line for each source and grid; a gain that is not known is an empty cell."""
    table: list[list[object]] = [
        ["source", "tiling", "levels", "points", "rate_bits", "entropy_bits", "snr_db", "gain_db"]
    ]
    for source in sources:
        for tiling, found in {"cubic": source.cubic, **source.tilings}.items():
            for point, gain_db in zip(found, source.gains_db(found), strict=True):
                levels = " x ".join(map(str, point.grid.levels))
                numbers = [point.rate_bits, point.entropy_bits, point.snr_db, gain_db]
                texts = ["" if math.isnan(number) else f"{number:.5f}" for number in numbers]
                table.append([source.source, tiling, levels, point.grid.num_points, *texts])
    return _csv(table)


def _csv(table: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(table)
    return text.getvalue()
