"""The Vocos decoder against the reference's published sizes, explicit formulas and known signals."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from q2d2.vocos import AttentionBlock, ISTFTHead, VocosConfig, VocosDecoder

SMALL = VocosConfig(dim=12, width=32, inner=48, layers=2, hop=90)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("hop", "head"), [(320, 985_858), (600, 1_847_138)])
def test_parameter_counts_of_the_reference(hop, head):
    with torch.device("meta"):
        decoder = VocosDecoder(VocosConfig(hop=hop))
    # the reference's 13 adaptive norms hold two tables of 4 x 768; a plain layer norm holds one row of each
    tables, plain = 4 * 2 * 768, 2 * 768
    assert count(decoder.embed) == 2_753_280
    assert count(decoder.pos_net) == 16_539_648
    assert count(decoder.norm) == 6_144 - tables + plain
    assert [count(block) for block in decoder.blocks] == 12 * [3_555_072 - tables + plain]
    assert count(decoder.final_norm) == 1_536
    assert count(decoder.head) == head
    assert count(decoder) == 61_961_472 - 13 * (tables - plain) + head


@pytest.mark.parametrize("frames", [1, 2, 3, 17])
def test_one_hop_of_samples_per_frame(frames):
    decoder = VocosDecoder(SMALL)
    wav = decoder(torch.randn(2, frames, 12)).wav
    assert wav.shape == (2, frames * decoder.hop) and decoder.hop == 90
    assert torch.isfinite(wav).all()


def test_window_is_four_hops():
    assert VocosConfig(hop=450).n_fft == 1800
    assert VocosConfig(hop=320).n_fft == 1280


def test_attention_is_the_softmax_formula():
    block = AttentionBlock(64).double()
    x = torch.randn(2, 64, 11, dtype=torch.float64)
    grouped = x.reshape(2, 32, 2 * 11)
    normed = (grouped - grouped.mean(-1, keepdim=True)) / torch.sqrt(grouped.var(-1, False, keepdim=True) + 1e-6)
    normed = normed.reshape(2, 64, 11)
    q, k, v = (
        torch.einsum("oc,bct->bot", conv.weight[..., 0], normed) + conv.bias[:, None]
        for conv in (block.query, block.key, block.value)
    )
    weights = torch.softmax(torch.einsum("bcq,bck->bqk", q, k) / math.sqrt(64), dim=-1)
    mixed = torch.einsum("bqk,bck->bcq", weights, v)
    expected = x + torch.einsum("oc,bct->bot", block.out.weight[..., 0], mixed) + block.out.bias[:, None]
    torch.testing.assert_close(block(x), expected)


def istft_by_hand(spectrum: np.ndarray, n_fft: int, hop: int) -> np.ndarray:
    """Frame by frame in float64; spectrum [frames bins] -> [frames * hop]."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    total = np.zeros((len(spectrum) - 1) * hop + n_fft)
    envelope = np.zeros_like(total)
    for t, frame in enumerate(spectrum):
        total[t * hop : t * hop + n_fft] += window * np.fft.irfft(frame, n_fft)
        envelope[t * hop : t * hop + n_fft] += window**2
    side = (n_fft - hop) // 2
    return (total / np.maximum(envelope, 1e-12))[side : len(total) - side]


def test_head_is_magnitude_phase_and_the_inverse_stft():
    head, n_fft, hop = ISTFTHead(8, 64, 16), 64, 16
    x = torch.randn(1, 9, 8)
    written = head.project(x)[0].double().detach().numpy()
    magnitude = np.minimum(np.exp(written[:, :33]), 100)
    spectrum = magnitude * (np.cos(written[:, 33:]) + 1j * np.sin(written[:, 33:]))
    np.testing.assert_allclose(head(x)[0].detach().numpy(), istft_by_hand(spectrum, n_fft, hop), atol=1e-5)


