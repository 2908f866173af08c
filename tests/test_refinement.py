"""Pairs that refine pairs, against brute force in float64 and the laws of successive refinement."""

import itertools

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from q2d2.grid import HexagonalGrid, RectangularGrid, RhombicGrid
from q2d2.quantizer import Q2D2, Q2D2Config, Variant
from q2d2.refinement import Refinement

LINEAR = Variant(input_projection="linear")
COARSE = {"rectangular": RectangularGrid((3, 4)), "rhombic": RhombicGrid((4, 3))}
FINE = {"rectangular": RectangularGrid((3, 3)), "rhombic": RhombicGrid((3, 3)), "even": RectangularGrid((2, 2))}
EACH = [
    pytest.mark.parametrize("coarse", COARSE.values(), ids=COARSE),
    pytest.mark.parametrize("fine", FINE.values(), ids=FINE),
]


def each(test):
    for mark in EACH:
        test = mark(test)
    return test


def positions(quantizer: Q2D2, indices: torch.Tensor, pairs: int) -> np.ndarray:
    """Where the first `pairs` pairs say the first channels are, in the units of their own grid: [rows 2]."""
    codes = quantizer.indices_to_codes(indices).double()
    codes[..., pairs:, :] = 0
    channels = codes.flatten(-2) @ quantizer.synthesis_matrix().T
    return channels.flatten(0, 1).numpy()[:, :2] * np.array(quantizer.grids[0].extent)


def nearest_of(points: np.ndarray, z: np.ndarray) -> np.ndarray:
    return np.square(z[:, None] - points).sum(-1).argmin(-1)


@each
def test_the_product_of_the_stages_is_searched_exactly(coarse, fine):
    """The nearest coarse point, and then the nearest of those of its cell, of all that there are."""
    torch.manual_seed(0)
    quantizer = Q2D2(2, [coarse, Refinement(0, fine), Refinement(1, RectangularGrid((2, 2)))], LINEAR)
    every = np.array(list(itertools.product(*(range(n) for n in quantizer.points))))
    indices = torch.from_numpy(every)[None]
    z = (2 * torch.rand(1, 3000, 2) - 1) * torch.tensor(coarse.extent) / torch.tensor(coarse.half_width)
    found = quantizer(z).indices[0].numpy()
    target = z[0].double().numpy() * np.array(coarse.half_width)
    left = np.ones((len(target), len(every)), bool)
    for stage in range(3):
        at = positions(quantizer, indices, stage + 1)
        distance = np.where(left, np.square(target[:, None] - at).sum(-1), np.inf)
        best = distance.min(1, keepdims=True)
        chosen = (every[:, : stage + 1] == found[:, None, : stage + 1]).all(-1)
        assert np.where(chosen, distance, 0).max(1) == pytest.approx(best[:, 0], abs=1e-5)
        left &= chosen


@each
def test_refined_points_lie_in_the_cell_that_they_refine(coarse, fine):
    quantizer = Q2D2(2, [coarse, Refinement(0, fine), Refinement(1, FINE["rhombic"])], LINEAR)
    every = torch.from_numpy(np.array(list(itertools.product(*(range(n) for n in quantizer.points)))))[None]
    stages = [positions(quantizer, every, stage) for stage in (1, 2, 3)]
    points, where = np.unique(stages[0].round(6), axis=0, return_inverse=True)
    for refined in stages[1:]:
        assert (nearest_of(points, refined) == where.ravel()).all()
    # and all of them are different: nothing is said twice
    assert len(np.unique(stages[2].round(6), axis=0)) == every.shape[1]


@each
def test_quantizing_twice_is_once(coarse, fine):
    quantizer = Q2D2(2, [coarse, Refinement(0, fine), Refinement(1, FINE["even"])], LINEAR)
    every = torch.from_numpy(np.array(list(itertools.product(*(range(n) for n in quantizer.points)))))[None]
    z = positions(quantizer, every, 3) / np.array(coarse.half_width)
    assert torch.equal(quantizer(torch.from_numpy(z).float()[None]).indices, every)


