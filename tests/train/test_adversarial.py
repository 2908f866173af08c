"""The adversarial losses against values worked out by hand, and the laws that batching relies on."""

import pytest
import torch
from torch.nn.functional import l1_loss

from q2d2.train import adversarial
from q2d2.train.adversarial import split
from q2d2.train.discriminators import Judgement

PAIRED = [
    adversarial.hinge_discriminator,
    adversarial.hinge_features,
    adversarial.lsgan_discriminator,
    adversarial.lsgan_features,
]
FAKE_ONLY = [adversarial.hinge_generator, adversarial.lsgan_generator]


def constant(value: float, sets: int = 3) -> list[Judgement]:
    """Judgements whose every map is `value`: two features and the logits, of different sizes."""
    features = [torch.full((4, 2, 5, 3), value), torch.full((4, 3, 2, 2), value)]
    return [Judgement(features, torch.full((4, 1, 2, 3), value)) for _ in range(sets)]


def drawn(seed: int, rows: int = 4) -> list[Judgement]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(rows, 2, 5, 3), (rows, 3, 2, 2), (rows, 1, 2, 3)]
    maps = [[torch.randn(shape, generator=generator) for shape in shapes] for _ in range(3)]
    return [Judgement(several[:-1], several[-1]) for several in maps]


@pytest.mark.parametrize("sets", [1, 3, 8])
def test_the_undecided(sets: int) -> None:
    zeros = constant(0, sets)
    assert adversarial.hinge_discriminator(zeros, zeros).item() == pytest.approx(2)
    assert adversarial.hinge_generator(zeros).item() == pytest.approx(1)
    assert adversarial.lsgan_discriminator(zeros, zeros).item() == pytest.approx(sets)
    assert adversarial.lsgan_generator(zeros).item() == pytest.approx(sets)


@pytest.mark.parametrize(
    "real, fake, hinge, squares",
    [(1, -1, 0, 3), (1, 0, 1, 0), (2, -3, 0, 30), (-1, 0.5, 3.5, 12.75), (0.5, 1, 2.5, 3.75)],
)
def test_discriminators(real: float, fake: float, hinge: float, squares: float) -> None:
    assert adversarial.hinge_discriminator(constant(real), constant(fake)) == hinge
    assert adversarial.lsgan_discriminator(constant(real), constant(fake)) == squares


@pytest.mark.parametrize("fake, hinge, squares", [(1, 0, 0), (3, 0, 12), (-1, 2, 12), (0.5, 0.5, 0.75)])
def test_generators(fake: float, hinge: float, squares: float) -> None:
    assert adversarial.hinge_generator(constant(fake)) == hinge
    assert adversarial.lsgan_generator(constant(fake)) == squares


def test_features_count_the_logits_and_average_over_sets_for_hinge_only() -> None:
    real, fake = constant(0.5), constant(-1.5)
    assert adversarial.hinge_features(real, fake) == 2 * 3  # three maps, logits included
    assert adversarial.lsgan_features(real, fake) == 2 * 2 * 3  # two maps of three sets


def test_identical_judgements_match() -> None:
    judgements = drawn(0)
    assert adversarial.hinge_features(judgements, judgements) == 0
    assert adversarial.lsgan_features(judgements, judgements) == 0


@pytest.mark.parametrize("loss", [adversarial.hinge_features, adversarial.lsgan_features])
def test_only_the_fake_side_is_pulled(loss) -> None:
    real, fake = drawn(0), drawn(1)
    for judgement in (*real, *fake):
        for x in judgement.features:
            x.requires_grad_()
    loss(real, fake).backward()
    assert all(x.grad is None for judgement in real for x in judgement.features)
    assert all(x.grad is not None for judgement in fake for x in judgement.features)


def test_split_puts_the_real_rows_first() -> None:
    judgements = drawn(0, rows=5)
    real, fake = split(judgements, rows=2)
    for whole, first, rest in zip(judgements, real, fake, strict=True):
        for x, one, other in zip(
            [*whole.features, whole.logits], [*first.features, first.logits], [*rest.features, rest.logits], strict=True
        ):
            assert len(one) == 2
            assert torch.equal(torch.cat([one, other]), x)


def every(judgements: list[Judgement]) -> list[torch.Tensor]:
    return [x for features, logits in judgements for x in (*features, logits)]


def test_gradients_of_halves_are_those_of_slices() -> None:
    """Of all halves, and where some are not asked for."""
    whole = drawn(0, rows=5)
    for x in every(whole):
        x.requires_grad_()
    first, rest = split(whole, rows=2)
    slices = [(x[:2], x[2:]) for x in every(whole)]

    def loss(first: list[torch.Tensor], rest: list[torch.Tensor]) -> torch.Tensor:
        return sum(x.square().sum() for x in first[3:]) + sum(x.sin().sum() for x in rest[:5])

    ours = loss(every(first), every(rest))
    theirs = loss([x for x, _ in slices], [x for _, x in slices])
    assert torch.equal(ours, theirs)
    for one, other in zip(*(torch.autograd.grad(x, every(whole)) for x in (ours, theirs)), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("loss", [adversarial.hinge_features, adversarial.lsgan_features])
def test_distances_are_l1_losses_forwards_and_backwards(loss, dtype: torch.dtype) -> None:
    real, fake = ([Judgement([x.to(dtype) for x in f], y.to(dtype)) for f, y in drawn(seed)] for seed in (0, 1))
    for x in every(fake):
        x.requires_grad_()
    hinge = loss is adversarial.hinge_features
    pairs = [*zip(every(real), every(fake), strict=True)]
    plain = sum(l1_loss(y.float(), x.float()) for i, (x, y) in enumerate(pairs) if hinge or i % 3 < 2)
    plain = plain / len(real) if hinge else plain
    value = loss(real, fake)
    torch.testing.assert_close(value, plain)
    inputs = every(fake) if hinge else [x for judgement in fake for x in judgement.features]
    for one, other in zip(*(torch.autograd.grad(x, inputs) for x in (value, plain)), strict=True):
        assert one.dtype == dtype
        torch.testing.assert_close(one, other)


def test_losses_are_means_over_rows() -> None:
    real, fake = drawn(0), drawn(1)
    halves = [*zip(split(real, rows=2), split(fake, rows=2), strict=True)]
    for loss in PAIRED:
        mean = torch.stack([loss(*half) for half in halves]).mean()
        torch.testing.assert_close(loss(real, fake), mean)
    for loss in FAKE_ONLY:
        torch.testing.assert_close(loss(fake), torch.stack([loss(half) for _, half in halves]).mean())


def test_sums_are_float32_for_bfloat16_maps() -> None:
    real, fake = (
        [Judgement([x.bfloat16() for x in features], logits.bfloat16()) for features, logits in drawn(seed)]
        for seed in (0, 1)
    )
    exact = [
        [Judgement([x.float() for x in features], logits.float()) for features, logits in judgements]
        for judgements in (real, fake)
    ]
    for loss in PAIRED:
        assert loss(real, fake).dtype == torch.float32
        assert torch.equal(loss(real, fake), loss(*exact))
    for loss in FAKE_ONLY:
        assert torch.equal(loss(fake), loss(exact[1]))


def test_judgements_of_different_sets_do_not_mix() -> None:
    for loss in PAIRED:
        with pytest.raises(ValueError):
            loss(constant(0, 2), constant(0, 3))
