"""Counts against plain counts, entropies against closed forms, expectations against fractions, draws and the paper."""

import math
from collections import Counter
from fractions import Fraction

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
    assert use.dead_points == counts.count(0)
    assert use.perplexity == pytest.approx(2**entropy)
    assert use.unseen_mass == counts.count(1) / sum(counts)


def test_the_bias_is_the_one_that_is_stated() -> None:
    rng = np.random.default_rng(0)
    points, frames = 145, 12_889
    uses = [utilization.use(np.bincount(rng.integers(0, points, frames), minlength=points)) for _ in range(50)]
    bias = np.mean([use.log2_points - use.entropy_bits for use in uses])
    assert bias == pytest.approx((points - 1) / (2 * math.log(2) * frames), rel=0.1)
    left = np.mean([use.log2_points - use.corrected_entropy_bits for use in uses])
    assert abs(left) < 0.1 * bias


def test_nothing_counted_is_not_a_number() -> None:
    use = utilization.use(np.zeros(85, dtype=np.int64))
    shares = (use.used_share, use.expected_used_share, use.distinct_share, use.unseen_mass)
    assert all(math.isnan(value) for value in (*shares, use.entropy_bits, use.corrected_entropy_bits, use.perplexity))
    assert use.dead_points == 85
    joint = utilization.joint(np.zeros((0, 2), dtype=np.int64), (3, 4))
    assert (joint.token.points, joint.token.frames, joint.token.used_points) == (12, 0, 0)
    assert math.isnan(joint.pair_used_share) and math.isnan(joint.independent_entropy_bits)


@pytest.mark.parametrize("indices", [[[3, 0]], [[-1, 0]], [[0]]])
def test_indices_of_another_alphabet_are_refused(indices: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="alphabet"):
        utilization.count(np.array(indices, dtype=np.int64), (3, 4))
    with pytest.raises(ValueError, match="alphabet"):
        utilization.token_counts(np.array(indices, dtype=np.int64), (3, 4))


@pytest.mark.parametrize("points", [(3,), (5, 85, 7), (85, 145, 85, 145)])
def test_tokens_are_those_of_a_plain_count_of_rows(points: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    # small numbers often: tokens that come once, twice and many times
    indices = np.stack([np.minimum(rng.geometric(0.6, 500) - 1, size - 1) for size in points], axis=1)
    plain = Counter(map(tuple, indices.tolist()))
    assert sorted(utilization.token_counts(indices, points).tolist()) == sorted(plain.values())
    joint = utilization.joint(indices, points)
    token = joint.token
    assert (token.points, token.frames) == (math.prod(points), 500)
    assert (token.used_points, token.distinct_share) == (len(plain), len(plain) / 500)
    assert token.unseen_mass == sum(n == 1 for n in plain.values()) / 500
    assert token.entropy_bits == pytest.approx(-math.fsum(n / 500 * math.log2(n / 500) for n in plain.values()))
    assert joint.pairs == tuple(utilization.use(column) for column in utilization.count(indices, points))
    used = sum(len(set(column)) for column in indices.T.tolist())
    assert joint.pair_used_share == used / sum(points)


def test_entropies_of_pairs_add_up_only_if_they_are_independent() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 4, (2, 100_000))
    independent = utilization.joint(np.stack([first, second], axis=1), (4, 4))
    assert independent.token.corrected_entropy_bits == pytest.approx(independent.independent_entropy_bits, abs=1e-3)
    twice = utilization.joint(np.stack([first, first], axis=1), (4, 4))
    assert twice.token.entropy_bits == pytest.approx(twice.pairs[0].entropy_bits)
    assert twice.independent_entropy_bits == pytest.approx(2 * twice.pairs[0].corrected_entropy_bits)


