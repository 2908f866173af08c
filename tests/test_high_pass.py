"""The high-pass: what it leaves of a signal, that it forgets, and a codec with one in every way it can be run."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.signal
import torch
from conftest import make_speech_like
from hypothesis import given, settings
from hypothesis import strategies as st
from small_codecs import LIVE_TOKENS, assert_same_codes, distances_to_edges, make_codec

from q2d2 import checkpoint
from q2d2.codec import Codes
from q2d2.encoder import SpectralEncoder, SpectralEncoderConfig, SpectralFeatures
from q2d2.high_pass import HighPass
from q2d2.presets import SPEECH, TINY

RATE_HZ = 24_000
FILTERED = replace(LIVE_TOKENS, encoder=replace(LIVE_TOKENS.encoder, high_pass_hz=30.0))
LIVE = replace(
    FILTERED,
    encoder=replace(FILTERED.encoder, causal=True),
    decoder=replace(FILTERED.decoder, causal=True),
)
CODECS = {"filtered": make_codec(FILTERED), "live": make_codec(LIVE)}


# -- the filter --------------------------------------------------------------------------------------------------------


def spectrum_of_tone(frequency_hz: int, cutoff_hz: float, sample_rate_hz: int, step: int) -> np.ndarray:
    """Amplitudes at 0, 1, 2... Hz of what is left of a tone of amplitude 1."""
    high_pass = HighPass(cutoff_hz, sample_rate_hz, step).double()
    time_s = torch.arange(high_pass.reach + sample_rate_hz, dtype=torch.float64) / sample_rate_hz
    left = high_pass(torch.cos(2 * torch.pi * frequency_hz * time_s + 0.3).unsqueeze(0))[0]
    return 2 * np.abs(np.fft.rfft(left.numpy())) / sample_rate_hz


@pytest.mark.parametrize(
    ("cutoff_hz", "sample_rate_hz", "step"),
    [(30.0, 24_000, 150), (30.0, 16_000, 80), (50.0, 24_000, 150), (30.0, 24_000, 25)],
)
@pytest.mark.parametrize("times_cutoff", [1 / 6, 1 / 3, 1, 1.5, 2, 3, 5, 10, 30, 100])
def test_response_is_that_of_a_butterworth(cutoff_hz, sample_rate_hz, step, times_cutoff):
    frequency_hz = round(cutoff_hz * times_cutoff)
    found = 20 * np.log10(spectrum_of_tone(frequency_hz, cutoff_hz, sample_rate_hz, step)[frequency_hz])
    butterworth = scipy.signal.butter(2, cutoff_hz, "high", fs=sample_rate_hz)
    wanted = 20 * np.log10(np.abs(scipy.signal.freqz(*butterworth, worN=[frequency_hz], fs=sample_rate_hz)[1][0]))
    assert found == pytest.approx(wanted, abs=0.1)
    assert times_cutoff != 1 / 6 or found < -30


@pytest.mark.parametrize(("up_to_hz", "below_db"), [(1000, -70), (RATE_HZ // 2, -34)])
def test_little_comes_out_at_another_frequency_than_it_went_in(up_to_hz, below_db):
    """Blocks of 10 samples fold what lies near 2400 Hz to where the cut-off is; a voice's harmonics are safe."""
    for frequency_hz in [*range(40, up_to_hz, 97), *range(2300, min(2500, up_to_hz), 10)]:
        amplitudes = spectrum_of_tone(frequency_hz, 30.0, RATE_HZ, 150)
        amplitudes[frequency_hz] = 0
        assert 20 * np.log10(amplitudes.max()) < below_db


@pytest.mark.parametrize("offset", [0.003, 0.1, -1.0])
def test_nothing_is_left_of_a_constant(offset):
    high_pass = HighPass(30.0, RATE_HZ, 150)
    assert high_pass.reach == 1350  # 56 ms
    left = high_pass(torch.full((1, high_pass.reach + 3000), offset))
    assert left.shape == (1, 3000)
    assert left.abs().max() < 1e-6 * abs(offset)


@pytest.mark.parametrize("length", [2000, 2003])
def test_a_signal_with_an_offset_ends_without_a_step(length):
    high_pass, wav = HighPass(30.0, RATE_HZ, 150), 0.1 + 0.01 * torch.randn(1, 3000 + 1350)
    wav[:, 1350 + length :] = 0
    left = high_pass(wav)[0]
    assert left[: length - 10].std() < 0.02 and left[length - 10 : length].abs().min() > 0
    assert not left[length:].any()


def test_signals_a_step_apart_are_filtered_alike():
    high_pass, wav = HighPass(30.0, RATE_HZ, 150), torch.randn(2, 6000)
    for begin, end in ((450, 6000), (0, 3000), (150, 5550)):
        inner = slice(begin, end - high_pass.reach)
        assert torch.equal(high_pass(wav[:, begin:end]), high_pass(wav)[:, inner])


