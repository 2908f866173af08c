"""The pitch tracker against signals whose pitch is known."""

import math

import numpy as np
import pytest
import torch

from q2d2.train.losses import pitch_loss
from q2d2.train.pitch import Pitch, track_pitch

RATE, HOP = 24_000, 150


def voice(pitch_hz: np.ndarray, harmonics: int = 25) -> np.ndarray:
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE
    return 0.1 * sum(np.cos(k * phase + k**2) / k for k in range(1, harmonics))


@pytest.mark.parametrize("base_hz", [80.0, 130.0, 220.0, 380.0])
def test_follows_a_moving_pitch(base_hz: float) -> None:
    time_s = np.arange(2 * RATE) / RATE
    true_hz = base_hz * 2 ** (0.2 * np.sin(2 * np.pi * 1.2 * time_s))
    found = track_pitch(torch.from_numpy(voice(true_hz)).float()[None], HOP, RATE)
    true = torch.from_numpy(np.log2(true_hz[HOP // 2 :: HOP]))[: found.log2_hz.shape[1]]
    cents = 1200 * (found.log2_hz[0] - true).abs()[5:-5]
    assert cents.median() < 3  # at the right moment as well: half a step too late would be ten
    assert cents.max() < 10
    assert found.voicing[0, 5:-5].min() > 0.5


def test_noise_and_silence_are_unvoiced() -> None:
    noise = 0.1 * torch.randn(1, RATE, generator=torch.Generator().manual_seed(0))
    assert track_pitch(noise, HOP, RATE).voicing.mean() < 0.15
    assert track_pitch(torch.zeros(1, RATE), HOP, RATE).voicing.max() == 0


def test_one_step_per_hop_and_rows_are_independent() -> None:
    low, high = voice(np.full(RATE, 110.0)), voice(np.full(RATE, 300.0))
    both = torch.from_numpy(np.stack([low, high])).float()
    found = track_pitch(both, HOP, RATE)
    assert found.log2_hz.shape == (2, RATE // HOP)
    torch.testing.assert_close(found.log2_hz[1:], track_pitch(both[1:], HOP, RATE).log2_hz)


def test_the_loss_counts_octaves_where_voiced() -> None:
    target = Pitch(torch.full((1, 4), 7.0), torch.tensor([[1.0, 1.0, 0.0, 0.0]]))
    assert pitch_loss(target.log2_hz.double(), target) == 0
    off = torch.tensor([[8.0, 8.0, 99.0, 99.0]], dtype=torch.float64)
    assert math.isclose(pitch_loss(off, target), 2 / 4, rel_tol=1e-6)  # two octaves over four steps