def test_a_refinement_divides_the_error_by_its_levels():
    torch.manual_seed(0)
    coarse = RectangularGrid((3, 5))
    quantizer = Q2D2(2, [coarse, Refinement(0, RectangularGrid((4, 2)))], LINEAR)
    z = 2 * torch.rand(1, 5000, 2) - 1
    target = z[0].double().numpy() * np.array(coarse.half_width)
    indices = quantizer(z).indices
    assert np.abs(target - positions(quantizer, indices, 1)).max(0) == pytest.approx([1 / 2, 1 / 2], abs=1e-3)
    assert np.abs(target - positions(quantizer, indices, 2)).max(0) == pytest.approx([1 / 8, 1 / 4], abs=1e-3)


def test_coarse_pairs_are_what_they_are_without_refinements():
    """Prefixes agree: the flat quantizer of the same projections gives the same indices and the same gradient."""
    torch.manual_seed(0)
    grids = [RhombicGrid((5, 4)), RectangularGrid((3, 3))]
    flat = Q2D2(16, grids)
    fine = Q2D2(16, [*grids, Refinement(0, FINE["rhombic"]), Refinement(1, FINE["even"]), Refinement(2, FINE["even"])])
    fine.project_in.load_state_dict(flat.project_in.state_dict())
    with torch.no_grad():
        fine.project_out.weight[:, :4] = flat.project_out.weight
        fine.project_out.bias.copy_(flat.project_out.bias)
    latents = [torch.randn(2, 50, 16, generator=torch.Generator().manual_seed(1)).requires_grad_() for _ in range(2)]
    made = flat(latents[0]), fine(latents[1], num_pairs=2)
    assert torch.equal(made[0].indices, made[1].indices[..., :2])
    torch.testing.assert_close(made[0].features, made[1].features)
    gradients = [
        torch.autograd.grad(own.features.sin().sum(), latent)[0] for own, latent in zip(made, latents, strict=True)
    ]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(
    ("grids", "variant", "message"),
    [
        ([Refinement(0, FINE["even"])], LINEAR, "pair 0 refines pair 0: a pair can refine one before it"),
        ([COARSE["rhombic"], Refinement(2, FINE["even"]), COARSE["rhombic"]], LINEAR, "pair 1 refines pair 2"),
        ([COARSE["rhombic"], *[Refinement(0, FINE["even"])] * 2], LINEAR, "pair 2 refines pair 0.* only once"),
        ([HexagonalGrid((5, 5)), Refinement(0, FINE["even"])], LINEAR, "only pairs on rectangular and rhombic grids"),
        ([RhombicGrid((5, 5), midpoints="full"), Refinement(0, FINE["even"])], LINEAR, "interior midpoints"),
        ([COARSE["rhombic"], Refinement(0, FINE["even"])], Variant(gradient="noise"), "no other gradient than 'ste'"),
    ],
)
def test_what_cannot_be_refined_says_why(grids, variant, message):
    with pytest.raises(ValueError, match=message):
        Q2D2(8, grids, variant)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("of", "grid"), [(0.0, FINE["even"]), (True, FINE["even"]), (None, FINE["even"]), (0, None)])
def test_a_refinement_of_nothing_is_refused(of, grid):
    with pytest.raises(ValueError, match="is of a pair, by its place in the list, and over a grid"):
        Refinement(of, grid)


def test_config_survives_json():
    config = Q2D2Config(16, (COARSE["rhombic"], Refinement(0, RhombicGrid((3, 2)))))
    adapter = TypeAdapter(Q2D2Config)
    assert adapter.validate_json(adapter.dump_json(config), strict=True, extra="forbid") == config
    assert Q2D2.from_config(config).points == (18, 8)