def test_nothing_after_a_block_is_looked_at():
    high_pass, wav = HighPass(30.0, RATE_HZ, 150), torch.randn(1, 6000)
    other = torch.cat([wav[:, :3000], torch.randn(1, 3000)], dim=1)
    seen = 3000 - high_pass.reach
    assert torch.equal(high_pass(other)[:, :seen], high_pass(wav)[:, :seen])


# -- an encoder with one -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [TINY.encoder, replace(TINY.encoder, causal=True), SPEECH.encoder])
def test_an_encoder_reaches_further_back_and_no_further_ahead(config):
    plain, filtered = (SpectralEncoder(replace(config, high_pass_hz=hz)) for hz in (0.0, 30.0))
    assert plain.features.high_pass is None
    assert filtered.reach_samples == (plain.reach_samples.before + 1350, plain.reach_samples.after)
    assert filtered.state_dict().keys() == plain.state_dict().keys()


@pytest.mark.parametrize("causal", [False, True])
def test_context_is_all_that_a_frame_sees(causal):
    encoder = make_codec(LIVE if causal else FILTERED).encoder
    (before, after), hop, middle = encoder.context, encoder.hop, 20
    wav = 0.1 * torch.randn(1, 41 * hop)
    first, last = (middle - before) * hop, (middle + 1 + after) * hop
    other = torch.randn_like(wav)
    other[:, first:last] = wav[:, first:last]
    with torch.no_grad():
        assert torch.equal(encoder(other)[0, middle], encoder(wav)[0, middle])


def test_features_of_speech_do_not_depend_on_an_offset():
    """Those without a high-pass do."""
    wav = torch.from_numpy(make_speech_like(1.0)[: 50 * 450]).unsqueeze(0)

    def moved_by_offset(high_pass_hz: float) -> float:
        features = SpectralFeatures(150, RATE_HZ, high_pass_hz=high_pass_hz)
        inner = slice(features.reach.before // 150 + 1, -features.reach.after // 150)  # the offset begins and ends, too
        return float((features(wav + 0.1) - features(wav))[:, inner].abs().max())

    assert moved_by_offset(30.0) < 1e-3 < 1 < moved_by_offset(0.0)


@pytest.mark.parametrize("wrong", [-30.0, 3.0, 300.0, float("nan")])
def test_impossible_cut_offs_are_refused(wrong):
    with pytest.raises(ValueError, match="high_pass_hz is 0, for none, or from 10 to 100"):
        SpectralEncoderConfig(high_pass_hz=wrong)


# -- a codec with one --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unchecked")
@settings(max_examples=20)
@given(
    name=st.sampled_from(sorted(CODECS)),
    length=st.integers(1, 60_000),
    pieces=st.lists(st.integers(0, 7000), min_size=1, max_size=6).filter(sum),
)
def test_pieces_of_any_size_give_what_the_whole_gives(name, length, pieces):
    codec, wav = CODECS[name], 0.05 + make_speech_like(3.0, seed=5)[:length]
    whole = codec.encode(wav, RATE_HZ)
    found, start = [], 0
    with codec.streaming() as stream:
        while start < length:
            size = pieces[len(found) % len(pieces)]
            found.append(stream.push(wav[start : start + size]))
            start += size
        found.append(stream.flush())
    assert assert_same_codes(codec, wav, whole, Codes(torch.cat(found), length, RATE_HZ)) == 0


@pytest.mark.parametrize("frames", [32, 96])
def test_windows_and_batches_give_what_the_whole_gives(frames, monkeypatch):
    wavs = [0.05 + make_speech_like(length_s, seed=3) for length_s in (11.0, 0.4, 3.0)]
    codec = CODECS["filtered"]
    alone = [codec.encode(wav, RATE_HZ) for wav in wavs]
    monkeypatch.setattr("q2d2.clips.WINDOW", frames)
    for wav, one, other in zip(wavs, alone, codec.encode(wavs, RATE_HZ), strict=True):
        assert assert_same_codes(codec, wav, one, other) == 0


def test_delay_is_what_it_would_be_without():
    assert CODECS["live"].latency_s == 0.0375
    assert CODECS["filtered"].latency_s == make_codec(LIVE_TOKENS).latency_s


def test_it_is_saved_and_loaded(tmp_path):
    checkpoint.save(CODECS["filtered"], tmp_path)
    assert checkpoint.load(tmp_path).config == FILTERED


def test_a_graph_gives_the_same_indices(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from q2d2.onnx_export import export

    checkpoint.save(CODECS["live"], tmp_path / "model")
    codec = checkpoint.load(tmp_path / "model")
    export(codec, tmp_path / "graphs")
    session = onnxruntime.InferenceSession(tmp_path / "graphs" / "encoder.onnx")
    for length in (1, 451, 60_000):
        wav = 0.05 + make_speech_like(3.0, seed=7)[:length]
        wanted = codec.encode(wav, RATE_HZ)
        (found,) = torch.from_numpy(session.run(None, {"wav": wav[None]})[0])
        assert (found != wanted.indices).any(1).float().mean() <= 1e-3
        ties = distances_to_edges(codec, wav, wanted, replace(wanted, indices=found))
        assert all(distance < 1e-4 for distance in ties)
