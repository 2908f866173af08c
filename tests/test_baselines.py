"""FSQ, VQ, RVQ and the identity: the laws of the `Quantizer` interface, and independent references."""

import copy
import sys

import numpy as np
import pytest
import torch

from q2d2.baselines import FSQ, RVQ, VQ, FSQConfig, Identity, IdentityConfig, RVQConfig, VQConfig
from q2d2.quantizer import Quantizer

DIM = 10
FSQ_PROJECTED = FSQConfig(DIM, (7, 8, 5, 3, 4))
FSQ_BARE = FSQConfig(5, (7, 8, 5, 3, 4))
SMALL_VQ = VQConfig(DIM, codebook_size=16, kmeans_iterations=10)
SMALL_RVQ = RVQConfig(DIM, stages=3, codebook_size=8, kmeans_iterations=10)


def trained(quantizer: Quantizer, steps: int = 5) -> Quantizer:
    """After a few training batches, in evaluation mode."""
    quantizer.train()
    for _ in range(steps):
        quantizer(torch.randn(4, 32, quantizer.dim))
    return quantizer.eval()


BUILDERS = {
    "fsq": lambda: FSQ(FSQ_PROJECTED).eval(),
    "fsq bare": lambda: FSQ(FSQ_BARE).eval(),
    "vq": lambda: trained(VQ(SMALL_VQ)),
    "vq untrained": lambda: VQ(SMALL_VQ).eval(),
    "rvq": lambda: trained(RVQ(SMALL_RVQ)),
}
WITH_CODES = pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS.keys())


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@WITH_CODES
def test_indices_give_the_features_back_for_every_prefix(build):
    quantizer = build()
    latent = torch.randn(3, 20, quantizer.dim)
    features, indices = quantizer(latent)
    assert indices.shape == (3, 20, quantizer.num_pairs) and indices.dtype == torch.int64
    assert all((indices[..., p] >= 0).all() and (indices[..., p] < n).all() for p, n in enumerate(quantizer.points))
    assert torch.equal(quantizer.indices_to_features(indices), features)
    for pairs in range(quantizer.num_pairs + 1):
        prefix = quantizer(latent, num_pairs=pairs)
        assert torch.equal(prefix.indices, indices)
        assert torch.equal(quantizer.indices_to_features(indices[..., :pairs]), prefix.features)


@WITH_CODES
def test_prefixes_may_differ_from_row_to_row(build):
    quantizer = build()
    latent = torch.randn(2, 5, quantizer.dim)
    both = quantizer(latent, num_pairs=torch.tensor([1, quantizer.num_pairs])).features
    torch.testing.assert_close(both[:1], quantizer(latent[:1], num_pairs=1).features)
    torch.testing.assert_close(both[1:], quantizer(latent[1:]).features)


@WITH_CODES
def test_padding_changes_nothing_and_is_zero(build):
    quantizer = build()
    latent = torch.randn(2, 9, quantizer.dim)
    mask = torch.arange(9) < torch.tensor([[9], [4]])
    latent[~mask] = float("nan")
    features, indices = quantizer(latent, mask)
    assert not features[~mask].any() and not indices[~mask].any()
    alone = quantizer(latent[1:, :4])
    torch.testing.assert_close(features[1:, :4], alone.features)
    assert torch.equal(indices[1:, :4], alone.indices)


@WITH_CODES
def test_gradient_passes_straight_through(build):
    quantizer = build()
    latent = torch.randn(2, 6, quantizer.dim, requires_grad=True)
    features = quantizer(latent).features
    features.sum().backward()
    assert (latent.grad != 0).all()
    if not isinstance(quantizer, FSQ):  # there tanh and projections shape it
        assert torch.equal(latent.grad, torch.ones_like(latent))


@WITH_CODES
def test_evaluation_touches_no_state(build):
    quantizer = build()
    before = copy.deepcopy(quantizer.state_dict())
    quantizer(torch.randn(2, 6, quantizer.dim))
    assert all(torch.equal(value, before[key]) for key, value in quantizer.state_dict().items())


