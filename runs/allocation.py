"""Where the bits of a preset should go: `python runs/allocation.py CORPUS`.

Measures the channels that the preset's encoder begins with, finds the grids for what a file of each rate may take once
it is coded (and for the same number of raw bits as equal levels take), and prints them with what they cost and leave:
by the Gaussian model of `q2d2.train.gaussian`, as rms per band in nepers (over all outputs, weighted pitch and voicing
among them, and only of what a linear predictor sees of them). The last lines are for `q2d2/allocations.py`, one a rate.
"""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path

import torch
import tyro

from q2d2 import allocations, presets
from q2d2.codec import Codec
from q2d2.grid import AnyGrid
from q2d2.refinement import Refinement
from q2d2.train import linear_start
from q2d2.train.allocation import Allocation, Budget, Channels, GaussianModel, Pair, allocate, evaluate
from q2d2.train.data import Crops, Speech, open_speech
from q2d2.train.recipes import SPEECH, row_samples

MANY = 60  # pairs: more than any rate can use


def main(
    corpus: Path,
    /,
    preset: str = "speech",
    bits: tuple[float, ...] = (19.3, 61.9, 127.5),
    pairs: tuple[int, ...] = (6, 20, 48),
    spread: float = linear_start.SPREAD,
    saving_kept: float = 0.7,
    cache: Path | None = None,
) -> None:
    """Print the allocation.

    Args:
        corpus: packed, or a folder of audio
        preset: whose encoder and frame rate count
        bits: coded bits a frame of each rate
        pairs: most indices a frame of each rate
        spread: the quantizer sees z = tanh(x / (spread * standard deviation))
        saving_kept: share of the model's saving of coded over raw bits that a trained network is expected to keep
        cache: a folder for the decoded corpus
    """
    torch.manual_seed(0)
    codec = Codec(presets.find(preset)).eval()
    crops = Crops(row_samples(SPEECH, codec.config, codec.hop), codec.config.sample_rate_hz, 0, SPEECH.augment)
    speech: Speech = open_speech(corpus, crops, SPEECH.drawing, batch=SPEECH.batch, cache=cache)
    channels = linear_start.channels_of(codec, speech)
    frames_hz = codec.config.sample_rate_hz / codec.hop
    print("variance   ", *(f"{x:.4g}" for x in channels.variance[:24]), "...")
    print("correlation", *(f"{x:.2f}" for x in channels.correlation[:24]), "...")

    raw, coded = GaussianModel(channels, spread, 0.0), GaussianModel(channels, spread, saving_kept)
    coded_budgets = [Budget(*limits) for limits in zip(bits, pairs, strict=True)]
    equal = evaluate(raw, allocations.EQUAL, [3, 9, 18])
    raw_bits = [sum(pair.raw_bits for pair in equal.of_rate(rate)) for rate in range(len(equal.errors))]
    raw_budgets = [Budget(limit, most) for limit, most in zip(raw_bits, pairs, strict=True)]
    wide = [Budget(limit, MANY) for limit in raw_bits]
    best = allocate(coded, coded_budgets)
    rows = {
        "equal levels": equal,
        "equal raw bits, graded": allocate(raw, wide, refine=False),
        "equal raw bits, graded and refined": allocate(raw, raw_budgets),
        "coded bits, graded": allocate(coded, [Budget(limit, MANY) for limit in bits], refine=False),
        "coded bits, graded and refined": best,
    }
    for name, allocation in rows.items():
        _summary(name, allocation, channels, frames_hz)
    _table(best, frames_hz)
    _notation(best)


def _summary(name: str, allocation: Allocation, channels: Channels, frames_hz: float) -> None:
    print(f"\n{name}")
    for rate, error in enumerate(allocation.errors):
        of_rate = allocation.of_rate(rate)
        raw, coded = sum(pair.raw_bits for pair in of_rate), sum(pair.coded_bits for pair in of_rate)
        print(
            f"  {len(of_rate):2} pairs, {2 + max(pair.channel for pair in of_rate):3} channels"
            f"  raw {raw:6.2f} bits {raw * frames_hz / 1000:5.3f} kbps"
            f"  coded {coded:6.2f} bits {coded * frames_hz / 1000:5.3f} kbps"
            f"  rms {(error / len(channels.variance)) ** 0.5:.4f}"
        )


def _table(allocation: Allocation, frames_hz: float) -> None:
    print("\npair rate channels  grid                          points   raw  coded   sum raw, coded kbps")
    raw = accumulate(pair.raw_bits for pair in allocation.pairs)
    coded = accumulate(pair.coded_bits for pair in allocation.pairs)
    for number, (pair, *sums) in enumerate(zip(allocation.pairs, raw, coded, strict=True)):
        grid = _grid(pair)
        name = f"{grid.tiling} {grid.levels[0]}x{grid.levels[1]}"
        if isinstance(pair.grid, Refinement):
            name += f" refines {pair.grid.of}"
        print(
            f"{number:4} {pair.rate:4} {pair.channel:4} {pair.channel + 1:3}  {name:30} {grid.num_points:5}"
            f" {pair.raw_bits:5.2f}  {pair.coded_bits:5.2f}   {sums[0] * frames_hz / 1000:7.3f} "
            f" {sums[1] * frames_hz / 1000:7.3f}"
        )


def _notation(allocation: Allocation) -> None:
    letters = {kind: letter for letter, kind in allocations.LETTERS.items()}
    print()
    for rate in range(len(allocation.errors)):
        words = []
        for pair in allocation.pairs:
            if pair.rate == rate:
                grid = _grid(pair)
                word = f"{letters[type(grid)]}{grid.levels[0]}x{grid.levels[1]}"
                words.append(f"{word}>{pair.grid.of}" if isinstance(pair.grid, Refinement) else word)
        print(f'parse("{" ".join(words)}")')
    print("rates:", [len(allocation.of_rate(rate)) for rate in range(len(allocation.errors))])


def _grid(pair: Pair) -> AnyGrid:
    return pair.grid.grid if isinstance(pair.grid, Refinement) else pair.grid


if __name__ == "__main__":
    tyro.cli(main)
