"""Resampling: lengths, alignment, and that the cut into blocks leaves no trace."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from q2d2.resampling import resample, resample_blocks, resampled_length

RATES_HZ = [8_000, 16_000, 22_050, 24_000, 44_100, 48_000, 96_000, 192_000]


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("num_samples", [1, 449, 450, 451, 24_000 * 7 + 13])
def test_there_and_back_has_the_same_length(rate_hz, num_samples):
    signal = np.zeros(num_samples, np.float32)
    inside = resample(signal, rate_hz, 24_000)
    assert len(inside) == resampled_length(num_samples, rate_hz, 24_000) == -(-num_samples * 24_000 // rate_hz) > 0
    assert len(resample(inside, 24_000, rate_hz)) >= num_samples  # so it is only ever cut
    assert len(resample(inside, 24_000, rate_hz, num_samples)) == num_samples


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_time_0_stays_time_0(rate_hz):
    def tone(hz):
        return np.sin(2 * np.pi * 440 * np.arange(hz // 2) / hz + 1).astype(np.float32)

    there = resample(tone(rate_hz), rate_hz, 24_000)
    middle = slice(2_000, -2_000)  # the ends meet silence
    np.testing.assert_allclose(there[middle], tone(24_000)[middle], atol=1e-4)
    back = resample(there, 24_000, rate_hz, rate_hz // 2)
    middle = slice(rate_hz // 12, -rate_hz // 12)
    np.testing.assert_allclose(back[middle], tone(rate_hz)[middle], atol=1e-4)


@given(
    lengths=st.lists(st.integers(0, 3_000), min_size=1, max_size=8),
    rates_hz=st.tuples(st.sampled_from(RATES_HZ), st.sampled_from(RATES_HZ)),
    num_channels=st.sampled_from([None, 1, 2]),
    num_samples=st.none() | st.integers(0, 10_000),
)
def test_blocks_equal_the_whole(lengths, rates_hz, num_channels, num_samples):
    shape = (sum(lengths),) if num_channels is None else (sum(lengths), num_channels)
    signal = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    whole = resample(signal, *rates_hz, num_samples)
    expected = resampled_length(len(signal), *rates_hz) if num_samples is None else num_samples
    assert whole.shape == (expected, *signal.shape[1:]) and whole.dtype == np.float32
    blocks = list(resample_blocks(np.split(signal, np.cumsum(lengths)[:-1]), *rates_hz, num_samples))
    assert all(len(block) for block in blocks)
    np.testing.assert_allclose(np.concatenate([whole[:0], *blocks]), whole, atol=1e-5)


def test_a_long_filling_comes_in_blocks():
    blocks = list(resample_blocks([np.ones((10, 2), np.float32)], 24_000, 24_000, 200_000))
    assert sum(map(len, blocks)) == 200_000 and max(map(len, blocks)) <= 2**16
    assert all(block.shape[1] == 2 for block in blocks) and not any(block.any() for block in blocks[1:])


def test_all_blocks_are_consumed():
    blocks = iter([np.zeros(100, np.float32)] * 50)
    assert sum(map(len, resample_blocks(blocks, 48_000, 24_000, 10))) == 10
    assert next(blocks, None) is None


def test_rates_out_of_bounds_are_refused():
    with pytest.raises(ValueError, match="sample rate of 0 Hz"):
        resample(np.zeros(10, np.float32), 0, 24_000)
