"""The source of the harmonic decoder: laws of its phase, its harmonics and its noise."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from q2d2.excitation import BLOCK, TOP_HZ, harmonics, noise_phase, phase

RATE_HZ = 24_000
STEP = 150
FRAME = 450
SPAN = BLOCK * FRAME  # samples in a block


def wandering_pitch(steps: int, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(150 * 2 ** (0.8 * np.sin(np.cumsum(rng.uniform(0, 0.2, steps))))).unsqueeze(0)


def pitch_by_sample(pitch_hz: torch.Tensor) -> np.ndarray:
    """Linear between the middles of steps, constant beyond the first and last."""
    middles = (np.arange(pitch_hz.shape[1]) + 0.5) * STEP
    return np.interp(np.arange(pitch_hz.shape[1] * STEP) + 0.5, middles, pitch_hz[0].numpy())


def test_phase_advances_by_the_pitch_but_for_the_detuning():
    """At every sample, also from block to block: continuous, and never more than 0.84 Hz off the pitch."""
    pitch_hz = wandering_pitch(5 * SPAN // STEP + 17)
    turning = phase(pitch_hz, STEP, SPAN, RATE_HZ)[0].numpy()
    assert turning.dtype == np.float64 and len(turning) == pitch_hz.shape[1] * STEP
    advance = np.mod(np.diff(turning) / (2 * np.pi) + 0.5, 1) - 0.5  # turns per sample, whole turns aside
    detuning_hz = advance * RATE_HZ - pitch_by_sample(pitch_hz)[1:]
    assert np.abs(detuning_hz).max() <= 0.5 * RATE_HZ / SPAN + 1e-6
    # and the first block is not detuned at all
    assert np.abs(detuning_hz[: SPAN - 1]).max() < 1e-6


@given(st.integers(0, 2**32 - 1))
def test_detuning_is_bounded_for_any_pitch(seed):
    pitch_hz = torch.from_numpy(np.random.default_rng(seed).uniform(43, 520, (1, 60)))
    block = 20 * STEP
    advance = np.diff(phase(pitch_hz, STEP, block, RATE_HZ)[0].numpy()) / (2 * np.pi)
    detuning_hz = (np.mod(advance + 0.5, 1) - 0.5) * RATE_HZ - pitch_by_sample(pitch_hz)[1:]
    assert np.abs(detuning_hz).max() <= 0.5 * RATE_HZ / block + 1e-6


def test_phase_forgets_all_but_the_block_before():
    pitch_hz = wandering_pitch(4 * SPAN // STEP)
    steps = SPAN // STEP
    other = pitch_hz.clone()
    other[:, : steps - 1] *= 1.3  # all of block 0, save the step that block 1 interpolates from
    first, second = (phase(p, STEP, SPAN, RATE_HZ) for p in (pitch_hz, other))
    assert torch.equal(first[:, 2 * SPAN :], second[:, 2 * SPAN :])
    assert not torch.equal(first[:, SPAN : 2 * SPAN], second[:, SPAN : 2 * SPAN])
    # the future changes nothing either, but for the half step of interpolation
    other = pitch_hz.clone()
    other[:, 2 * steps :] *= 1.3
    first, second = (phase(p, STEP, SPAN, RATE_HZ)[:, : 2 * SPAN - STEP // 2] for p in (pitch_hz, other))
    assert torch.equal(first, second)


def test_phase_from_the_middle_is_the_phase_of_the_whole():
    pitch_hz = wandering_pitch(5 * SPAN // STEP)
    whole = phase(pitch_hz, STEP, SPAN, RATE_HZ)
    tail = phase(pitch_hz[:, SPAN // STEP :], STEP, SPAN, RATE_HZ)
    # the very first half step lacks its neighbour to interpolate from; a block later that is forgotten
    assert torch.equal(tail[:, 2 * SPAN :], whole[:, 3 * SPAN :])


@pytest.mark.parametrize("pitch", [43.3, 97.0, 150.0, 333.3, 520.0])
def test_harmonics_are_the_sum_of_cosines(pitch):
    turning = torch.rand(1, 2000, dtype=torch.float64) * 100
    turning[0, :4] = torch.tensor([0.0, 2 * math.pi, 2e-6, -2e-6])  # at and beside the pulses
    count = TOP_HZ / pitch
    orders = torch.arange(1, int(count) + 2, dtype=torch.float64)
    cosines = torch.cos(orders[:, None] * turning)
    sums = [cosines[:n].sum(0) for n in (int(count), int(count) + 1)]
    expected = torch.lerp(*sums, count - int(count)) * math.sqrt(2 / count)
    pitch_hz = torch.full_like(turning, pitch)
    torch.testing.assert_close(harmonics(turning, pitch_hz)[0], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("pitch", [60.0, 151.0, 433.0])
def test_harmonics_have_unit_power_and_stop_below_the_top(pitch):
    turning = 2 * math.pi * pitch * torch.arange(RATE_HZ, dtype=torch.float64).unsqueeze(0) / RATE_HZ
    wave = harmonics(turning, torch.full_like(turning, pitch))[0].numpy()
    assert np.mean(wave**2) == pytest.approx(1, abs=0.02)
    power = np.abs(np.fft.rfft(wave)) ** 2
    assert power[: int(pitch) - 1].sum() < 1e-9 * power.sum()
    assert power[int(TOP_HZ + pitch) + 1 :].sum() < 1e-9 * power.sum()


def test_harmonics_move_smoothly_with_the_pitch():
    """No harmonic switches on at once: between neighbouring pitches the wave changes little."""
    turning = torch.full((1, 20_001), 1.2345, dtype=torch.float64)
    pitch_hz = torch.linspace(140, 160, 20_001, dtype=torch.float64).unsqueeze(0)
    assert harmonics(turning, pitch_hz).diff().abs().max() < 1e-3


def test_noise_phases_are_uniform():
    phases = noise_phase(torch.tensor([123_456]), 500, 181).flatten().double().numpy() / (2 * np.pi)
    assert phases.min() >= 0 and phases.max() <= 1
    assert scipy.stats.kstest(phases, "uniform").pvalue > 0.01


@pytest.mark.parametrize("lag", [1, 2, 181, 182, 181 * 5])
def test_neighbouring_noise_phases_are_unrelated(lag):
    """In frequency (lags 1, 2) and in time (a frame, five frames): differences of phases are uniform as well."""
    phases = noise_phase(torch.tensor([0]), 500, 181).flatten().double().numpy() / (2 * np.pi)
    assert scipy.stats.kstest(np.mod(phases[lag:] - phases[:-lag], 1), "uniform").pvalue > 0.005


def test_noise_depends_on_the_position_alone():
    rows = noise_phase(torch.tensor([0, 40, -96]), 100, 181)
    assert torch.equal(rows[0, 40:], rows[1, :60])
    assert torch.equal(rows[2, 96:], rows[0, :4])
    assert torch.equal(noise_phase(torch.tensor([-96]), 100, 181)[0], rows[2])


@pytest.mark.parametrize("hours", [10, 1000])
def test_noise_stays_noise_far_into_a_recording(hours):
    start = hours * 3600 * RATE_HZ // 90
    phases = noise_phase(torch.tensor([start, 0]), 200, 181).double().numpy() / (2 * np.pi)
    assert scipy.stats.kstest(phases[0].ravel(), "uniform").pvalue > 0.01
    difference = np.mod(phases[0] - phases[1], 1).ravel()
    assert scipy.stats.kstest(difference, "uniform").pvalue > 0.01
