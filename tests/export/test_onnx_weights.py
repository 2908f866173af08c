"""Weights in less room: what is stored, and what it computes."""

from __future__ import annotations

import copy

import pytest
import torch
from small_codecs import LIVE_TOKENS, make_codec
from torch import nn

pytest.importorskip("onnxscript")

from q2d2.onnx_export.weights import ByteLinear, HalfLinear, pack, rounded_to_bytes


def test_half_is_exact_and_byte_is_within_half_a_step() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(300, 40)
    layer.weight.data = layer.weight.data.half().float()
    x = torch.randn(5, 300)
    torch.testing.assert_close(HalfLinear(layer)(x), layer(x))

    packed = ByteLinear(layer)
    restored = (packed.get_buffer("stored").float() * packed.get_buffer("scale")).T
    steps = (layer.weight.abs().amax(1, keepdim=True) / 127).expand_as(restored)
    assert packed.get_buffer("stored").dtype == torch.int8
    assert ((restored - layer.weight).abs() <= 0.5001 * steps).all()
    assert (restored != layer.weight).any()


def test_rounding_twice_is_rounding_once_and_zero_rows_stay_zero() -> None:
    codec = make_codec(LIVE_TOKENS)
    codec.encoder.embed.weight.data[0] = 0
    once = rounded_to_bytes(codec)
    twice = rounded_to_bytes(once)
    assert (once.encoder.embed.weight[0] == 0).all()
    for name, value in once.state_dict().items():
        assert torch.equal(value, twice.state_dict()[name]), name


def test_packing_the_rounded_codec_changes_nothing_it_computes() -> None:
    codec = make_codec(LIVE_TOKENS)
    rounded = rounded_to_bytes(codec)
    packed = copy.deepcopy(rounded)
    pack(packed, int8=True)
    assert isinstance(packed.encoder.embed, ByteLinear)
    x = torch.randn(2, 9, rounded.encoder.embed.in_features)
    torch.testing.assert_close(packed.encoder.embed(x), rounded.encoder.embed(x))
    assert torch.equal(packed.quantizer.project_in.weight, codec.quantizer.project_in.weight)
