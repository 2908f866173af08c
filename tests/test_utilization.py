"""Counts of points against a plain count, entropies against closed forms."""

import math
from collections import Counter

import numpy as np
import pytest

from q2d2.analyze import utilization


def test_counts_are_those_of_a_plain_count_and_add_up_over_clips() -> None:
    rng = np.random.default_rng(0)
    points = (5, 85, 7)
    indices = np.stack([rng.integers(0, size, 200) for size in points], axis=1)
    counts = utilization.count(indices, points)
    for pair, column in enumerate(counts):
        plain = Counter(indices[:, pair].tolist())
        assert column.tolist() == [plain[point] for point in range(points[pair])]
    first, second = (utilization.count(part, points) for part in (indices[:77], indices[77:]))
    assert all((a + b == c).all() for a, b, c in zip(first, second, counts, strict=True))


@pytest.mark.parametrize(
    ("counts", "share", "entropy"),
    [
        ([10, 10, 10, 10], 1.0, 2.0),  # uniform: log2(points)
        ([0, 0, 9, 0], 0.25, 0.0),  # one point says nothing
        ([1, 1, 0, 0], 0.5, 1.0),
        ([4, 2, 1, 1], 1.0, 1.75),  # 1/2, 1/4, 1/8, 1/8
        ([3], 1.0, 0.0),
    ],
)
def test_share_and_entropy(counts: list[int], share: float, entropy: float) -> None:
    use = utilization.use(np.array(counts, dtype=np.int64))
    assert (use.points, use.frames) == (len(counts), sum(counts))
    assert use.used_share == pytest.approx(share)
    assert use.entropy_bits == pytest.approx(entropy, abs=1e-12)
    assert use.log2_points == math.log2(len(counts))
    assert math.copysign(1, use.entropy_bits) == 1


def test_the_bias_is_the_one_that_is_stated() -> None:
    rng = np.random.default_rng(0)
    points, frames = 145, 12_889
    uses = [utilization.use(np.bincount(rng.integers(0, points, frames), minlength=points)) for _ in range(50)]
    bias = np.mean([use.log2_points - use.entropy_bits for use in uses])
    assert bias == pytest.approx((points - 1) / (2 * math.log(2) * frames), rel=0.1)


def test_nothing_counted_is_not_a_number() -> None:
    use = utilization.use(np.zeros(85, dtype=np.int64))
    assert math.isnan(use.used_share) and math.isnan(use.entropy_bits)


@pytest.mark.parametrize("indices", [[[3, 0]], [[-1, 0]], [[0]]])
def test_indices_of_another_alphabet_are_refused(indices: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="alphabet"):
        utilization.count(np.array(indices, dtype=np.int64), (3, 4))
