"""Q2D2 against independent derivations (brute force, the public code's formulas) and the laws of its gradients."""

import copy
import math
import shutil
from pathlib import Path

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor

import q2d2.quantizer
from q2d2.grid import BCCGrid, FCCGrid, HexagonalGrid, RectangularGrid, RegularHexagonalGrid, RhombicGrid
from q2d2.quantizer import OFFICIAL, PAPER, Q2D2, Q2D2Config, Variant
from q2d2.refinement import Refinement

DIM = 16
R33 = RhombicGrid((3, 3))
BUILDERS = {
    "paper": lambda: Q2D2.from_levels([7] * 6, dim=DIM),
    "bare": lambda: Q2D2.from_levels([7] * 6, dim=6),
    "one pair": lambda: Q2D2.from_levels([5, 4], tiling="hexagonal", dim=DIM),
    "mixed": lambda: Q2D2(
        DIM, [RhombicGrid((9, 7)), RectangularGrid((3, 8)), RegularHexagonalGrid((6, 5)), HexagonalGrid((7, 7))]
    ),
    "bcc": lambda: Q2D2(DIM, [BCCGrid((5, 5, 5)), BCCGrid((3, 4, 2))]),
    "fcc bare": lambda: Q2D2(6, [FCCGrid((3, 3, 3)), FCCGrid((3, 4, 2))]),
    "linear": lambda: Q2D2.from_levels([7] * 6, dim=DIM, variant=Variant(input_projection="linear")),
    "layernorm": lambda: Q2D2.from_levels([7] * 6, dim=DIM, variant=Variant(input_projection="layernorm")),
    "official": lambda: Q2D2.from_levels([9, 9, 7, 7], dim=DIM, variant=OFFICIAL),
    "rotation": lambda: Q2D2.from_levels([7] * 6, dim=DIM, variant=Variant(gradient="rotation")),
    "refined": lambda: Q2D2(
        DIM, [RhombicGrid((5, 4)), Refinement(0, RectangularGrid((3, 3))), RectangularGrid((3, 2)), Refinement(1, R33)]
    ),
    "noise": lambda: Q2D2.from_levels([7] * 6, dim=DIM, variant=Variant(gradient="noise")),
}
EVERY = pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS.keys())


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def bare(variant: Variant = PAPER, levels: tuple[int, ...] = (7, 7, 9, 5), tiling: str = "rhombic") -> Q2D2:
    """No projections: the latent is what the tanh gets."""
    return Q2D2.from_levels(levels, tiling=tiling, dim=len(levels), variant=variant)


def random_indices(quantizer: Q2D2, frames: int = 50) -> Tensor:
    return torch.stack([torch.randint(n, (2, frames)) for n in quantizer.points], dim=-1)


# --- values -----------------------------------------------------------------------------------------------------------


@EVERY
def test_forward_is_the_brute_force_of_its_parts(build):
    quantizer = build().eval()
    latent = 2 * torch.randn(3, 200, quantizer.dim)
    features, indices = quantizer(latent)
    assert indices.dtype == torch.int64 and indices.shape == (3, 200, quantizer.num_pairs)
    with torch.no_grad():
        z, codes = quantizer.project(latent).double(), []
        for pair, grid in enumerate(quantizer.grids):
            official = [1.001 * (level - 1) / 2 for level in grid.levels]
            bound = torch.tensor(official if quantizer.variant == OFFICIAL else grid.half_width, dtype=torch.float64)
            points = torch.from_numpy(grid.points)
            if quantizer.refines[pair] is None:
                at = z[:, :, quantizer.refines[:pair].count(None)] * bound
            else:  # test_refinement has a reference for these
                at = quantizer.coordinates(z.float())[:, :, pair].double()
            distance = torch.linalg.vector_norm(at.unsqueeze(-2) - points, dim=-1)
            chosen = distance.gather(-1, indices[..., pair : pair + 1]).squeeze(-1)
            assert (chosen <= distance.amin(-1) + 1e-5).all()
            codes.append(points[indices[..., pair]] / torch.tensor(grid.extent, dtype=torch.float64))
        expected = quantizer.project_out(torch.cat(codes, dim=-1).float())
    torch.testing.assert_close(features, expected, rtol=1e-5, atol=1e-5)


