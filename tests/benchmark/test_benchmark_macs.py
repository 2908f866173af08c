"""Multiply-accumulates against formulas, and against a second count from the shapes that modules see."""

import math

import pytest
import torch
from torch import nn

from q2d2.benchmark.macs import count_macs, count_parameters, counter
from q2d2.benchmark.systems import Preset, Subject

CPU = torch.device("cpu")


def _attend(*shape):
    return lambda: nn.functional.scaled_dot_product_attention(*torch.randn(3, *shape))


@pytest.mark.parametrize(
    ("work", "macs"),
    [
        (lambda: nn.Conv1d(8, 12, 5, stride=2)(torch.randn(2, 8, 101)), 2 * 49 * 12 * 8 * 5),
        (lambda: nn.Conv1d(8, 8, 5, groups=8)(torch.randn(2, 8, 104)), 2 * 100 * 8 * 5),
        (lambda: nn.ConvTranspose1d(8, 4, 6, stride=3)(torch.randn(2, 8, 10)), 2 * 10 * 8 * 4 * 6),
        (lambda: nn.Linear(8, 12)(torch.randn(2, 7, 8)), 2 * 7 * 8 * 12),
        (lambda: nn.LSTM(8, 12, 2, batch_first=True)(torch.randn(2, 7, 8)), 2 * 7 * 4 * 12 * (8 + 12 + 12 + 12)),
        (lambda: nn.LSTM(8, 12, bidirectional=True)(torch.randn(7, 2, 8)), 2 * (2 * 7 * 4 * 12 * (8 + 12))),
        (_attend(2, 7, 8), 2 * (7 * 7 * 8 + 7 * 7 * 8)),
        (_attend(2, 3, 7, 8), 2 * 3 * (7 * 7 * 8 + 7 * 7 * 8)),
    ],
    ids=["conv", "depthwise", "transposed", "linear", "lstm", "bidirectional", "attention", "heads"],
)
def test_an_operator_counts_as_its_formula_says(work, macs):
    counting = counter()
    with torch.no_grad(), counting:
        work()
    assert counting.get_total_flops() == 2 * macs


def test_what_is_neither_encoder_nor_decoder_is_the_quantizer():
    module = nn.ModuleDict({"encoder": nn.Linear(1, 4), "book": nn.Linear(4, 16), "decoder": nn.Linear(4, 3)})
    subject = Subject(
        module.requires_grad_(False),
        sample_rate_hz=10,
        encode=lambda wav: module["encoder"](wav[..., None]) @ module["book"].weight.T,
        decode=lambda codes: module["decoder"](codes @ module["book"].weight),
        codec=None,
    )
    assert count_macs(subject, torch.randn(2, 5)) == (10 * 4, 10 * (4 * 16 + 16 * 4), 10 * 4 * 3)
    assert count_parameters(subject) == (4 + 4, 4 * 16 + 16, 4 * 3 + 3)


def _count_by_shapes(module):
    """Hooks that count convolutions, linear layers and LSTMs from their outputs' shapes; returns the growing sum."""
    counts = []

    def conv(layer, _, output):
        counts.append(output.numel() * layer.in_channels // layer.groups * math.prod(layer.kernel_size))

    def linear(layer, _, output):
        counts.append(output.numel() * layer.in_features)

    def lstm(layer, inputs, _):
        weights = sum(weight.numel() for name, weight in layer.named_parameters() if name.startswith("weight"))
        counts.append(math.prod(inputs[0].shape[:2]) * weights)

    for layer in module.modules():
        for kind, hook in (((nn.Conv1d, nn.Conv2d), conv), (nn.Linear, linear), (nn.LSTM, lstm)):
            if isinstance(layer, kind):
                layer.register_forward_hook(hook)
    return counts


def test_whole_codec_counts_as_its_layers_do():
    subject = Preset("tiny-paper-1k").open(CPU)
    wav = torch.randn(1, 24_000)
    encoder, decoder = (_count_by_shapes(subject.module.get_submodule(part)) for part in ("encoder", "decoder"))
    macs = count_macs(subject, wav)
    frames, width = math.ceil(24_000 / 450), 32
    assert macs.encoder == sum(encoder)
    assert macs.decoder == sum(decoder) + 2 * frames**2 * width  # its attention is no layer
    assert 0 < macs.quantizer < 1000 * frames


def test_parameters_are_shared_out():
    subject = Preset("tiny").open(CPU)
    counts = count_parameters(subject)
    assert counts.all == sum(parameter.numel() for parameter in subject.module.parameters())
    assert counts.quantizer == sum(parameter.numel() for parameter in subject.codec.quantizer.parameters()) > 0
