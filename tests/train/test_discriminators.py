"""The discriminators: the reference's sizes, what each sees of a waveform, and that it can be learned from."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import leaky_relu

from q2d2.train.adversarial import hinge_discriminator, hinge_features, hinge_generator, split
from q2d2.train.discriminators import (
    DAC_MRD,
    LIGHT_MPD,
    LIGHT_MRD,
    MIDDLE_MRD,
    BandedMultiResolution,
    BandedMultiResolutionConfig,
    DacSet,
    Discriminator,
    Judgement,
    MultiPeriod,
    MultiPeriodConfig,
    MultiResolution,
    MultiResolutionConfig,
    _Stack,
)

TINY_MPD = MultiPeriodConfig(widths=(2, 3, 4, 5, 6))
TINY_MRD = MultiResolutionConfig(n_ffts=(128, 256, 64), channels=4)
TINY_BANDED = BandedMultiResolutionConfig(n_ffts=(256, 128, 64), channels=4)
TINY_DAC_MPD = MultiPeriodConfig(widths=(2, 3, 4, 5, 6), conditions=0, first_map=True, full_period_padding=True)

TINY: dict[str, Callable[[], Discriminator]] = {
    "periods": lambda: MultiPeriod(TINY_MPD),
    "magnitudes": lambda: MultiResolution(TINY_MRD),
    "bands": lambda: BandedMultiResolution(TINY_BANDED),
    "dac": lambda: DacSet(TINY_DAC_MPD, TINY_BANDED),
}


@pytest.fixture(params=TINY)
def tiny(request: pytest.FixtureRequest) -> Discriminator:
    torch.manual_seed(0)
    discriminator = TINY[request.param]()
    for name, parameter in discriminator.named_parameters():
        if name.endswith("conditions"):
            nn.init.normal_(parameter)
    return discriminator


def noise(rows: int = 2, samples: int = 1800, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(rows, samples, generator=torch.Generator().manual_seed(seed))


def tensors(judgements: list[Judgement]) -> list[torch.Tensor]:
    return [x for features, logits in judgements for x in (*features, logits)]


def assert_equal(one: list[Judgement], other: list[Judgement]) -> None:
    torch.testing.assert_close(tensors(one), tensors(other), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "make, parameters",
    [
        (lambda: MultiPeriod(MultiPeriodConfig()), 41_126_250),
        (lambda: MultiResolution(MultiResolutionConfig()), 600_966),
        (DacSet, 42_519_760),
        (lambda: MultiPeriod(LIGHT_MPD), 165_966),
        (lambda: BandedMultiResolution(LIGHT_MRD), 31_434),
        (lambda: BandedMultiResolution(MIDDLE_MRD), 240_932),
    ],
    ids=["periods", "magnitudes", "dac", "light periods", "light bands", "middle bands"],
)
def test_parameters(make: Callable[[], Discriminator], parameters: int) -> None:
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in make().parameters()) == parameters


@pytest.mark.parametrize(
    "name, features", [("periods", [4] * 5), ("magnitudes", [5] * 3), ("bands", [25] * 3), ("dac", [5] * 5 + [25] * 3)]
)
def test_maps_besides_the_logits(name: str, features: list[int]) -> None:
    judgements = TINY[name]()(noise())
    assert [len(judgement.features) for judgement in judgements] == features
    assert all(x.ndim == 4 and len(x) == 2 for x in tensors(judgements))
    assert all(judgement.logits.shape[1] == 1 for judgement in judgements)


def test_convolutions_are_those_of_the_modules(tiny: Discriminator) -> None:
    """The maps and the gradients, were each convolution called by itself and normed by PyTorch's own means."""
    stacks = [module for module in tiny.modules() if isinstance(module, _Stack)]
    seen: list[tuple[_Stack, torch.Tensor, list[torch.Tensor]]] = []

    def look(module: nn.Module, inputs: tuple[torch.Tensor, object], maps: list[torch.Tensor]) -> None:
        assert isinstance(module, _Stack)
        seen.append((module, inputs[0].detach(), maps))

    for stack in stacks:
        stack.register_forward_hook(look)
    tiny(noise())
    assert len(seen) == len(stacks)
    for stack, image, maps in seen:
        plain = [image]
        for conv in stack.convolutions:
            plain.append(leaky_relu(conv(plain[-1]), 0.1))
        torch.testing.assert_close(maps, plain[1:], atol=1e-5, rtol=1e-4)
        gradients = [
            torch.autograd.grad(x[-1].square().sum(), [*stack.parameters()], retain_graph=True) for x in (maps, plain)
        ]
        torch.testing.assert_close(*gradients, atol=1e-4, rtol=1e-3)