@EVERY
def test_indices_give_the_very_features_back_for_every_prefix(build):
    quantizer = build().eval()
    latent = torch.randn(2, 30, quantizer.dim, requires_grad=True)
    with_gradient = quantizer(latent)
    with torch.no_grad():
        features, indices = quantizer(latent)
        assert torch.equal(features, with_gradient.features) and torch.equal(indices, with_gradient.indices)
        assert torch.equal(quantizer.indices_to_features(indices), features)
        for pairs in range(quantizer.num_pairs + 1):
            prefix = quantizer(latent, num_pairs=pairs)
            assert torch.equal(prefix.indices, indices)
            assert torch.equal(quantizer.indices_to_features(indices[..., :pairs]), prefix.features)


def test_prefixes_may_differ_from_row_to_row():
    quantizer = Q2D2.from_levels([7] * 6, dim=DIM)
    latent = torch.randn(4, 5, DIM)
    rows = quantizer(latent, num_pairs=torch.tensor([0, 3, 1, 2])).features
    for row, pairs in zip(range(4), (0, 3, 1, 2), strict=True):
        torch.testing.assert_close(rows[row : row + 1], quantizer(latent[row : row + 1], num_pairs=pairs).features)
    for pairs in (-1, 4):
        with pytest.raises(ValueError, match=r"0\.\.3"):
            quantizer(latent, num_pairs=pairs)


def test_padding_is_zero_and_changes_nothing_even_if_it_is_nan():
    quantizer = Q2D2.from_levels([7] * 6, dim=DIM)
    latent = torch.randn(2, 9, DIM)
    latent[1, 4:] = math.nan
    mask = torch.arange(9) < torch.tensor([[9], [4]])
    features, indices = quantizer(latent, mask)
    assert (features[1, 4:] == 0).all() and (indices[1, 4:] == 0).all()
    torch.testing.assert_close(features[1:, :4], quantizer(latent[1:, :4]).features)
    torch.testing.assert_close(features[:1], quantizer(latent[:1]).features)


@EVERY
def test_codes_and_indices_are_inverse_for_all_points(build):
    quantizer = build()
    every = torch.arange(max(quantizer.points)).reshape(1, -1, 1)
    indices = every.minimum(torch.tensor(quantizer.points) - 1)
    codes = quantizer.indices_to_codes(indices)
    assert codes.dtype == torch.float32 and codes.isfinite().all()
    assert torch.equal(quantizer.codes_to_indices(codes), indices)
    assert torch.equal(quantizer.codes_to_indices(codes + 0.02 * torch.rand_like(codes)), indices)
    if not any("hexagonal" in grid.tiling for grid in quantizer.grids):
        assert codes.abs().max() == 1


@pytest.mark.parametrize("tiling", ["rectangular", "rhombic", "hexagonal", "regular_hexagonal", "bcc", "fcc"])
def test_quantizing_a_code_again_gives_itself(tiling):
    quantizer = bare(Variant(input_projection="linear"), levels=(5, 5, 4, 5, 5, 4), tiling=tiling)
    first = quantizer(torch.randn(2, 100, 6))
    bounds = [b / e for grid in quantizer.grids for b, e in zip(grid.half_width, grid.extent, strict=True)]
    again = quantizer(first.features / torch.tensor(bounds))
    assert torch.equal(again.features, first.features) and torch.equal(again.indices, first.indices)


def test_an_index_beyond_its_grid_is_no_code():
    quantizer = Q2D2(4, [RhombicGrid((9, 9)), RectangularGrid((3, 3))])
    assert quantizer.indices_to_codes(torch.tensor([[[8, 9]]])).isnan().any()
    with pytest.raises(IndexError):
        quantizer.indices_to_codes(torch.tensor([[[145, 0]]]))


def test_blocks_and_layout_make_no_difference(monkeypatch):
    quantizer = Q2D2(8, [RhombicGrid((7, 7)), RhombicGrid((7, 7)), RhombicGrid((9, 9)), RhombicGrid((7, 7))])
    latent = torch.randn(3, 8, 41).transpose(1, 2)
    whole = quantizer(latent)
    single = quantizer(latent[1:2, 7:8])
    assert torch.equal(single.features, whole.features[1:2, 7:8])
    monkeypatch.setattr(q2d2.quantizer, "CACHED", 10)
    for pieces in (quantizer(latent), quantizer(latent.contiguous())):
        assert torch.equal(pieces.features, whole.features) and torch.equal(pieces.indices, whole.indices)
    assert quantizer(latent[:, :0]).indices.shape == (3, 0, 4)


