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
from q2d2.train.allocation import (
    FINEST,
    STEP,
    WIDEST,
    Budget,
    Channels,
    GaussianModel,
    allocate,
    evaluate,
    hexagonal,
    refinable,
)
from q2d2.train.data import Crops, Raw, Speech
from q2d2.train.gaussian import Chain, entropy, lost

SPREAD = 1.9
FALLING = Channels(100 * 0.7 ** np.arange(16), np.linspace(0.9, 0.0, 16))
BUDGETS = [Budget(9.0, 3), Budget(20.0, 7), Budget(33.0, 12)]


@pytest.mark.parametrize(("saving_kept", "refine"), [(0.0, True), (0.7, True), (0.7, False)])
def test_budgets_are_kept(saving_kept: float, refine: bool) -> None:
    model = GaussianModel(FALLING, SPREAD, saving_kept)
    found = allocate(model, BUDGETS, refine)
    for rate, budget in enumerate(BUDGETS):
        pairs = found.of_rate(rate)
        assert len(pairs) <= budget.pairs
        costs = [pair.raw_bits - saving_kept * (pair.raw_bits - pair.coded_bits) for pair in pairs]
        assert budget.bits - 2 < sum(costs) <= budget.bits + 1e-9
    if not refine:
        assert not any(isinstance(grid, Refinement) for grid in found.grids)
    assert found == evaluate(model, found.grids, [len(found.of_rate(rate)) for rate in range(3)])
    Q2D2(64, found.grids)  # takes them


def test_every_rate_adds_to_what_is_known_and_refining_pays() -> None:
    model = GaussianModel(FALLING, SPREAD, 0.0)
    refined, graded = allocate(model, BUDGETS), allocate(model, BUDGETS, refine=False)
    assert sorted(refined.errors, reverse=True) == list(refined.errors)
    assert refined.errors[0] == graded.errors[0]
    assert refined.errors[2] < graded.errors[2] < FALLING.variance.sum()


def test_more_bits_never_make_more_error() -> None:
    model = GaussianModel(FALLING, SPREAD)
    errors = [allocate(model, [Budget(float(bits), 6)]).errors[0] for bits in range(2, 24, 3)]
    assert sorted(errors, reverse=True) == errors
    errors = [allocate(model, [Budget(14.0, pairs)]).errors[0] for pairs in (1, 2, 3, 6)]
    assert sorted(errors, reverse=True) == errors


Option = tuple[int, int, float]  # indices (0 or 1), the steps that they cost, what is left of the two channels


def options(model: GaussianModel, pair: int, chain: Chain, grids: list) -> list[Option]:
    chains = [(*chain, grid) for grid in grids]
    return [(1, math.ceil(model.cost(pair, own) / STEP), model.error(pair, own)) for own in chains]


def least(places: list[list[Option]], indices: int, steps: int) -> float:
    """The least error of all ways to choose an option at each place, tried out one by one."""
    if not places:
        return 0.0
    fitting = [option for option in places[0] if option[0] <= indices and option[1] <= steps]
    return min((own[2] + least(places[1:], indices - own[0], steps - own[1]) for own in fitting), default=math.inf)


@pytest.mark.parametrize("budgets", [[Budget(7.5, 3)], [Budget(5.0, 2), Budget(9.5, 4)]], ids=["new", "refined"])
def test_the_last_rate_is_the_best_of_all_ways(budgets: list[Budget]) -> None:
    """Given the rates before, which have a pair or two that can be refined."""
    model = GaussianModel(Channels(FALLING.variance[:8], FALLING.correlation[:8]), SPREAD, 0.0)
    found = allocate(model, budgets)
    before = found.of_rate(len(budgets) - 2)
    steps = int((budgets[-1].bits - sum(pair.raw_bits for pair in before)) / STEP)
    refinements, new_grids = refinable(FINEST) + refinable(FINEST, turned=True), refinable(WIDEST) + hexagonal(WIDEST)
    chains = [(pair.grid,) for pair in before]
    refined = [
        [(0, 0, model.error(pair, chain)), *options(model, pair, chain, refinements)]
        for pair, chain in enumerate(chains)
    ]
    new = [options(model, pair, (), new_grids) for pair in range(len(before), model.num_pairs)]
    errors = [
        least(refined + new[:count], budgets[-1].pairs - len(before), steps)
        + sum(model.error(pair, ()) for pair in range(len(before) + count, model.num_pairs))
        for count in range(min(3, len(new)) + 1)
    ]
    assert found.errors[-1] == pytest.approx(min(errors), rel=1e-9)
    assert len(budgets) == 1 or any(isinstance(grid, Refinement) for grid in found.grids)


def test_equal_channels_get_equal_grids() -> None:
    equal = Channels(np.ones(8), np.full(8, 0.5))
    bits = 4 * math.log2(RectangularGrid((3, 3)).num_points) + 4 / 64
    found = allocate(GaussianModel(equal, SPREAD, 0.0), [Budget(bits, 4)], refine=False)
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
    model = GaussianModel(Channels(np.array([16.0, 1.0]), np.zeros(2)), SPREAD, 0.0)
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
