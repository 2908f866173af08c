"""The harmonic decoder: its pitch, how far it looks, and that a position is all it knows of the rest."""

import math
from dataclasses import replace

import pytest
import torch

from q2d2.decoder import HarmonicDecoder, HarmonicDecoderConfig, PitchHead
from q2d2.excitation import BLOCK
from q2d2.presets import SPEECH, TINY

SMALL = TINY.decoder
CONFIGS = [
    SMALL,
    replace(SMALL, layers=0, fine_layers=0),
    replace(SMALL, layers=3, kernel=5),
    replace(SMALL, layers=0, fine_layers=4),
    replace(SMALL, causal=True),
    replace(SMALL, layers=3, fine_layers=3, causal=True),
]


def make(config: HarmonicDecoderConfig = SMALL) -> HarmonicDecoder:
    torch.manual_seed(0)
    decoder = HarmonicDecoder(config).eval()
    with torch.no_grad():  # louder noise and a pitch that moves, so that every path is heard
        decoder.head.bias[-(config.n_fft // 2 + 1) :] = -3.0
        for p in decoder.pitch.parameters():
            p.mul_(4)
    return decoder


def pairs(*numbers: int) -> torch.Tensor:
    return torch.tensor(numbers)


def test_one_hop_of_samples_and_three_pitches_per_frame():
    decoded = make()(torch.randn(2, 40, 16), pairs(4, 2))
    assert decoded.wav.shape == (2, 40 * 450) and decoded.wav.dtype == torch.float32
    assert decoded.log2_pitch.shape == (2, 40 * 3) and decoded.log2_pitch.dtype == torch.float64
    assert torch.isfinite(decoded.wav).all()


def test_pitch_lies_between_43_and_520_hz():
    head = PitchHead(8, 4, 3)
    with torch.no_grad():
        for p in head.parameters():
            p.mul_(100)
    pitch_hz = torch.exp2(head(10 * torch.randn(1, 200, 8)))
    assert 43 < pitch_hz.min() < 50 and 500 < pitch_hz.max() <= 520 * (1 + 1e-9)
    for p in head.parameters():
        torch.nn.init.zeros_(p)
    torch.testing.assert_close(torch.exp2(head(torch.randn(1, 5, 8))), torch.full((1, 15), 150.0).double())


def test_the_source_has_the_pitch_that_was_decoded():
    """Harmonics stand at multiples of a constant pitch, phase continuous over several blocks."""
    decoder = make()
    pitch_hz = 200.0
    log2_pitch = torch.full((1, 3 * 4 * BLOCK), math.log2(pitch_hz), dtype=torch.float64)
    source = decoder._source(log2_pitch)[0]
    assert source.shape == (4 * BLOCK * 5, 181)
    wav = torch.fft.irfft(source[100])  # one frame: 360 samples, 3 periods
    period = round(24_000 / pitch_hz)
    middle = wav[120:240]
    pulse = int(middle.argmax()) + 120
    assert abs(int(wav[pulse - period - 5 : pulse - period + 6].argmax()) - 5) <= 1


def decode(decoder: HarmonicDecoder, features: torch.Tensor, start: int = 0, skip: int = 0) -> torch.Tensor:
    with torch.no_grad():
        return decoder(features, pairs(4), pairs(start), skip).wav[0]


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("start", [0, 7 * BLOCK])
def test_lead_before_and_after_are_all_that_a_window_needs(config, start):
    """A window decoded with its context equals that of the whole; the network itself sees only `before`."""
    decoder = make(config)
    lead, before, after = decoder.context
    assert lead % BLOCK == 0 and lead >= before
    begin, length = 5 * BLOCK, 40
    features = torch.randn(1, begin + length + after + 30, 16)
    whole = decode(decoder, features, start)[begin * 450 : (begin + length) * 450]
    seen = features[:, begin - lead : begin + length + after]
    part = decode(decoder, seen, start + begin - lead, lead - before)
    torch.testing.assert_close(part[before * 450 : (before + length) * 450], whole, atol=2e-6, rtol=0)
    assert whole.std() > 1e-2


@pytest.mark.parametrize("config", [SMALL, replace(SMALL, layers=3, kernel=5), replace(SMALL, layers=3, causal=True)])
def test_frames_beyond_the_context_change_nothing_and_those_within_do(config):
    decoder = make(config)
    lead, before, after = decoder.context
    middle = 5 * BLOCK
    features = torch.randn(1, middle + 60, 16)

    def changes(first: int, last: int) -> float:
        """How much the frame in the middle changes with frames `first` to `last`, exclusive."""
        other = features.clone()
        other[:, first:last] = torch.randn(1, last - first, 16)
        same, moved = (decode(decoder, f)[middle * 450 : (middle + 1) * 450] for f in (features, other))
        return (same - moved).abs().max().item()

    assert changes(middle + after + 1, middle + 60) < 1e-6
    assert changes(0, middle - lead) < 1e-6
    assert changes(middle - before, middle) > 1e-4 and changes(middle + 1, middle + after + 1) > 1e-4
    assert changes(middle - lead // 2, middle - before - 1) > 1e-4  # the source's phase remembers a block


def test_speech_reaches_eighteen_frames_and_its_phase_three_blocks():
    context = HarmonicDecoder(SPEECH.decoder).context
    assert (context.lead, context.before, context.after) == (3 * BLOCK, 18, 18)


def test_a_causal_decoder_looks_one_frame_ahead():
    assert HarmonicDecoder(replace(SPEECH.decoder, causal=True)).context.after == 1


def test_position_changes_the_noise_only():
    decoder = make()
    features = torch.randn(1, 64, 16)
    assert torch.equal(decode(decoder, features, 0), decode(decoder, features))
    assert not torch.equal(decode(decoder, features, BLOCK), decode(decoder, features))
    with torch.no_grad():  # without noise, no position
        decoder.head.bias[-181:] = -40.0
        decoder.head.weight[-181:] = 0
    assert torch.equal(decode(decoder, features, BLOCK), decode(decoder, features))


def test_skipping_frames_leaves_their_samples_out():
    decoder = make()
    features = torch.randn(1, 96, 16)
    before = decoder.context.before
    whole, rest = decode(decoder, features), decode(decoder, features, skip=40)
    assert len(rest) == 56 * 450
    torch.testing.assert_close(rest[before * 450 :], whole[(40 + before) * 450 :], atol=2e-6, rtol=0)


def test_rows_of_a_batch_do_not_mix_and_rates_are_told_apart():
    decoder = make()
    features = torch.randn(1, 40, 16).expand(2, -1, -1)
    with torch.no_grad():
        both = decoder(features, pairs(2, 4), pairs(32, 0)).wav
        first = decoder(features[:1], pairs(2), pairs(32)).wav
    torch.testing.assert_close(both[:1], first, atol=2e-6, rtol=0)
    assert (both[0] - both[1]).abs().max() > 1e-3


def test_gradients_reach_every_parameter_and_the_pitch_only_through_its_own_loss():
    decoder = HarmonicDecoder(SMALL)
    decoded = decoder(torch.randn(1, 32, 16), pairs(3))
    decoded.wav.square().sum().backward(retain_graph=True)
    assert all(p.grad is None for p in decoder.pitch.parameters())
    others = [p for name, p in decoder.named_parameters() if not name.startswith("pitch")]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in others)
    decoded.log2_pitch.sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in decoder.pitch.parameters())


def test_pitch_and_waveform_keep_their_precision_under_autocast():
    decoder = make()
    features = torch.randn(1, 32, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        decoded = decoder(features, pairs(4))
    assert decoded.wav.dtype == torch.float32
    assert torch.equal(decoded.log2_pitch, decoder(features, pairs(4)).log2_pitch)


@pytest.mark.parametrize("wrong", [{"kernel": 6}, {"n_fft": 400}, {"n_fft": 90}, {"pitch_steps": 7}, {"dim": 0}])
def test_impossible_configs_are_refused(wrong):
    with pytest.raises(ValueError):
        HarmonicDecoderConfig(**wrong)
