"""The SEANet encoder against the reference's published sizes and an independent padding rule."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from q2d2.seanet import SameConv, SEANetConfig, SEANetEncoder

SMALL = SEANetConfig(dim=12, width=4, strides=(3, 5, 5, 6), lstm_layers=1)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def build(strides: tuple[int, ...]) -> SEANetEncoder:
    with torch.device("meta"):
        return SEANetEncoder(SEANetConfig(strides=strides))


@pytest.mark.parametrize(
    ("strides", "hop", "parameters"),
    [
        ((2, 4, 5, 8), 320, 8_802_816),  # published: wavtokenizer-75
        ((4, 5, 5, 6), 600, 8_303_104),  # published: wavtokenizer-40
    ],
)
def test_parameter_counts_of_the_reference(strides, hop, parameters):
    encoder = build(strides)
    assert encoder.hop == hop
    assert count(encoder) == parameters
    assert count(encoder.lstm) == 4_202_496
    assert count(encoder.last) == 1_836_032


@pytest.mark.parametrize(("strides", "hop"), [((3, 5, 5, 6), 450), ((2, 3, 4, 6), 144), ((1, 3, 4, 6), 72)])
def test_parameter_counts_of_the_paper_presets_follow_from_the_reference(strides, hop):
    # only the strided convolutions differ from wavtokenizer-75: c x 2c weights per tap, two taps per stride
    widths, strides_75 = (32, 64, 128, 256), (2, 4, 5, 8)
    more = [r - r75 for r, r75 in zip(strides, strides_75, strict=True)]
    taps = sum(c * 2 * c * 2 * r for c, r in zip(widths, more, strict=True))
    encoder = build(strides)
    assert encoder.hop == hop
    assert count(encoder) == 8_802_816 + taps


@pytest.mark.parametrize("samples", [1, 2, 5, 449, 450, 451, 900, 24001])
def test_one_frame_per_started_hop(samples):
    latent = SEANetEncoder(SMALL)(torch.randn(2, samples))
    assert latent.shape == (2, math.ceil(samples / 450), 12)
    assert torch.isfinite(latent).all()


@pytest.mark.parametrize(("strides", "frames"), [((2, 4, 5, 8), 76), ((4, 5, 5, 6), 41)])
def test_frame_counts_measured_on_the_reference(strides, frames):
    encoder = SEANetEncoder(SEANetConfig(dim=4, width=2, strides=strides, lstm_layers=1))
    assert encoder(torch.randn(1, 24001)).shape == (1, frames, 4)


def test_no_samples_is_an_error():
    with pytest.raises(ValueError, match="at least one sample"):
        SEANetEncoder(SMALL)(torch.zeros(1, 0))


def padded_by_hand(x: np.ndarray, kernel: int, stride: int) -> np.ndarray:
    """The reference's rule, with numpy's own reflection: section 2 of the specification, word by word."""
    total = kernel - stride
    right = total // 2
    left = total - right
    frames = math.ceil((len(x) - kernel + total) / stride + 1)
    right += (frames - 1) * stride + kernel - total - len(x)
    extension = max(0, max(left, right) - len(x) + 1)
    out = np.pad(np.pad(x, (0, extension)), (left, right), mode="reflect")
    return out[: len(out) - extension]


@pytest.mark.parametrize(("kernel", "stride"), [(7, 1), (3, 1), (1, 1), (2, 1), (4, 2), (6, 3), (10, 5), (16, 8)])
def test_convolution_pads_as_the_reference(kernel, stride):
    conv = SameConv(1, 1, kernel, stride)
    weight, bias = conv.conv.weight[0, 0].detach().numpy(), conv.conv.bias.item()
    for samples in [*range(1, 20), 40, 41, 43]:
        x = np.random.default_rng(samples).standard_normal(samples).astype(np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(padded_by_hand(x, kernel, stride), kernel)[::stride]
        y = conv(torch.from_numpy(x)[None, None])[0, 0].detach().numpy()
        assert len(y) == math.ceil(samples / stride)
        np.testing.assert_allclose(y, windows @ weight + bias, atol=1e-5)


def test_weight_norm_has_one_gain_per_output_channel():
    conv = SameConv(3, 5, 7).conv
    gain, direction = conv.parametrizations.weight.original0, conv.parametrizations.weight.original1
    assert gain.shape == (5, 1, 1)
    torch.testing.assert_close(conv.weight, gain * direction / direction.flatten(1).norm(dim=1)[:, None, None])


def test_lstm_runs_forward_in_time_with_a_shortcut():
    encoder = SEANetEncoder(SMALL)
    for parameter in encoder.lstm.parameters():
        nn.init.zeros_(parameter)  # then the LSTM says nothing and only the shortcut is left
    wav = torch.randn(1, 2000)
    middle = encoder.stages(encoder.first(wav[:, None]))
    torch.testing.assert_close(encoder(wav), encoder.last(middle).transpose(1, 2))


def test_gradient_reaches_every_parameter():
    encoder = SEANetEncoder(SMALL)
    encoder(torch.randn(2, 2000)).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())


def test_folding_the_weight_norm_changes_no_output():
    encoder = SEANetEncoder(SMALL).eval()
    wav = torch.randn(2, 3000)
    before = encoder(wav)
    folded = copy.deepcopy(encoder)
    folded.fold_weight_norm()
    assert torch.equal(folded(wav), before)
    assert not any("parametrizations" in key for key in folded.state_dict())
    folded.fold_weight_norm()
    assert torch.equal(folded(wav), before)


def test_state_dict_reloads():
    first, second = SEANetEncoder(SMALL), SEANetEncoder(SMALL)
    wav = torch.randn(1, 1000)
    assert not torch.equal(first(wav), second(wav))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(wav), second(wav))


def test_batch_equals_single_for_equal_lengths():
    encoder, wav = SEANetEncoder(SMALL), torch.randn(3, 1001)
    single = torch.cat([encoder(row[None]) for row in wav])
    torch.testing.assert_close(encoder(wav), single, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "bad", [{"strides": ()}, {"strides": (2, 0)}, {"width": 5}, {"dim": 0}, {"kernel": 0}, {"lstm_layers": 0}]
)
def test_bad_configs_say_so(bad):
    with pytest.raises(ValueError, match="SEANet|at least"):
        SEANetConfig(**bad)