def test_a_product_codebook_past_every_integer_type() -> None:
    points = (85,) * 9 + (145,) * 9  # the codec's largest rate: 2**122
    indices = np.random.default_rng(0).integers(0, points, (20_000, 18))
    joint = utilization.joint(np.concatenate([indices, indices[:100]]), points)
    token = joint.token
    assert token.points == 85**9 * 145**9
    assert token.log2_points == pytest.approx(9 * math.log2(85) + 9 * math.log2(145))
    assert (token.used_points, token.singletons) == (20_000, 19_900)
    assert token.used_share == pytest.approx(20_000 / token.points, rel=1e-12)
    assert token.expected_used_share == pytest.approx(20_100 / token.points, rel=1e-12)
    assert joint.pair_used_share == 1
    # bits that are really used, where the tokens' own entropy is no more than the logarithm of their number
    assert token.entropy_bits < math.log2(20_100) < 15
    assert joint.independent_entropy_bits == pytest.approx(token.log2_points, abs=0.1)


@pytest.mark.parametrize("frames", [0, 1, 7, 400])
@pytest.mark.parametrize("points", [1, 2, 85, 2**40, 2**72 + 1, 2**127, 2**2000], ids=lambda n: f"{n.bit_length()}bits")
def test_expected_use_is_exact(points: int, frames: int) -> None:
    exact = points * (1 - Fraction(points - 1, points) ** frames)
    assert utilization.expected_used_points(points, frames) == pytest.approx(float(exact), rel=1e-14)
    assert utilization.expected_used_share(points, frames) == pytest.approx(float(exact / points), rel=1e-14)


def test_expected_use_is_that_of_uniform_draws() -> None:
    rng = np.random.default_rng(0)
    shares = [utilization.use(np.bincount(rng.integers(0, 85, 100), minlength=85)).used_share for _ in range(400)]
    error = np.std(shares) / math.sqrt(len(shares))
    assert abs(np.mean(shares) - utilization.expected_used_share(85, 100)) < 4 * error


@pytest.mark.parametrize(
    ("points", "hop", "paper"),
    [((85,) * 3, 450, 0.9218), ((145, 85, 85), 144, 0.9947), ((145, 145, 85), 72, 0.9942)],
)
def test_the_papers_codebook_utilization_is_what_its_test_set_can_show(points, hop, paper) -> None:
    """Table 10, on the 8.56 hours of LibriTTS test-clean: random tokens would have measured the same."""
    frames = round(8.56 * 3600 * 24_000 / hop)
    assert utilization.expected_used_share(math.prod(points), frames) == pytest.approx(paper, abs=0.015)


def test_the_unseen_mass_is_the_probability_of_something_new() -> None:
    rng = np.random.default_rng(0)
    probability = 1 / np.arange(1, 3001)
    probability /= probability.sum()
    error = []
    for _ in range(200):
        counts = rng.multinomial(2000, probability).astype(np.int64)
        error.append(utilization.use(counts).unseen_mass - probability[counts == 0].sum())
    assert abs(np.mean(error)) < 4 * np.std(error) / math.sqrt(len(error)) + 1 / 2000  # Good's bound of the bias
    assert np.std(error) < 1 / math.sqrt(2000)


def test_rarefaction_is_the_mean_of_all_parts() -> None:
    counts = np.array([5, 3, 1, 0, 1], dtype=np.int64)
    values = np.repeat(np.arange(5), counts)
    for frames in range(11):
        # by hypergeometric fractions, point by point
        exact = sum(1 - Fraction(math.comb(10 - n, frames), math.comb(10, frames)) for n in counts.tolist())
        assert utilization.rarefied(counts, frames) == pytest.approx(float(exact), abs=1e-12)
    rng = np.random.default_rng(0)
    drawn = [len(set(rng.permutation(values)[:4])) for _ in range(4000)]
    assert np.mean(drawn) == pytest.approx(utilization.rarefied(counts, 4), abs=4 * np.std(drawn) / math.sqrt(4000))
    assert utilization.rarefied(counts, 10) == utilization.use(counts).used_points
    with pytest.raises(ValueError, match="10 values were counted"):
        utilization.rarefied(counts, 11)