@WITH_CODES
def test_state_dict_reloads(build):
    quantizer, other = build(), build()
    latent = torch.randn(2, 6, quantizer.dim)
    other.load_state_dict(quantizer.state_dict())
    assert torch.equal(other(latent).features, quantizer(latent).features)


@WITH_CODES
def test_autocast_and_low_precision(build):
    quantizer = build()
    latent = torch.randn(2, 6, quantizer.dim)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = quantizer(latent)
    assert torch.equal(cast.indices, quantizer(latent).indices)
    half = quantizer(latent.bfloat16()).features
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half, quantizer(latent.bfloat16().float()).features.bfloat16())


# --- FSQ


def test_fsq_is_the_nearest_level():
    quantizer = FSQ(FSQ_BARE)
    extremes = torch.tensor([50.0, -50.0]).reshape(1, 2, 1).expand(1, 2, 5)
    latent = torch.cat([3 * torch.randn(1, 2000, 5), extremes], dim=1)
    features, indices = quantizer(latent)
    for channel, levels in enumerate(FSQ_BARE.levels):
        # the FSQ paper's bound, in float64: even numbers of levels sit half a level lower
        half = (levels - 1) * (1 + 1e-3) / 2
        offset = 0.5 if levels % 2 == 0 else 0.0
        z = latent[0, :, channel].double().numpy()
        bounded = np.tanh(z + np.arctanh(offset / half)) * half - offset
        alphabet = np.arange(levels) - levels // 2
        distance = np.abs(bounded[:, None] - alphabet)
        two = np.sort(distance, axis=1)
        clear = two[:, 1] - two[:, 0] > 1e-5
        assert clear.mean() > 0.99
        nearest = distance.argmin(1)
        assert (indices[0, :, channel].numpy() == nearest)[clear].all()
        expected = alphabet[nearest] / (levels // 2)
        np.testing.assert_allclose(features[0, :, channel].numpy()[clear], expected[clear], atol=1e-6)


def test_fsq_levels_are_all_reachable_and_map_to_themselves():
    quantizer = FSQ(FSQConfig(1, (8,))).eval()
    indices = torch.arange(8).reshape(1, 8, 1)
    codes = quantizer.indices_to_features(indices)  # [-1, 1) in steps of a quarter
    torch.testing.assert_close(codes.flatten(), torch.arange(-4, 4) / 4)
    half = 7 * (1 + 1e-3) / 2
    latent = torch.atanh((codes * 4 + 0.5) / half) - np.arctanh(0.5 / half)
    assert torch.equal(quantizer(latent.clamp(-9, 9)).indices, indices)


def test_fsq_counts_bits_without_writing_the_codebook_down():
    quantizer = FSQ(FSQConfig(512, (9,) * 24))  # the product, 9^24, is beyond any integer type
    assert quantizer.codebook_size == 9**24
    assert quantizer(torch.randn(1, 3, 512)).indices.shape == (1, 3, 24)
    assert set(quantizer.state_dict()) == {
        f"fsq.project_{way}.{name}" for way in ("in", "out") for name in ("weight", "bias")
    }


# --- learned codebooks


def nearest_by_hand(vectors: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    return (vectors.double()[:, None] - codes.double()).square().sum(-1).argmin(-1)


def codes_of(quantizer: Quantizer, stage: int = 0) -> torch.Tensor:
    return quantizer.get_buffer(f"stages.{stage}._codebook.embed")[0]


def counts_of(quantizer: Quantizer) -> torch.Tensor:
    return quantizer.get_buffer("stages.0._codebook.cluster_size")[0]


def test_vq_is_the_nearest_code_and_idempotent():
    quantizer = trained(VQ(SMALL_VQ))
    latent = torch.randn(2, 5000, DIM)  # more than one piece of the search
    features, indices = quantizer(latent)
    assert torch.equal(indices.flatten(), nearest_by_hand(latent.flatten(0, 1), codes_of(quantizer)))
    again = quantizer(features)
    assert torch.equal(again.indices, indices) and torch.equal(again.features, features)


def test_rvq_quantizes_what_is_left_over():
    quantizer = trained(RVQ(SMALL_RVQ))
    residual = latent = torch.randn(200, DIM)
    features, indices = quantizer(latent[None])
    for stage in range(3):
        expected = nearest_by_hand(residual, codes_of(quantizer, stage))
        assert torch.equal(indices[0, :, stage], expected)
        residual = residual - codes_of(quantizer, stage)[expected]
    torch.testing.assert_close(features[0], latent - residual)


def test_more_stages_are_closer():
    quantizer = trained(RVQ(SMALL_RVQ), steps=20)
    latent = torch.randn(4, 100, DIM)
    errors = [(quantizer(latent, num_pairs=k).features - latent).square().mean().item() for k in range(4)]
    assert errors == sorted(errors, reverse=True) and len(set(errors)) == 4


def test_kmeans_starts_in_training_and_finds_the_clusters():
    centres = 10 * torch.randn(4, DIM)
    batch = (centres[torch.arange(200) % 4] + 0.1 * torch.randn(200, DIM))[None]
    quantizer = VQ(VQConfig(DIM, codebook_size=16, kmeans_iterations=10)).eval()
    initial = codes_of(quantizer).clone()
    quantizer(batch)
    assert torch.equal(codes_of(quantizer), initial) and initial.unique(dim=0).shape[0] == 16
    quantizer.train()
    first = quantizer(batch).features
    assert (first - batch).square().mean() < 0.02


def test_training_is_the_moving_average():
    config = VQConfig(DIM, codebook_size=6, kmeans_iterations=5, decay=0.9, dead_below=0.0)
    quantizer = VQ(config)
    quantizer(torch.randn(1, 100, DIM))
    counts = counts_of(quantizer).clone()
    sums = quantizer.get_buffer("stages.0._codebook.embed_avg")[0].clone()
    codes = codes_of(quantizer).clone()
    batch = torch.randn(1, 100, DIM)
    features, indices = quantizer(batch)
    chosen = torch.nn.functional.one_hot(nearest_by_hand(batch[0], codes), 6).float()
    assert torch.equal(indices.flatten(), chosen.argmax(-1))
    assert torch.equal(features[0], codes[indices.flatten()])  # those from before the update
    counts = 0.9 * counts + 0.1 * chosen.sum(0)
    sums = 0.9 * sums + 0.1 * chosen.T @ batch[0]
    smoothed = (counts + 1e-5) / (counts.sum() + 6e-5) * counts.sum()
    torch.testing.assert_close(codes_of(quantizer), sums / smoothed[:, None], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("build", [lambda: VQ(SMALL_VQ), lambda: RVQ(SMALL_RVQ)], ids=["vq", "rvq"])
def test_padding_reaches_no_statistics(build):
    padded, plain = build(), build()
    plain.load_state_dict(padded.state_dict())
    mask = torch.arange(40) < torch.tensor([[40], [25]])
    for step in range(4):
        latent = torch.randn(2, 40, DIM)
        latent[~mask] = 1e6
        torch.manual_seed(step)
        padded(latent, mask)
        torch.manual_seed(step)
        plain(latent[mask][None])
    for key, value in plain.state_dict().items():
        assert torch.equal(padded.state_dict()[key], value)


def test_a_batch_of_padding_alone_is_harmless():
    quantizer = VQ(SMALL_VQ)
    features, indices = quantizer(torch.randn(1, 3, DIM), torch.zeros(1, 3, dtype=torch.bool))
    assert not features.any() and not indices.any()
    assert not quantizer.get_buffer("stages.0._codebook.initted")


def test_dropped_stages_learn_all_the_same():
    quantizer = RVQ(SMALL_RVQ)
    quantizer(torch.randn(2, 40, DIM))
    before = codes_of(quantizer, 2).clone()
    latent = torch.randn(2, 40, DIM, requires_grad=True)
    features = quantizer(latent, num_pairs=torch.tensor([1, 0])).features
    assert not torch.equal(codes_of(quantizer, 2), before)
    features.sum().backward()
    assert (latent.grad[0] == 1).all() and not latent.grad[1].any()


def batch_around(centres: torch.Tensor) -> torch.Tensor:
    return (centres[torch.arange(256) % len(centres)] + 0.1 * torch.randn(256, DIM))[None]


def test_dead_codes_are_revived_and_then_used():
    """When the data moves away, codes die; they must come back among the data, and win some of it."""
    before, after = 10 * torch.randn(8, DIM), 10 * torch.randn(8, DIM) + 100
    used, error = {}, {}
    for dead_below in (0.0, 0.1):
        config = VQConfig(DIM, codebook_size=32, kmeans_iterations=20, decay=0.9, dead_below=dead_below)
        quantizer = VQ(config)
        for centres in (before, after):
            for _ in range(60):
                quantizer(batch_around(centres))
        quantizer.eval()
        batch = batch_around(after)
        features, indices = quantizer(batch)
        used[dead_below] = indices.unique().numel()
        error[dead_below] = (features - batch).square().mean().item()
    assert used[0.0] < 16 and error[0.0] > 10  # left dead, as in the reference
    assert used[0.1] > 24 and error[0.1] < 0.1 * error[0.0]
    # the last quantizer's codes all live where the data now is
    assert (codes_of(quantizer).mean(-1) > 50).all()


def test_codes_that_are_used_are_left_alone_however_small_the_batch():
    """A fixed count as threshold would replace them at every step once batches hold few frames per code."""
    centres = 10 * torch.randn(16, DIM)
    quantizer = VQ(VQConfig(DIM, codebook_size=16, kmeans_iterations=20))
    for _ in range(30):
        quantizer(batch_around(centres))
    before = codes_of(quantizer).clone()
    for _ in range(50):
        small = centres[torch.randint(16, (1, 12))] + 0.1 * torch.randn(1, 12, DIM)
        quantizer(small)
    moved = (codes_of(quantizer) - before).norm(dim=-1)
    assert moved.max() < 0.3 < torch.pdist(centres).min()


def test_resumed_training_is_the_same_training():
    quantizer, resumed = VQ(SMALL_VQ), VQ(SMALL_VQ)
    for _ in range(3):
        quantizer(torch.randn(1, 64, DIM))
    resumed.load_state_dict(quantizer.state_dict())
    for model in (quantizer, resumed):
        torch.manual_seed(1)
        for _ in range(5):
            model(5 + torch.randn(1, 64, DIM))
    assert torch.equal(codes_of(quantizer), codes_of(resumed))


# --- identity, configs, the package


def test_identity_passes_features_on_and_has_no_code():
    quantizer = Identity(IdentityConfig(DIM))
    latent, mask = torch.randn(2, 3, DIM), torch.tensor([[True, True, False], [True, True, True]])
    features, indices = quantizer(latent)
    assert torch.equal(features, latent) and indices.shape == (2, 3, 0) and indices.dtype == torch.int64
    assert (quantizer.points, quantizer.num_pairs, quantizer.codebook_size) == ((), 0, 1)
    assert quantizer.bits_per_frame == 0
    assert torch.equal(quantizer(latent, mask).features, latent * mask[..., None])
    with pytest.raises(ValueError, match="identity"):
        quantizer.indices_to_features(indices)


def test_sizes_are_counted():
    assert VQ(VQConfig(4, codebook_size=4096)).bits_per_frame == 12
    assert RVQ(RVQConfig(4, stages=8, codebook_size=1024)).points == (1024,) * 8
    assert FSQ(FSQ_PROJECTED).codebook_size == 7 * 8 * 5 * 3 * 4


@pytest.mark.parametrize(
    ("config", "bad"),
    [
        (FSQConfig, {"levels": ()}),
        (FSQConfig, {"levels": (7, 2)}),
        (FSQConfig, {"levels": (2000,)}),
        (VQConfig, {"codebook_size": 0}),
        (VQConfig, {"decay": 1.0}),
        (RVQConfig, {"stages": 0}),
        (RVQConfig, {"dead_below": 1.0}),
    ],
)
def test_bad_configs_say_so(config, bad):
    with pytest.raises(ValueError, match="needs|at least|between"):
        config(dim=4, **bad)


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "vector_quantize_pytorch", None)
    with pytest.raises(ImportError, match=r"q2d2\[train\]"):
        VQ(SMALL_VQ)
    Identity(IdentityConfig(DIM))  # needs nothing