def test_strides() -> None:
    """Heights and widths of the maps, logits last, by hand from the reference's kernels, strides and paddings."""
    sizes = {name: [x.shape[2:] for x in tensors(make()(noise())[:1])] for name, make in TINY.items()}
    assert sizes["periods"] == [(100, 2), (34, 2), (12, 2), (12, 2), (12, 2)]
    assert sizes["magnitudes"] == [(33, 29), (17, 29), (9, 15), (5, 15), (3, 8), (3, 8)]
    assert sizes["bands"][:5] == [(29, 12), (29, 6), (29, 3), (29, 2), (29, 2)]
    assert sizes["bands"][-1] == (29, 2 + 3 + 4 + 4 + 5)
    assert sizes["dac"] == [(301, 2), (101, 2), (34, 2), (12, 2), (12, 2), (12, 2)]


def test_the_first_convolution_of_a_period_has_no_map_unless_asked_for() -> None:
    channels = [feature.shape[1] for feature in MultiPeriod(TINY_MPD)(noise())[0].features]
    assert channels == [3, 4, 5, 6]
    channels = [feature.shape[1] for feature in MultiPeriod(TINY_DAC_MPD)(noise())[0].features]
    assert channels == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("period, samples, rows, longer", [(2, 9, 5, 5), (5, 20, 4, 5), (7, 20, 3, 3), (11, 3, 2, 2)])
def test_folding_reflects_the_end(period: int, samples: int, rows: int, longer: int) -> None:
    wav = noise(samples=samples)
    whole = np.pad(wav.numpy(), ((0, 0), (0, max(0, period + 1 - samples))))  # zeros, where too short to reflect
    for member, height in ((MultiPeriod(TINY_MPD), rows), (MultiPeriod(TINY_DAC_MPD), longer)):
        fold = next(m for m in member.members if m.period == period).fold(wav)
        padded = np.pad(whole, ((0, 0), (0, height * period - whole.shape[1])), mode="reflect")
        np.testing.assert_array_equal(fold.numpy(), padded.reshape(2, 1, height, period))


@pytest.mark.parametrize(
    "n_fft, edges",
    [(2048, [0, 102, 256, 512, 768, 1025]), (1024, [0, 51, 128, 256, 384, 513]), (512, [0, 25, 64, 128, 192, 257])],
)
def test_bands(n_fft: int, edges: list[int]) -> None:
    with torch.device("meta"):
        members = BandedMultiResolution(DAC_MRD).members
    assert members[DAC_MRD.n_ffts.index(n_fft)].edges == edges