# --- the public code --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tiling", ["rectangular", "rhombic", "hexagonal"])
def test_official_variant_is_the_public_code(tiling):
    """Its formulas written anew: bound (l-1)(1+1e-3)/2, points in its order, codes over l // 2, STE after the tanh."""
    level = 7
    half = (level - 1) / 2
    axis = torch.linspace(-half, half, level)
    inner = (axis[1:] + axis[:-1]) / 2
    if tiling == "hexagonal":  # row by row, x inner
        points = torch.stack([torch.stack([x + (-1) ** i / 4, y]) for i, y in enumerate(axis) for x in axis])
    else:  # x outer; midpoints last
        points = torch.cartesian_prod(axis, axis)
        if tiling == "rhombic":
            points = torch.cat([points, torch.cartesian_prod(inner, inner)])

    quantizer = Q2D2.from_levels([level] * 6, tiling=tiling, dim=DIM, variant=OFFICIAL)
    latent = torch.randn(2, 300, DIM, requires_grad=True)
    features, indices = quantizer(latent)

    t = torch.tanh(quantizer.project_in(latent)).unflatten(-1, (3, 2))
    expected_indices = torch.cdist((t * (half * (1 + 1e-3))).double().flatten(0, 1), points.double()).argmin(-1)
    expected_indices = expected_indices.unflatten(0, (2, 300))
    codes = (t + (points[expected_indices] - t).detach()) / (level // 2)
    expected = quantizer.project_out(codes.flatten(-2))

    assert torch.equal(indices, expected_indices)
    torch.testing.assert_close(features, expected)
    weight = torch.randn_like(features)
    mine, theirs = (torch.autograd.grad((f * weight).sum(), latent)[0] for f in (features, expected))
    torch.testing.assert_close(mine, theirs)


# --- gradients --------------------------------------------------------------------------------------------------------


def gradient(quantizer: Q2D2, latent: Tensor, weight: Tensor) -> Tensor:
    latent = latent.clone().requires_grad_()
    return torch.autograd.grad((quantizer(latent).features * weight).sum(), latent)[0]


def test_straight_through_gradient_is_1_at_the_bounded_point():
    latent, weight = torch.randn(2, 2, 40, 4).unbind()
    levels = torch.tensor([7.0, 7, 9, 5])
    slope = 1 - torch.tanh(latent) ** 2
    at_bounded = weight * slope * (levels / 2) / ((levels - 1) / 2)
    torch.testing.assert_close(gradient(bare(), latent, weight), at_bounded)
    at_projected = gradient(bare(Variant(straight_through="projected")), latent, weight)
    torch.testing.assert_close(at_projected, at_bounded / (levels / 2))


def test_rotation_trick_keeps_angles_and_scales_lengths():
    quantizer = bare(Variant(input_projection="linear", gradient="rotation"), levels=(7, 7))
    for latent in torch.randn(20, 1, 1, 2):
        features, _ = quantizer(latent)
        jacobian = torch.autograd.functional.jacobian(lambda x: quantizer(x).features, latent).reshape(2, 2)
        jacobian = jacobian * (3 / 3.5)  # from z' = 3.5 z to the point 3 code
        e, q = 3.5 * latent.flatten(), 3 * features.detach().flatten()
        if q.norm() == 0:
            torch.testing.assert_close(jacobian, torch.eye(2))
            continue
        torch.testing.assert_close(jacobian @ e, q, rtol=1e-4, atol=1e-4)
        square = (q.norm() / e.norm()) ** 2 * torch.eye(2)
        torch.testing.assert_close(jacobian.T @ jacobian, square, rtol=1e-4, atol=1e-4)
        assert torch.det(jacobian) > 0  # a rotation, not a reflection


@pytest.mark.parametrize(
    ("tiling", "levels", "moment"),
    [
        ("rectangular", (2, 3), 1 / 12),
        ("rhombic", (7, 6), 1 / 24),
        ("hexagonal", (5, 4), 0.080729),
        ("bcc", (3, 3, 3), 0.078543 / 2 ** (2 / 3)),
    ],
)
def test_noise_has_the_distribution_of_the_snapping_error(tiling, levels, moment):
    axes = len(levels)
    quantizer = bare(Variant(input_projection="linear", gradient="noise"), levels=levels, tiling=tiling).train()
    latent = 0.1 * torch.randn(1, 60_000, axes)
    grid = quantizer.grids[0]
    features, indices = quantizer(latent)
    noise = (features * torch.tensor(grid.extent) - latent * torch.tensor(grid.half_width)).squeeze(0)
    assert (noise**2).mean() == pytest.approx(moment, rel=0.02)  # per axis, in units of the spacing
    snapped = torch.tensor(grid.extent) * (2 * torch.rand(60_000, axes) - 1)
    error = grid.nearest(snapped).points - snapped
    torch.testing.assert_close(noise.T @ noise / 60_000, error.T @ error / 60_000, rtol=0.03, atol=1e-3)
    shares = torch.linspace(0.1, 0.9, 9)
    torch.testing.assert_close(noise[:, 0].quantile(shares), error[:, 0].quantile(shares), rtol=0, atol=0.01)

    weight = torch.randn_like(latent)
    ratio = torch.tensor(grid.half_width) / torch.tensor(grid.extent)
    torch.testing.assert_close(gradient(quantizer, latent, weight), weight * ratio)
    assert torch.equal(quantizer.eval()(latent).features, quantizer.indices_to_features(indices))


@EVERY
def test_latent_and_every_parameter_get_a_gradient(build):
    quantizer, latent = build().train(), torch.randn(2, 20, build().dim, requires_grad=True)
    quantizer(latent).features.square().sum().backward()
    for tensor in (latent, *quantizer.parameters()):
        assert tensor.grad is not None and tensor.grad.isfinite().all() and tensor.grad.any()


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_has_the_indices_of_the_float32_core(dtype):
    quantizer = Q2D2(16, [RhombicGrid((9, 9))] * 2 + [RegularHexagonalGrid((9, 8))] * 2)
    core = Q2D2(8, quantizer.grids, Variant(input_projection="linear"))
    latent = torch.randn(2, 500, 16)
    with torch.autocast("cpu", dtype=dtype):
        under_autocast = quantizer(latent)
    assert torch.equal(under_autocast.indices, quantizer(latent).indices)
    assert under_autocast.features.dtype == torch.float32

    narrow = copy.deepcopy(quantizer).to(dtype)
    features, indices = narrow(latent.to(dtype))
    assert features.dtype == dtype and indices.dtype == torch.int64
    z = narrow.project(latent.to(dtype))
    assert z.dtype == torch.float32 and torch.equal(indices, core(z.flatten(-2)).indices)
    assert torch.equal(narrow.indices_to_codes(indices), quantizer.indices_to_codes(indices))
    assert torch.equal(narrow.indices_to_features(indices), features)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inductor's own
@pytest.mark.parametrize(
    "backend",
    ["eager", pytest.param("inductor", marks=pytest.mark.skipif(not shutil.which("g++"), reason="needs a compiler"))],
)
def test_compiles_into_one_graph(backend, monkeypatch):
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)  # the tests' type checks do not compile
    quantizer = Q2D2(DIM, [RhombicGrid((7, 7)), RegularHexagonalGrid((9, 8))])
    compiled = torch.compile(quantizer, fullgraph=True, backend=backend)
    latent = torch.randn(2, 40, DIM, requires_grad=backend == "eager")
    expected, got = quantizer(latent), compiled(latent)
    assert torch.equal(got.indices, expected.indices)
    torch.testing.assert_close(got.features, expected.features)
    if backend == "eager":
        mask, num_pairs = torch.rand(2, 40) < 0.5, torch.tensor([1, 2])
        for arguments in ((mask, 1), (mask, num_pairs)):
            torch.testing.assert_close(compiled(latent, *arguments).features, quantizer(latent, *arguments).features)


