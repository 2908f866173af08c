"""Rows changed at random: each change by itself, against what it promises, and all of them against numpy."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from q2d2.excitation import hashed
from q2d2.train import augment
from q2d2.train.augment import NUMBERS, Augment, changed, draw, source_samples

RATE_HZ = 24_000
NOTHING = Augment(speed=0.0, response_db=0.0, noise=0.0, room=0.0, narrow=0.0)


def noise(samples: int = 24_000, seed: int = 1) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).normal(size=samples)).astype(np.float32)


def made_of(how: Augment, wav: np.ndarray, drawn: np.ndarray, samples: int = 24_000) -> np.ndarray:
    """One row, changed."""
    return changed(how, torch.from_numpy(wav)[None], torch.from_numpy(drawn)[None], samples, RATE_HZ)[0].numpy()


def drawn_for(how: Augment, seed: int = 0, **fixed: float) -> np.ndarray:
    """The numbers of one row, some of them given."""
    drawn = draw(how, np.random.default_rng(seed), 1, RATE_HZ)[0]
    for name, value in fixed.items():
        drawn[NUMBERS.index(name)] = value
    return drawn


def plainly(wav: np.ndarray, drawn: np.ndarray, samples: int) -> np.ndarray:
    """The same in float64, one sample and one filter after the other: every output sample from the whole spectrum."""
    number = dict(zip(NUMBERS, drawn.astype(float), strict=False))
    responses = drawn[len(NUMBERS) :].astype(float).reshape(2, -1)
    speed = number["speed"]
    hertz = np.fft.rfftfreq(len(wav), 1 / RATE_HZ) * speed
    octaves = np.log2(np.maximum(hertz, 60) / 60)

    def gain(decibels: np.ndarray) -> np.ndarray:
        return 10 ** (np.interp(octaves, np.arange(len(decibels)), decibels) / 20)

    def white(key: float, count: int) -> np.ndarray:
        return hashed(int(np.float32(key).astype(np.float64) * 2**48) + torch.arange(count)).double().numpy()

    spectrum = np.fft.rfft(wav.astype(float)) * gain(responses[0])
    at_s = np.arange(len(wav)) / (RATE_HZ * speed)
    tail = (white(number["key"], len(wav)) - 0.5) * 10 ** (-3 * at_s / number["decay_s"])
    tail[at_s < 0.002] = 0
    spectrum *= 1 + np.fft.rfft(tail * number["echo"] / np.linalg.norm(tail))
    parts = white(number["key"], 2 * len(hertz)).reshape(-1, 2) - 0.5
    hiss = (parts[:, 0] + 1j * parts[:, 1]) * gain(responses[1]) * np.maximum(hertz, 60) ** -number["tilt"]
    spectrum += number["noise"] * np.linalg.norm(spectrum) * hiss / np.linalg.norm(hiss)
    spectrum *= np.clip((1.05 * number["top_hz"] - hertz) / (0.05 * number["top_hz"]), 0, 1)
    spectrum[hertz > RATE_HZ / 2] = 0
    spectrum[0] /= 2  # the only one that has no twin
    # the inverse transform at places between the samples, by its definition
    turns = 2j * np.pi * speed / len(wav) * np.arange(samples)[:, None]
    made = 2 * (np.exp(turns * np.arange(len(spectrum))) @ spectrum).real / len(wav)
    return made * np.abs(wav).max() / np.abs(made).max()


@pytest.mark.parametrize("seed", range(8))
def test_all_changes_together_against_numpy(seed: int) -> None:
    """Exact but for the interpolation between samples, whose errors lie far below."""
    how = Augment(room=0.5)
    wav = noise(source_samples(how, 1_000))
    wav = np.convolve(wav, np.ones(4) / 4, mode="same").astype(np.float32)  # as in speech, little at the band's end
    drawn = drawn_for(how, seed)
    expected = plainly(wav, drawn, 1_000)
    error = made_of(how, wav, drawn, 1_000) - expected
    assert np.linalg.norm(error) < 10 ** (-40 / 20) * np.linalg.norm(expected)


def test_nothing_changes_nothing() -> None:
    wav = noise()
    assert source_samples(NOTHING, 24_000) == 24_000
    np.testing.assert_allclose(made_of(NOTHING, wav, drawn_for(NOTHING)), wav, atol=1e-6)


def test_recordings_are_long_enough_for_the_fastest_and_quick_to_transform() -> None:
    for samples in (1, 450, 9_600, 32_400):
        size = source_samples(Augment(speed=0.2), samples)
        assert size >= 1.2 * samples + augment.TAPS and size % 2 == 0
        assert max(prime for prime in range(2, size + 1) if size % prime == 0 and _is_prime(prime)) <= 5


def _is_prime(n: int) -> bool:
    return all(n % k for k in range(2, math.isqrt(n) + 1))


@pytest.mark.parametrize("seed", range(5))
def test_speed_moves_a_tone_and_keeps_its_length(seed: int) -> None:
    how = replace(NOTHING, speed=0.2)
    drawn = drawn_for(how, seed)
    speed = drawn[NUMBERS.index("speed")]
    assert 1 / 1.2 <= speed <= 1.2
    tone = np.sin(2 * np.pi * 1000 * np.arange(source_samples(how, 24_000)) / RATE_HZ).astype(np.float32)
    made = made_of(how, tone, drawn)
    assert made.shape == (24_000,)
    spectrum = np.abs(np.fft.rfft(made * np.hanning(24_000)))
    assert abs(spectrum.argmax() - 1000 * speed) <= 1  # bins are 1 Hz wide
    spectrum[spectrum.argmax() - 50 : spectrum.argmax() + 50] = 0
    assert spectrum.max() < 10 ** (-50 / 20) * 6_000  # of a full tone's


@pytest.mark.parametrize("seed", range(10))
def test_the_peak_stays(seed: int) -> None:
    wav = noise(source_samples(Augment(), 24_000))
    made = made_of(Augment(), wav, drawn_for(Augment(), seed))
    assert made.dtype == np.float32
    assert np.abs(made).max() == pytest.approx(np.abs(wav).max(), rel=1e-5)


@pytest.mark.parametrize("below_db", [8, 24, 40])
def test_noise_lies_as_far_below_as_drawn(below_db: float) -> None:
    wav = noise()
    made = made_of(NOTHING, wav, drawn_for(NOTHING, noise=10 ** (-below_db / 20)))
    share = made @ wav / (wav @ wav)
    rest = made - share * wav
    assert 20 * np.log10(np.linalg.norm(share * wav) / np.linalg.norm(rest)) == pytest.approx(below_db, abs=0.5)


def test_a_narrow_band_ends() -> None:
    made = made_of(NOTHING, noise(), drawn_for(replace(NOTHING, narrow=1.0)))
    spectrum = np.abs(np.fft.rfft(made))
    assert spectrum[int(1.05 * 8000) :].max() < 1e-3 * spectrum[:3400].mean()
    assert spectrum[3000:3400].mean() > 0.5 * spectrum[:3000].mean()


@pytest.mark.parametrize("seed", range(5))
def test_a_room_follows_the_sound(seed: int) -> None:
    click = np.zeros(24_000, np.float32)
    click[0] = 0.5
    made = made_of(NOTHING, click, drawn_for(replace(NOTHING, room=1.0), seed))
    energy = np.square(made.astype(np.float64))
    assert energy.argmax() == 0
    assert -15.1 < 10 * np.log10(energy[1:].sum() / energy[0]) < -2.9
    assert energy[-2400:].sum() < 1e-3 * energy[1:2400].sum()  # 60 dB in 0.6 s at most


def test_the_response_is_smooth_and_of_the_asked_spread() -> None:
    click = np.zeros(24_000, np.float32)
    click[0] = 0.5
    how = replace(NOTHING, response_db=3.0)
    levels = []
    for seed in range(200):
        level = 20 * np.log10(np.abs(np.fft.rfft(made_of(how, click, drawn_for(how, seed)))))
        assert np.abs(np.diff(level[60:])).max() < 1  # dB per Hz
        levels.append(level[480] - level[960])  # two knots: independent
    assert np.std(levels) == pytest.approx(3 * 2**0.5, rel=0.15)


def test_what_is_drawn_is_as_often_and_as_far_apart_as_asked() -> None:
    how = Augment(noise_db=(8.0, 40.0))
    drawn = draw(how, np.random.default_rng(0), 20_000, RATE_HZ).astype(float)
    number = dict(zip(NUMBERS, drawn[:, : len(NUMBERS)].T, strict=True))
    has = {"echo": number["echo"] > 0, "noise": number["noise"] > 0, "top_hz": number["top_hz"] < RATE_HZ}
    for name, often in (("echo", how.room), ("noise", how.noise), ("top_hz", how.narrow)):
        assert has[name].mean() == pytest.approx(often, abs=0.01)
    uniform = {
        "speed": (np.log(number["speed"]) / np.log(1.15), -1, 1),
        "echo": (-20 * np.log10(number["echo"][has["echo"]]), 3, 15),
        "decay_s": (number["decay_s"], 0.15, 0.6),
        "noise": (-20 * np.log10(number["noise"][has["noise"]]), 8, 40),
        "tilt": (number["tilt"], 0, 1),
        "top_hz": (number["top_hz"][has["top_hz"]], 3400, 8000),
        "key": (number["key"], 0, 1),
    }
    for name, (values, least, most) in uniform.items():
        share = (values - least) / (most - least)
        assert share.min() > -1e-5 and share.max() < 1 + 1e-5, name
        for quarter in (0.25, 0.5, 0.75):
            assert np.mean(share < quarter) == pytest.approx(quarter, abs=0.04), name
    assert np.std(drawn[:, len(NUMBERS) :]) == pytest.approx(3.0, rel=0.01)


def test_white_is_white() -> None:
    """The hash behind noise and rooms: uniform, and nothing in common between samples or keys."""
    keys = torch.tensor([[0.3], [0.3 + 2**-24], [0.9]])
    white = augment._white(keys, 20_000).double().numpy() * 12**0.5
    assert np.abs(white.mean(1)).max() < 0.03 and np.abs(white.std(1) - 1).max() < 0.02
    assert np.abs(np.corrcoef(white) - np.eye(3)).max() < 0.03
    for lag in (1, 2, 7, 450):
        assert np.abs((white[:, lag:] * white[:, :-lag]).mean(1)).max() < 0.03


def test_silence_stays_silence() -> None:
    samples = source_samples(Augment(), 24_000)
    how = Augment(noise=1.0, room=1.0)
    assert not made_of(how, np.zeros(samples, np.float32), drawn_for(how)).any()


def test_a_row_depends_on_its_numbers_alone() -> None:
    how = Augment()
    wavs = torch.from_numpy(np.stack([noise(source_samples(how, 9_600), seed) for seed in range(3)]))
    drawn = torch.from_numpy(draw(how, np.random.default_rng(0), 3, RATE_HZ))
    together = changed(how, wavs, drawn, 9_600, RATE_HZ)
    for row in range(3):
        alone = changed(how, wavs[row : row + 1], drawn[row : row + 1], 9_600, RATE_HZ)
        assert torch.equal(alone[0], together[row])
    other = changed(how, wavs, drawn.flip(0), 9_600, RATE_HZ)
    assert not torch.allclose(other[0], together[0], atol=1e-3)


def test_all_rows_at_once_are_what_they_are_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a GPU does, all rows in each operation and no look at what was drawn, on a CPU."""
    how = Augment()
    wavs = torch.from_numpy(np.stack([noise(source_samples(how, 9_600), seed) for seed in range(4)]))
    drawn = torch.from_numpy(draw(how, np.random.default_rng(1), 4, RATE_HZ))
    one_by_one = changed(how, wavs, drawn, 9_600, RATE_HZ)
    monkeypatch.setattr(augment, "_is_worth_it", lambda amount: True)
    together = augment._all_at_once(how, wavs, drawn, 9_600, RATE_HZ)
    torch.testing.assert_close(together, one_by_one, atol=1e-6, rtol=1e-4)