def test_head_plays_a_known_tone():
    # a bin whose period divides the hop needs no phase advance; windowed once and divided by the sum of
    # squared windows, it gains sum(w) / sum(w^2) = 2 / 1.5 inside, where four windows overlap
    head, n_fft, hop, tone = ISTFTHead(8, 64, 16), 64, 16, 8
    nn.init.zeros_(head.project.weight)
    with torch.no_grad():
        head.project.bias.copy_(torch.cat([torch.full((33,), -50.0), torch.zeros(33)]))
        head.project.bias[tone] = math.log(16.0)
    wav = head(torch.randn(1, 12, 8))[0].detach()
    n = torch.arange(12 * hop) + (n_fft - hop) // 2
    expected = (2 / 1.5) * (2 * 16 / n_fft) * torch.cos(2 * math.pi * tone * n / n_fft)
    inside = slice(2 * hop, -2 * hop)
    torch.testing.assert_close(wav[inside], expected[inside], atol=1e-5, rtol=1e-5)


def test_magnitude_is_capped_and_its_gradient_finite():
    head = ISTFTHead(4, 16, 4)
    with torch.no_grad():
        head.project.bias[:9] = 1000.0
    x = torch.randn(1, 5, 4, requires_grad=True)
    wav = head(x)
    wav.sum().backward()
    assert torch.isfinite(wav).all() and wav.abs().max() < 9 * 100
    assert torch.isfinite(x.grad).all()


def test_initialisation_is_the_references():
    torch.manual_seed(0)
    decoder = VocosDecoder(VocosConfig(dim=64, width=96, inner=288, layers=3, hop=90))
    small = [decoder.embed, *(m for m in decoder.blocks.modules() if isinstance(m, nn.Conv1d | nn.Linear))]
    assert len(small) == 1 + 3 * 3
    for module in small:
        assert module.weight.std().item() == pytest.approx(0.02, rel=0.15)
        assert not module.bias.any()
    # PyTorch's own: uniform within 1 / sqrt(fan in)
    assert decoder.head.project.weight.abs().max().item() == pytest.approx(96**-0.5, rel=0.01)
    assert decoder.pos_net[0].branch[2].weight.abs().max().item() == pytest.approx((3 * 96) ** -0.5, rel=0.01)
    assert torch.equal(decoder.blocks[0].gamma, torch.full((96,), 1 / 3))


def test_gradient_reaches_input_and_every_parameter():
    decoder = VocosDecoder(SMALL)
    features = torch.randn(2, 7, 12, requires_grad=True)
    decoder(features).wav.square().mean().backward()
    assert features.grad.abs().sum() > 0
    # a bias on all keys alike shifts every logit of a row by the same number, which softmax cannot see
    deaf = decoder.pos_net[2].key.bias
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in decoder.parameters() if p is not deaf)


def test_dropout_is_off_in_evaluation():
    decoder, features = VocosDecoder(SMALL), torch.randn(1, 7, 12)
    assert not torch.equal(decoder(features).wav, decoder(features).wav)
    decoder.eval()
    assert torch.equal(decoder(features).wav, decoder(features).wav)


def test_spectrum_stays_float32_under_autocast():
    decoder, features = VocosDecoder(SMALL).eval(), torch.randn(1, 7, 12)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        wav = decoder(features).wav
    assert wav.dtype == torch.float32
    torch.testing.assert_close(wav, decoder(features).wav, atol=0.1, rtol=0.1)


def test_batch_equals_single_for_equal_lengths():
    decoder, features = VocosDecoder(SMALL).eval(), torch.randn(3, 9, 12)
    single = torch.cat([decoder(row[None]).wav for row in features])
    torch.testing.assert_close(decoder(features).wav, single, atol=1e-5, rtol=1e-4)


def test_state_dict_reloads():
    first, second = VocosDecoder(SMALL).eval(), VocosDecoder(SMALL).eval()
    second.load_state_dict(first.state_dict())
    features = torch.randn(1, 4, 12)
    assert torch.equal(first(features).wav, second(features).wav)


@pytest.mark.parametrize(
    "bad",
    [{"width": 100}, {"width": 0}, {"layers": 0}, {"hop": 0}, {"dim": 0}, {"inner": 0}, {"dropout": 1.0}],
)
def test_bad_configs_say_so(bad):
    with pytest.raises(ValueError, match="multiple|at least|probability"):
        VocosConfig(**bad)
