"""The pitch tracker against signals whose pitch is known."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from q2d2.train.losses import pitch_loss
from q2d2.train.pitch import JUMP_COST, Pitch, _best_path, track_pitch

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
    torch.testing.assert_close(found.voicing[1:], track_pitch(both[1:], HOP, RATE).voicing)


def test_correlation_without_a_maximum_is_no_voice() -> None:
    rumble = 0.1 * np.sin(2 * np.pi * 30 * np.arange(RATE) / RATE)
    assert track_pitch(torch.from_numpy(rumble).float()[None], HOP, RATE).voicing[:, 5:-5].max() == 0


@pytest.mark.parametrize("samples", [HOP, HOP + 1, 2 * HOP, 3 * HOP - 1, 17 * HOP])
@pytest.mark.parametrize("level", [0.0, 0.1])
def test_signals_of_any_length(samples: int, level: float) -> None:
    wav = level * torch.randn(2, samples, generator=torch.Generator().manual_seed(0))
    found = track_pitch(wav.requires_grad_(), HOP, RATE)
    for values in found:
        assert values.shape == (2, samples // HOP)
        assert values.isfinite().all() and not values.requires_grad
    assert ((found.log2_hz > math.log2(60)) & (found.log2_hz < math.log2(500))).all()


def sequential_viterbi(score: np.ndarray, log2_lag: np.ndarray) -> list[int]:
    total, origins = score[0], []
    for step in range(1, len(score)):
        octaves = np.minimum(np.abs(log2_lag[step - 1][:, None] - log2_lag[step]), 0.5)
        ways = total[:, None] - JUMP_COST * octaves
        origins.append(ways.argmax(0))
        total = ways.max(0) + score[step]
    path = [int(total.argmax())]
    for origin in reversed(origins):
        path.append(int(origin[path[-1]]))
    return path[::-1]


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 31, 217])
def test_the_path_is_the_sequential_search_s(steps: int) -> None:
    generator = torch.Generator().manual_seed(steps)
    score, log2_lag = torch.rand(2, 3, steps, 8, dtype=torch.float64, generator=generator)
    expected = [sequential_viterbi(s.numpy(), lag.numpy()) for s, lag in zip(score, log2_lag, strict=True)]
    assert _best_path(score, log2_lag).tolist() == expected


class Kernels(TorchDispatchMode):
    """Counts operations that are not views."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not func.is_view and func is not torch.ops.aten._unsafe_view.default
        return func(*args, **(kwargs or {}))


def test_the_number_of_kernels_grows_with_the_logarithm_of_the_steps() -> None:
    counts = []
    for steps in (216, 432):
        wav = torch.zeros(1, steps * HOP)
        track_pitch(wav, HOP, RATE)  # makes the filters, once
        with Kernels() as kernels:
            track_pitch(wav, HOP, RATE)
        counts.append(kernels.count)
    assert counts[0] <= 100 and counts[1] - counts[0] <= 5


@pytest.mark.filterwarnings("ignore:.*Dynamo detected a call to a `functools.lru_cache`")
def test_compiles_into_one_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)  # the tests' type checks do not compile
    wav = 0.1 * torch.randn(2, 4 * HOP, generator=torch.Generator().manual_seed(0))
    compiled = torch.compile(track_pitch, fullgraph=True, backend="eager")
    for found, expected in zip(compiled(wav, HOP, RATE), track_pitch(wav, HOP, RATE), strict=True):
        torch.testing.assert_close(found, expected)


def test_the_loss_counts_octaves_where_voiced() -> None:
    target = Pitch(torch.full((1, 4), 7.0), torch.tensor([[1.0, 1.0, 0.0, 0.0]]))
    assert pitch_loss(target.log2_hz.double(), target) == 0
    off = torch.tensor([[8.0, 8.0, 99.0, 99.0]], dtype=torch.float64)
    assert math.isclose(pitch_loss(off, target), 2 / 4, rel_tol=1e-6)  # two octaves over four steps
