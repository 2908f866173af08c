"""Which grids channels get: budgets are kept, more bits help, and the model agrees with real grids and with sums."""

import math

import numpy as np
import pytest
import torch
from conftest import make_speech_like
from small_codecs import make_codec

from q2d2 import presets
from q2d2.grid import RectangularGrid, RhombicGrid
from q2d2.quantizer import Q2D2
from q2d2.refinement import Refinement
from q2d2.train import linear_start
from q2d2.train.allocation import Budget, Channels, Model, allocate, describe, entropy, lost
from q2d2.train.data import Crops, Raw, Speech

SPREAD = 1.9
FALLING = Channels(100 * 0.7 ** np.arange(16), np.linspace(0.9, 0.0, 16))
BUDGETS = [Budget(9.0, 3), Budget(20.0, 7), Budget(33.0, 12)]


@pytest.mark.parametrize(("belief", "refine"), [(0.0, True), (0.7, True), (0.7, False)])
def test_budgets_are_kept(belief: float, refine: bool) -> None:
    model = Model(FALLING, SPREAD, belief)
    found = allocate(model, BUDGETS, refine)
    for rate, budget in enumerate(BUDGETS):
        pairs = found.of_rate(rate)
        assert len(pairs) <= budget.pairs
        costs = [pair.raw_bits - belief * (pair.raw_bits - pair.coded_bits) for pair in pairs]
        assert budget.bits - 2 < sum(costs) <= budget.bits + 1e-9
    if not refine:
        assert not any(isinstance(grid, Refinement) for grid in found.grids)
    assert found == describe(model, found.grids, [len(found.of_rate(rate)) for rate in range(3)])
    Q2D2(64, found.grids)  # takes them


def test_every_rate_adds_to_what_is_known_and_refining_pays() -> None:
    model = Model(FALLING, SPREAD, 0.0)
    refined, graded = allocate(model, BUDGETS), allocate(model, BUDGETS, refine=False)
    assert sorted(refined.errors, reverse=True) == list(refined.errors)
    assert refined.errors[0] == graded.errors[0]
    assert refined.errors[2] < graded.errors[2] < FALLING.variance.sum()


def test_more_bits_never_make_more_error() -> None:
    model = Model(FALLING, SPREAD)
    errors = [allocate(model, [Budget(float(bits), 6)]).errors[0] for bits in range(2, 24, 3)]
    assert sorted(errors, reverse=True) == errors
    errors = [allocate(model, [Budget(14.0, pairs)]).errors[0] for pairs in (1, 2, 3, 6)]
    assert sorted(errors, reverse=True) == errors


def test_it_is_the_best_of_all_ways() -> None:
    """All ways to spend 8 bits on three pairs, tried out."""
    model = Model(Channels(FALLING.variance[:6], FALLING.correlation[:6]), SPREAD, 0.0)
    grids = [kind((a, b)) for kind in (RectangularGrid, RhombicGrid) for a in range(2, 8) for b in range(2, a + 1)]
    least = math.inf
    for first in grids:
        for second in (None, *grids):
            ways = [first] if second is None else [first, second]
            if sum(math.log2(grid.num_points) for grid in ways) <= 8:
                least = min(least, *describe(model, ways, [len(ways)]).errors)
                if second is not None:
                    left = 8 - sum(math.log2(grid.num_points) for grid in ways)
                    thirds = [grid for grid in grids if math.log2(grid.num_points) <= left]
                    least = min([least, *(describe(model, [*ways, third], [3]).errors[0] for third in thirds)])
    assert allocate(model, [Budget(8.0, 3)]).errors[0] <= least + 1e-9


def test_equal_channels_get_equal_grids() -> None:
    equal = Channels(np.ones(8), np.full(8, 0.5))
    bits = 4 * math.log2(RectangularGrid((3, 3)).num_points) + 4 / 64
    found = allocate(Model(equal, SPREAD, 0.0), [Budget(bits, 4)], refine=False)
    assert len(found.grids) == 4
    assert len(set(found.grids)) == 1


CHAINS = [
    (RhombicGrid((7, 4)),),
    (RectangularGrid((4, 3)), RectangularGrid((3, 2))),
    (RhombicGrid((5, 3)), RhombicGrid((2, 3))),
    (RectangularGrid((2, 2)), RhombicGrid((2, 2)), RectangularGrid((2, 2))),
]


