"""The spectral encoder: what its features measure, and how far it looks."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from q2d2.encoder import SpectralEncoder, SpectralEncoderConfig, SpectralFeatures
from q2d2.presets import SPEECH, TINY

CAUSAL = replace(TINY.encoder, causal=True)
CONFIGS = [
    TINY.encoder,
    replace(TINY.encoder, layers=2, kernel=3, fine_layers=2),
    replace(TINY.encoder, stride=2),
    CAUSAL,
    replace(CAUSAL, layers=3),
]


@pytest.fixture
def features():
    return SpectralFeatures(150, 24_000)


def test_one_latent_per_hop_of_samples():
    encoder = SpectralEncoder(TINY.encoder)
    assert encoder.hop == 450
    assert encoder(torch.randn(3, 450 * 7)).shape == (3, 7, 16)
    assert encoder(torch.randn(1, 450)).shape == (1, 1, 16)


def test_part_of_a_frame_is_refused():
    with pytest.raises(ValueError, match="whole frames of 450 samples, got 451"):
        SpectralEncoder(TINY.encoder)(torch.zeros(1, 451))


@pytest.mark.parametrize("pitch", [80.0, 120.0, 199.0, 310.0])
def test_autocorrelation_is_highest_at_the_period_or_a_multiple(features, pitch):
    time_s = np.arange(24_000) / 24_000
    tone = sum(np.cos(2 * np.pi * k * pitch * time_s + k * k) / k for k in range(1, 12))
    start = features.mels + features.low_bins // 2
    seen = features(torch.from_numpy(0.1 * tone).float().unsqueeze(0))[0, 80, start : start + features.lags]
    lowest, highest = features.pitch_hz
    periods = pitch / highest * (highest / lowest) ** (int(seen.argmax()) / (features.lags - 1))
    assert periods / round(periods) == pytest.approx(1, abs=0.04)  # lags lie 3.4 % apart


def test_autocorrelation_at_the_true_lag_is_near_one(features):
    """Normalised by the power and by the window's own autocorrelation: 1 (here doubled) for what is periodic."""
    time_s = np.arange(24_000) / 24_000
    tone = torch.from_numpy(np.cos(2 * np.pi * 150 * time_s)).float().unsqueeze(0)
    start = features.mels + features.low_bins // 2
    peak = features(tone)[0, 80, start : start + features.lags].max().item() / 2
    assert peak == pytest.approx(1, abs=0.05)


def test_autocorrelation_and_samples_do_not_depend_on_the_level(features):
    wav = torch.randn(1, 4500)
    start = features.mels + features.low_bins // 2
    loud, quiet = (features(gain * wav)[0, :, start:] for gain in (1.0, 0.25))
    torch.testing.assert_close(loud, quiet, atol=0.02, rtol=0)


@pytest.mark.parametrize("signal", [0.0, 1.0, 1000.0])
def test_features_are_finite_for_silence_and_for_far_too_loud(features, signal):
    assert torch.isfinite(features(torch.full((1, 4500), signal))).all()


def test_features_are_float32_under_autocast():
    features = SpectralFeatures(150, 24_000)
    wav = torch.randn(1, 1500)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(features(wav), features(wav.double()))
    assert features(wav).dtype == torch.float32


@pytest.mark.parametrize("config", CONFIGS)
def test_context_is_all_that_a_frame_sees_and_little_more(config):
    """Bit-identical beyond the context; and within 2 frames of its end, something does change."""
    torch.manual_seed(0)
    encoder = SpectralEncoder(config).eval()
    (before, after), hop, middle = encoder.context, encoder.hop, 30
    wav = 0.1 * torch.randn(1, 61 * hop)
    latent = encoder(wav)[0, middle]

    def changes(start: int, stop: int) -> bool:
        other = wav.clone()
        other[:, start:stop] = torch.randn(1, stop - start)
        return not torch.equal(encoder(other)[0, middle], latent)

    first, last = (middle - before) * hop, (middle + 1 + after) * hop
    assert not changes(0, first) and not changes(last, wav.shape[1])
    assert changes(first, first + 2 * hop) and changes(last - 2 * hop if after else last - hop, last)
    assert changes(middle * hop, (middle + 1) * hop)


def test_speech_reaches_nine_frames():
    assert SpectralEncoder(replace(SPEECH.encoder, high_pass_hz=0.0)).context == (9, 9)  # 0.17 s
    assert SpectralEncoder(SPEECH.encoder).context == (12, 9)  # the high-pass looks back 56 ms


def test_a_causal_encoder_looks_at_nothing_after_its_frame():
    assert SpectralEncoder(replace(SPEECH.encoder, high_pass_hz=0.0, causal=True)).context == (17, 0)


def test_rows_of_a_batch_do_not_mix():
    torch.manual_seed(0)
    encoder = SpectralEncoder(TINY.encoder).eval()
    wav = 0.1 * torch.randn(3, 4500)
    together = encoder(wav)
    for row in range(3):
        torch.testing.assert_close(encoder(wav[row : row + 1]), together[row : row + 1], atol=1e-5, rtol=0)


def test_gradients_reach_every_parameter():
    encoder = SpectralEncoder(TINY.encoder)
    encoder(torch.randn(1, 4500)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())


def test_filters_are_not_part_of_the_weights():
    encoder = SpectralEncoder(TINY.encoder)
    assert not [name for name in encoder.state_dict() if name.startswith("features")]


@pytest.mark.parametrize("wrong", [{"kernel": 4}, {"dim": 0}, {"stride": 0}, {"layers": -1}, {"bypass": -1}])
def test_impossible_configs_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SpectralEncoderConfig(**wrong)