@EVERY
def test_state_dict_holds_only_the_projections(build):
    quantizer = build()
    names = {name.split(".")[0] for name in quantizer.state_dict()}
    assert names <= {"project_in", "project_out", "normalize"}
    assert not names or quantizer.dim == DIM
    twin = build()
    twin.load_state_dict(quantizer.state_dict())
    latent = torch.randn(2, 7, quantizer.dim)
    assert torch.equal(twin.eval()(latent).features, copy.deepcopy(quantizer).eval()(latent).features)


def test_the_papers_projections():
    assert sum(p.numel() for p in Q2D2.from_levels([7] * 6).parameters()) == 6662


@pytest.mark.parametrize(
    ("levels", "hop", "bits", "bitrate_bps"),
    [([7] * 6, 450, 19.228, 1026), ([9, 9, 7, 7, 7, 7], 144, 19.999, 3333), ([9, 9, 9, 9, 7, 7], 72, 20.769, 6923)],
)
def test_bits_of_the_papers_codecs(levels, hop, bits, bitrate_bps):
    quantizer = Q2D2.from_levels(levels, tiling="rhombic", dim=512)
    assert quantizer.bits_per_frame == pytest.approx(bits, abs=1e-3)
    assert quantizer.bits_per_frame * 24_000 / hop == pytest.approx(bitrate_bps, abs=0.7)
    assert 2**quantizer.bits_per_frame == pytest.approx(quantizer.codebook_size)
    assert Q2D2.from_levels([7] * 6).codebook_size == 614_125