@pytest.mark.parametrize("chain", CHAINS, ids=str)
def test_errors_are_those_of_a_quantizer(chain: tuple) -> None:
    """Samples through a real quantizer, each rebuilt as the mean of its cell."""
    grids = [grid if number == 0 else Refinement(number - 1, grid) for number, grid in enumerate(chain)]
    quantizer = Q2D2(2, grids)
    x = torch.randn(1, 400_000, 2, generator=torch.Generator().manual_seed(1))
    assert isinstance(quantizer.project_in, torch.nn.Identity)
    with torch.no_grad():
        cells = quantizer.indices_to_tokens(quantizer(x / SPREAD).indices)[0].numpy()
    values = x[0].double().numpy()
    weight = np.maximum(np.bincount(cells), 1)
    for axis, expected in enumerate(lost(chain, SPREAD)):
        mean = np.bincount(cells, values[:, axis]) / weight
        assert np.square(values[:, axis] - mean[cells]).mean() == pytest.approx(expected, rel=0.03)


def test_an_index_given_the_last_costs_what_integrals_say() -> None:
    """A rectangular grid is two scalar quantizers: sums over a fine square of (last frame, this frame)."""
    x = np.linspace(-6, 6, 2401)
    expected = 0.0
    for levels, correlation in ((4, 0.8), (3, 0.3)):
        exponent = x**2 + x[:, None] ** 2 - 2 * correlation * x * x[:, None]
        density = np.exp(-exponent / (2 * (1 - correlation**2)))
        level = np.clip(np.floor((np.tanh(x / SPREAD) + 1) / 2 * levels), 0, levels - 1).astype(int)
        one_hot = np.eye(levels)[level]
        joint = one_hot.T @ density @ one_hot / density.sum()
        expected += -(joint * np.log2(joint / joint.sum(0))).sum()
    assert entropy((RectangularGrid((4, 3)),), 0.8, 0.3, SPREAD) == pytest.approx(expected, abs=0.02)


def test_what_repeats_is_cheaper_and_nothing_costs_more_than_its_points() -> None:
    for chain in CHAINS:
        bits = [entropy(chain, correlation, correlation, SPREAD) for correlation in (0.9, 0.6, 0.0)]
        assert bits[0] <= bits[1] <= bits[2] <= math.log2(chain[-1].num_points)
    assert entropy(CHAINS[0], 0.9, 0.9, SPREAD) < 0.8 * entropy(CHAINS[0], 0.0, 0.0, SPREAD)


def test_the_first_axis_has_the_stronger_channel() -> None:
    model = Model(Channels(np.array([16.0, 1.0]), np.zeros(2)), SPREAD, 0.0)
    (grid,) = allocate(model, [Budget(4.0, 1)]).grids
    assert grid.levels[0] > grid.levels[1]


class OneVoice(Speech):
    """The same two seconds at every step."""

    def __init__(self) -> None:
        super().__init__(Crops(106 * 450, 24_000, 0), 1)

    def raw_at(self, step: int) -> Raw:
        wav = torch.from_numpy(make_speech_like(2.0)[: 106 * 450])[None]
        return Raw(wav, torch.zeros(1).long(), torch.ones(1), torch.zeros(1, 0), ("",))


def test_channels_are_as_strong_and_as_slow_as_what_the_codec_begins_with() -> None:
    codec = make_codec(presets.TINY)
    found = linear_start.channels_of(codec, OneVoice())
    assert (np.diff(found.variance) <= 0).all()
    assert (np.abs(found.correlation) <= 1.01).all()
    linear_start.begin(codec, OneVoice())
    wav = OneVoice().batch_at(0).wav
    with torch.no_grad():
        seen = codec.encoder.bypass(codec.encoder.spectral_frames(codec.encoder.features(wav)))
    own = linear_start._inner(seen)[:, : codec.quantizer.axes].double()
    scale = linear_start.SPREAD * torch.from_numpy(found.variance[: codec.quantizer.axes]).sqrt()
    assert torch.allclose((own * scale).var(0, correction=0).sqrt(), scale / linear_start.SPREAD, rtol=0.02)
    own = own - own.mean(0)
    moved = (own[1:] * own[:-1]).mean(0) / own.square().mean(0)
    assert np.allclose(moved.numpy(), found.correlation[: codec.quantizer.axes], atol=0.05)