def test_spectra_are_plain_transforms_of_reflected_frames() -> None:
    """The images that the convolutions see, against numpy, frame by frame."""
    n_fft, hop = 64, 16
    wav = noise(rows=1, samples=200)
    padded = np.pad(wav[0].numpy().astype(np.float64), n_fft // 2, mode="reflect")
    frames = np.stack([padded[at : at + n_fft] for at in range(0, 201, hop)])
    spectrum = np.fft.rfft(frames)  # frames bins

    seen: list[np.ndarray] = []

    def look(module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        seen.append(inputs[0].numpy())

    magnitudes = MultiResolution(MultiResolutionConfig(n_ffts=(n_fft,), channels=2))
    bands = BandedMultiResolution(BandedMultiResolutionConfig(n_ffts=(n_fft,), channels=2))
    for stack in (magnitudes.members[0].stack, *bands.members[0].stacks):
        stack.register_forward_pre_hook(look)
    magnitudes(wav)
    bands(wav)
    np.testing.assert_allclose(seen[0][0, 0], np.abs(spectrum.T), atol=1e-5)
    np.testing.assert_allclose(np.concatenate([s[0, 0] for s in seen[1:]], axis=1), spectrum.real, atol=1e-5)
    np.testing.assert_allclose(np.concatenate([s[0, 1] for s in seen[1:]], axis=1), spectrum.imag, atol=1e-5)


def test_the_embedding_adds_its_inner_product_with_the_last_map() -> None:
    discriminator = MultiPeriod(TINY_MPD)
    plain = discriminator(noise())
    for member in discriminator.members:
        nn.init.normal_(member.verdict.conditions)
    for before, after, member in zip(plain, discriminator(noise()), discriminator.members, strict=True):
        product = torch.einsum("bcht,c->bht", after.features[-1], member.verdict.conditions[0])
        torch.testing.assert_close(after.logits, before.logits + product.unsqueeze(1))


def test_the_dac_set_is_blind_to_offset_and_level() -> None:
    torch.manual_seed(0)
    discriminator = TINY["dac"]()
    wav = noise()
    assert_equal(discriminator(wav), discriminator(3 * wav + 0.2))
    assert all(torch.isfinite(x).all() for x in tensors(discriminator(torch.zeros(2, 1800))))


def test_gradients_reach_the_waveform_and_every_parameter(tiny: Discriminator) -> None:
    wav = noise().requires_grad_()
    sum(judgement.logits.square().mean() for judgement in tiny(wav)).backward()
    assert wav.grad is not None
    assert (wav.grad != 0).float().mean() > 0.99
    for name, parameter in tiny.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert (parameter.grad != 0).any(), name
        if name.endswith("conditions"):
            assert (parameter.grad[0] != 0).any()
            assert (parameter.grad[1:] == 0).all()  # never asked for


def test_gradients_are_finite_for_silence(tiny: Discriminator) -> None:
    wav = torch.zeros(2, 1800, requires_grad=True)
    sum(x.square().mean() for x in tensors(tiny(wav))).backward()
    assert wav.grad is not None
    assert torch.isfinite(wav.grad).all()


def test_rows_are_judged_apart(tiny: Discriminator) -> None:
    """So that real and fake rows may share a batch."""
    real, fake = noise(3, seed=1), noise(2, seed=2)
    of_real, of_fake = split(tiny(torch.cat([real, fake])), rows=3)
    assert_equal(of_real, tiny(real))
    assert_equal(of_fake, tiny(fake))


def test_one_pass_serves_both_players(tiny: Discriminator) -> None:
    """Gradients of either side's losses are those of passes of its own, and real rows are pulled by none."""
    real, fake = noise(2, seed=1).requires_grad_(), noise(2, seed=2).requires_grad_()
    parameters = [*tiny.parameters()]

    def generator(truth: list[Judgement], lie: list[Judgement]) -> torch.Tensor:
        return hinge_generator(lie) + hinge_features(truth, lie)

    truth, lie = split(tiny(torch.cat([real, fake])), rows=2)
    of_real, of_fake = torch.autograd.grad(generator(truth, lie), [real, fake], retain_graph=True)
    of_parameters = torch.autograd.grad(hinge_discriminator(truth, lie), parameters)
    assert (of_real == 0).all()
    apart = torch.autograd.grad(generator(tiny(real), tiny(fake)), fake)[0]
    torch.testing.assert_close(of_fake, apart, atol=1e-5 * apart.abs().max().item(), rtol=1e-4)
    theirs = torch.autograd.grad(hinge_discriminator(tiny(real), tiny(fake.detach())), parameters)
    torch.testing.assert_close(of_parameters, theirs, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("samples", [1, 2, 12, 33, 777, 1801])
def test_any_length(tiny: Discriminator, samples: int) -> None:
    wav = noise(samples=samples).requires_grad_()
    judgements = tiny(wav)
    sum(x.square().mean() for x in tensors(judgements)).backward()
    assert wav.grad is not None
    assert torch.isfinite(wav.grad).all()
    assert all(x.numel() > 0 for x in tensors(judgements))


def test_the_memory_format_changes_nothing_but_speed(tiny: Discriminator) -> None:
    wav = noise()
    contiguous = tiny(wav)
    assert_equal(contiguous, tiny.to(memory_format=torch.channels_last)(wav))


def test_waveforms_that_are_views_work(tiny: Discriminator) -> None:
    wide = noise(samples=3600)
    assert_equal(tiny(wide[:, ::2]), tiny(wide[:, ::2].contiguous()))


def test_under_autocast_spectra_stay_float32_and_convolutions_do_not(tiny: Discriminator) -> None:
    wav = noise()
    full = tiny(wav)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = tiny(wav)
    for reference, judgement in zip(full, half, strict=True):
        assert judgement.logits.dtype == torch.bfloat16
        torch.testing.assert_close(judgement.logits.float(), reference.logits, atol=0.05, rtol=0.05)
    parameters = [*tiny.parameters()]
    exact, rough = (
        torch.autograd.grad(sum(x.float().square().mean() for x in tensors(judgements)), parameters)
        for judgements in (full, half)
    )
    assert all(gradient.dtype == torch.float32 for gradient in rough)
    exact_row, rough_row = (torch.cat([gradient.flatten() for gradient in side]) for side in (exact, rough))
    assert (rough_row - exact_row).norm() < 0.05 * exact_row.norm()