def test_tokens_round_trip_with_pair_0_fastest():
    quantizer = Q2D2(DIM, [RhombicGrid((7, 7)), RectangularGrid((3, 4)), RhombicGrid((9, 9))])
    indices = random_indices(quantizer)
    tokens = quantizer.indices_to_tokens(indices)
    assert torch.equal(tokens, indices[..., 0] + 85 * indices[..., 1] + 85 * 12 * indices[..., 2])
    assert tokens.dtype == torch.int64 and tokens.max() < quantizer.codebook_size
    assert torch.equal(quantizer.tokens_to_indices(tokens), indices)
    assert torch.equal(quantizer.tokens_to_indices(tokens % (85 * 12), num_pairs=2), indices[..., :2])


def test_tokens_are_refused_past_63_bits_and_never_wrap():
    full = Q2D2(DIM, [RectangularGrid((2, 4))] * 21)  # exactly 2**63
    last = torch.full((1, 1, 21), 7)
    assert full.indices_to_tokens(last).item() == 2**63 - 1
    assert torch.equal(full.tokens_to_indices(full.indices_to_tokens(last)), last)

    speech = Q2D2(DIM, [RhombicGrid((7, 7))] * 3 + [RhombicGrid((9, 9))] * 15)
    assert speech.codebook_size == 85**3 * 145**15 and speech.bits_per_frame == pytest.approx(126.93, abs=0.01)
    indices = random_indices(speech)
    for refused in (lambda: speech.indices_to_tokens(indices), lambda: speech.tokens_to_indices(indices[..., 0])):
        with pytest.raises(OverflowError, match="18 pairs"):
            refused()
    prefix = speech.indices_to_tokens(indices[..., :8])
    assert torch.equal(speech.tokens_to_indices(prefix, num_pairs=8), indices[..., :8])


def test_the_product_codebook_is_never_written_down():
    speech = Q2D2(DIM, [RhombicGrid((7, 7))] * 3 + [RhombicGrid((9, 9))] * 15)
    assert sum(b.numel() for b in speech.buffers()) < 6_000  # some numbers per point of the pairs: 18 x 145 x 2


# --- construction -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Q2D2.from_levels([7] * 5), "2 levels each, got 5"),
        (lambda: Q2D2.from_levels([]), "2 levels each, got 0"),
        (lambda: Q2D2.from_levels([7] * 4, tiling="bcc"), "3 levels each, got 4"),
        (lambda: Q2D2.from_levels([7, 1]), "at least 2 levels"),
        (lambda: Q2D2.from_levels([7, 7], tiling="triangular"), "unknown tiling 'triangular': one of rectangular"),
        (lambda: Q2D2(8, []), "at least one grid"),
        (lambda: Q2D2(8, [RhombicGrid((7, 7)), BCCGrid((3, 3, 3))]), "same dimension"),
        (lambda: Variant(gradient="rotation", straight_through="projected"), "straight-through"),
    ],
)
def test_what_cannot_be_built_says_why(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_a_misspelt_variant_is_refused(monkeypatch):
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)
    with pytest.raises(ValueError, match="bound is one of"):
        Variant(bound="extend")


def test_config_survives_json():
    config = Q2D2Config(DIM, (RhombicGrid((7, 7), midpoints="full"), HexagonalGrid((7, 5), offset=0.2)), OFFICIAL)
    adapter = TypeAdapter(Q2D2Config)
    assert adapter.validate_json(adapter.dump_json(config)) == config
    assert Q2D2.from_config(config).points == (98, 35)


def test_the_examples_of_the_page_run():
    page = (Path(__file__).parents[1] / "docs" / "quantizer.md").read_text()
    names: dict = {}
    for example in page.split("```python\n")[1:]:
        exec(example.split("```")[0], names)
