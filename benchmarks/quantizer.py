"""How long quantizing takes: Q2D2, the public Q2D2 code's way, one distance matrix per pair, and FSQ.

    python benchmarks/quantizer.py                # CPU, 1 thread, 100k and 1M tokens
    python benchmarks/quantizer.py --threads 2

Six channels of 7 levels, three rhombic pairs. Everybody is timed from the same projected channels to codes and indices:
tanh, bound, search, normalisation, without gradients and without projections. Below that, Q2D2 and FSQ once more as
layers of a codec, with their projections from and to 512 channels. All take turns in one process; the median counts,
because the first touch of fresh memory makes single times jump.
"""

import time
from collections.abc import Callable
from statistics import median

import torch
import tyro
from torch import Tensor
from vector_quantize_pytorch import FSQ

from q2d2 import Q2D2, RhombicGrid

LEVELS = [7] * 6
GRID = RhombicGrid((7, 7))
POINTS = torch.from_numpy(GRID.points).float()

Quantize = Callable[[Tensor], tuple[Tensor, Tensor]]


def by_distances(z: Tensor, distances: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Codes and indices from all distances to all points, one pair of channels after the other."""
    bounded = torch.tanh(z) * GRID.half_width[0]
    codes, indices = [], []
    for pair in bounded.split(2, dim=-1):
        index = distances(pair).argmin(dim=-1)
        codes.append(POINTS[index] / GRID.extent[0])
        indices.append(index)
    return torch.cat(codes, dim=-1), torch.stack(indices, dim=-1)


def unsqueezed_cdist(z: Tensor) -> tuple[Tensor, Tensor]:
    """As the public code does it: every token is a batch of its own, of one point."""
    return by_distances(z, lambda pair: torch.cdist(pair.unsqueeze(-2), POINTS).squeeze(-2))


def flat_cdist(z: Tensor) -> tuple[Tensor, Tensor]:
    """The same with one matrix of distances per pair."""
    return by_distances(z, lambda pair: torch.cdist(pair.flatten(0, 1), POINTS).unflatten(0, pair.shape[:2]))


def times_s(rivals: dict[str, Quantize], z: Tensor, repeats: int) -> dict[str, list[float]]:
    """Seconds per call, the rivals taking turns. What takes over 2 s is timed once only."""
    taken: dict[str, list[float]] = {name: [] for name in rivals}
    for turn in range(repeats + 1):  # the first turn warms up
        for name, quantize in rivals.items():
            if turn < 2 or taken[name][0] < 2:
                start = time.perf_counter()
                quantize(z)
                taken[name].append(time.perf_counter() - start)
    return {name: taken_s[1:] for name, taken_s in taken.items()}


def report(title: str, times: dict[str, list[float]]) -> None:
    q2d2_s = median(times["Q2D2"])
    for name, seconds in times.items():
        low, middle = 1e3 * min(seconds), 1e3 * median(seconds)
        print(f"{title:>30}  {name:<22}{low:10.2f}{middle:10.2f}{median(seconds) / q2d2_s:9.2f} x", flush=True)


@torch.inference_mode()
def main(tokens: tuple[int, ...] = (100_000, 1_000_000), repeats: int = 15, threads: int = 1) -> None:
    """Time the quantizers and print one table.

    Args:
        tokens: how many to quantize at a time.
        repeats: timed calls of each.
        threads: of torch.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    core = {
        "Q2D2": Q2D2.from_levels(LEVELS, dim=len(LEVELS)).eval(),
        "FSQ": FSQ(LEVELS).eval(),
        "flat cdist": flat_cdist,
        "unsqueezed cdist": unsqueezed_cdist,
    }
    layer = {"Q2D2": Q2D2.from_levels(LEVELS, dim=512).eval(), "FSQ": FSQ(LEVELS, dim=512).eval()}
    print(f"torch {torch.__version__}, CPU, {threads} thread(s), levels {LEVELS}, three rhombic pairs of 85 points")
    print(f"{'tokens':>30}  {'':<22}{'min ms':>10}{'median':>10}{'of Q2D2':>11}")
    for count in tokens:
        z = torch.randn(1, count, len(LEVELS))
        indices = core["Q2D2"](z)[1]
        for name in ("flat cdist", "unsqueezed cdist"):
            share = (core[name](z)[1] == indices).float().mean().item()
            assert share > 0.9999, f"{name} agrees on {share:.6f} of the indices only"
        report(f"{count:,}", times_s(core, z, repeats))
    latent = torch.randn(1, min(tokens), 512)
    report(f"{min(tokens):,} projected, 512", times_s(layer, latent, repeats))


if __name__ == "__main__":
    tyro.cli(main)
