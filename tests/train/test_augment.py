"""Rows changed at random: each change by itself, against what it promises."""

from dataclasses import replace

import numpy as np
import pytest

from q2d2.train.augment import Augment, changed, source_samples

RATE_HZ = 24_000
NOTHING = Augment(speed=0.0, response_db=0.0, noise=0.0, room=0.0, narrow=0.0)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def noise(samples: int = 24_000, seed: int = 1) -> np.ndarray:
    return (0.1 * rng(seed).normal(size=samples)).astype(np.float32)


def test_nothing_changes_nothing() -> None:
    wav = noise()
    assert source_samples(NOTHING, rng(), 24_000) == 24_000
    np.testing.assert_allclose(changed(NOTHING, rng(), wav, 24_000, RATE_HZ), wav, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_speed_moves_a_tone_and_keeps_its_length(seed: int) -> None:
    augment = replace(NOTHING, speed=0.2)
    size = source_samples(augment, rng(seed), 24_000)
    assert 24_000 / 1.2 <= size <= 24_000 * 1.2
    tone = np.sin(2 * np.pi * 1000 * np.arange(size) / RATE_HZ).astype(np.float32)
    made = changed(augment, rng(seed), tone, 24_000, RATE_HZ)
    assert made.shape == (24_000,)
    spectrum = np.abs(np.fft.rfft(made * np.hanning(24_000)))
    assert abs(spectrum.argmax() - 1000 * size / 24_000) <= 1  # bins are 1 Hz wide


@pytest.mark.parametrize("seed", range(10))
def test_the_peak_stays(seed: int) -> None:
    wav = noise()
    made = changed(Augment(), rng(seed), wav, 24_000, RATE_HZ)
    assert made.dtype == np.float32
    assert np.abs(made).max() == pytest.approx(np.abs(wav).max(), rel=1e-5)


def test_noise_lies_as_far_below_as_asked() -> None:
    wav = noise()
    made = changed(replace(NOTHING, noise=1.0, noise_db=(20.0, 20.0)), rng(), wav, 24_000, RATE_HZ)
    share = made @ wav / (wav @ wav)
    rest = made - share * wav
    assert 20 * np.log10(np.linalg.norm(share * wav) / np.linalg.norm(rest)) == pytest.approx(20, abs=0.5)


def test_a_narrow_band_ends() -> None:
    made = changed(replace(NOTHING, narrow=1.0), rng(), noise(), 24_000, RATE_HZ)
    spectrum = np.abs(np.fft.rfft(made))
    assert spectrum[int(1.05 * 8000) :].max() < 1e-3 * spectrum[:3400].mean()
    assert spectrum[3000:3400].mean() > 0.5 * spectrum[:3000].mean()


@pytest.mark.parametrize("seed", range(5))
def test_a_room_follows_the_sound(seed: int) -> None:
    click = np.zeros(24_000, np.float32)
    click[0] = 0.5
    made = changed(replace(NOTHING, room=1.0), rng(seed), click, 24_000, RATE_HZ)
    energy = np.square(made.astype(np.float64))
    assert energy.argmax() == 0
    assert -15.1 < 10 * np.log10(energy[1:].sum() / energy[0]) < -2.9
    assert energy[-2400:].sum() < 1e-3 * energy[1:2400].sum()  # 60 dB in 0.6 s at most


def test_the_response_is_smooth_and_of_the_asked_spread() -> None:
    click = np.zeros(24_000, np.float32)
    click[0] = 0.5
    levels = []
    for seed in range(200):
        made = changed(replace(NOTHING, response_db=3.0), rng(seed), click, 24_000, RATE_HZ)
        level = 20 * np.log10(np.abs(np.fft.rfft(made)))
        assert np.abs(np.diff(level[60:])).max() < 1  # dB per Hz
        levels.append(level[480] - level[960])  # two knots: independent
    assert np.std(levels) == pytest.approx(3 * 2**0.5, rel=0.15)


def test_silence_stays_silence() -> None:
    assert not changed(Augment(), rng(3), np.zeros(20_000, np.float32), 24_000, RATE_HZ).any()


def test_a_row_depends_on_its_generator_alone() -> None:
    wav = noise(27_600)
    first, again, other = (changed(Augment(), rng(seed), wav, 24_000, RATE_HZ) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
