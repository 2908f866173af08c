"""The codec: whole == chunked == batched, rates as prefixes, lengths, streams, and codecs that are not local."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
import torch
from conftest import make_speech_like
from hypothesis import given, settings
from hypothesis import strategies as st
from small_codecs import LIVE_TOKENS, NOT_LOCAL, REFINED, assert_same_codes, make_codec

import q2d2.clips
import q2d2.streams.live
from q2d2.baselines import VQConfig
from q2d2.codec import Codec, Codes
from q2d2.grid import RhombicGrid
from q2d2.presets import TINY
from q2d2.quantizer import Q2D2Config

RATE_HZ = 24_000
ONE_SECOND = 64  # frames: the first multiple of the decoder's blocks beyond a second


@pytest.fixture(scope="module")
def codec() -> Codec:
    return make_codec(LIVE_TOKENS)


def window(frames: int):
    """Work in windows of so many frames for a while."""
    return mock.patch.object(q2d2.clips, "WINDOW", frames)


# -- whole == chunked == batched ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "frames"),
    [(LIVE_TOKENS, 32), (LIVE_TOKENS, ONE_SECOND), (LIVE_TOKENS, 96), (LIVE_TOKENS, 320), (REFINED, 32)],
)
def test_whole_equals_chunked(config, frames):
    codec = make_codec(config)
    wav = make_speech_like(20.0, seed=1)
    whole = codec.encode(wav, RATE_HZ)
    with window(frames):
        assert assert_same_codes(codec, wav, whole, codec.encode(wav, RATE_HZ)) == 0
        chunked = codec.decode(whole)
    assert np.abs(chunked).max() > 0.01
    np.testing.assert_allclose(chunked, codec.decode(whole), atol=1e-4)


def test_ties_are_rarer_than_one_in_a_million():
    """More than a million indices from windows of one second and from windows of half a minute."""
    grids = (RhombicGrid((9, 9)),) * 64
    decoder = replace(TINY.decoder, num_pairs=64)
    codec = make_codec(replace(TINY, quantizer=Q2D2Config(dim=16, grids=grids), decoder=decoder, rates={}))
    phrase = make_speech_like(29.5, seed=2)
    wav = np.concatenate([gain * phrase for gain in np.linspace(0.1, 1, 10, dtype=np.float32)])
    whole = codec.encode(wav, RATE_HZ)
    with window(ONE_SECOND):
        ties = assert_same_codes(codec, wav, whole, codec.encode(wav, RATE_HZ))
    assert whole.indices.numel() > 1_000_000
    assert ties <= 1


def test_what_is_no_tie_is_noticed(codec):
    wav = make_speech_like(1.0)
    codes = codec.encode(wav, RATE_HZ)
    indices = codes.indices.clone()
    indices[-1, 2] = (indices[-1, 2] + 1) % 85
    with pytest.raises(AssertionError, match="1 indices differ"):
        assert_same_codes(codec, wav, codes, replace(codes, indices=indices))


def test_batched_equals_single(codec):
    """Clips of very different lengths, each encoded and decoded as if it were alone."""
    lengths = [1, 450, 451, 9000, 24_000, 100_001, 24_001, 168_013, 3]
    clips = [make_speech_like(8.0, seed=seed)[:length] for seed, length in enumerate(lengths)]
    with window(ONE_SECOND):
        together = codec.encode(clips, RATE_HZ)
        wavs = codec.decode(together)
    for clip, codes, wav in zip(clips, together, wavs, strict=True):
        alone = codec.encode(clip, RATE_HZ)
        assert assert_same_codes(codec, clip, alone, codes) == 0
        assert wav.shape == clip.shape and wav.dtype == np.float32
        np.testing.assert_allclose(wav, codec.decode(alone), atol=1e-4)


def test_clips_of_different_rates_and_pairs_decode_together(codec):
    clips = [
        codec.encode(make_speech_like(1.0 + 0.3 * pairs, sample_rate_hz, seed=pairs), sample_rate_hz, pairs)
        for pairs, sample_rate_hz in [(1, 24_000), (3, 16_000), (18, 48_000), (9, 24_000), (4, 8000)]
    ]
    for codes, wav in zip(clips, codec.decode(clips), strict=True):
        assert wav.shape == (codes.num_samples,)
        np.testing.assert_allclose(wav, codec.decode(codes), atol=1e-4)


def test_order_of_clips_is_kept_and_nothing_is_nothing(codec):
    clips = [np.full(1000 * n, 0.01 * n, np.float32) for n in (3, 1, 2)]
    assert [codes.num_samples for codes in codec.encode(clips, RATE_HZ)] == [3000, 1000, 2000]
    assert codec.encode([], RATE_HZ) == [] and codec.decode([]) == []
    assert isinstance(codec.encode(clips[:1], RATE_HZ), list)


def test_threads_share_a_codec(codec):
    clips = [make_speech_like(1.5, seed=seed) for seed in range(8)]
    expected = [codec.decode(codec.encode(clip, RATE_HZ)) for clip in clips]
    ready = threading.Barrier(4)

    def work(clip: np.ndarray) -> np.ndarray:
        ready.wait(timeout=60)
        return codec.decode(codec.encode(clip, RATE_HZ))

    with ThreadPoolExecutor(4) as pool:
        for wav, wanted in zip(pool.map(work, clips), expected, strict=True):
            assert np.array_equal(wav, wanted)


# -- streams -----------------------------------------------------------------------------------------------------------


def cut(array: np.ndarray, sizes: list[int]) -> Iterator[np.ndarray]:
    """The array in blocks of these sizes, over and over, in one buffer that is used again for each."""
    start = turn = 0
    while start < len(array):
        part = array[start : start + sizes[turn % len(sizes)]]
        buffer = part.copy()
        yield buffer
        buffer[:] = 0
        start, turn = start + len(part), turn + 1


@pytest.mark.usefixtures("unchecked")
@settings(max_examples=25)
@given(
    sizes=st.lists(st.integers(1, 60_000), min_size=1, max_size=8),
    chunks=st.lists(st.integers(1, 300), min_size=1, max_size=8),
    length=st.integers(1, 130_000),
    frames=st.sampled_from([4, ONE_SECOND, 1024]),
)
def test_blocks_of_any_sizes_give_what_the_whole_gives(sizes, chunks, length, frames):
    codec, wav = make_codec(), make_speech_like(6.0, seed=3)[:length]
    whole = codec.encode(wav, RATE_HZ, "3k")
    with mock.patch.object(q2d2.streams.live, "LONGEST", frames):
        indices = np.concatenate(list(codec.encode_blocks(cut(wav, sizes), "3k")))
        decoded = np.concatenate(list(codec.decode_blocks(cut(whole.indices.numpy(), chunks))))
    assert assert_same_codes(codec, wav, whole, Codes(torch.from_numpy(indices), length, RATE_HZ)) == 0
    assert len(decoded) == 450 * len(indices)
    np.testing.assert_allclose(decoded[:length], codec.decode(whole), atol=1e-4)


def test_empty_streams_and_empty_blocks(codec):
    nothing = np.zeros(0, np.float32)
    assert list(codec.encode_blocks([])) == [] and list(codec.encode_blocks([nothing])) == []
    assert list(codec.decode_blocks([])) == [] and list(codec.decode_blocks([np.zeros((0, 3), np.int64)])) == []
    one = np.full(1, 0.5, np.float32)
    assert [part.shape for part in codec.encode_blocks([nothing, one, nothing])] == [(1, 18)]
    whole = make_codec(NOT_LOCAL)
    assert list(whole.encode_blocks([nothing])) == [] == list(whole.decode_blocks([]))


# -- rates, lengths ----------------------------------------------------------------------------------------------------


def test_lower_rates_are_the_first_columns_of_higher_ones(codec):
    wav = make_speech_like(3.0)
    highest = codec.encode(wav, RATE_HZ, "7k").indices
    assert highest.shape[1] == 18 and torch.equal(codec.encode(wav, RATE_HZ).indices, highest)
    for rate, pairs in [("1k", 3), ("3k", 9), (1, 1), (12, 12)]:
        assert torch.equal(codec.encode(wav, RATE_HZ, rate).indices, highest[:, :pairs])


def test_rates_sound_different(codec):
    wav = make_speech_like(1.0)
    decoded = [codec.decode(codec.encode(wav, RATE_HZ, rate)) for rate in ("1k", "3k", "7k")]
    assert np.abs(decoded[0] - decoded[1]).max() > 1e-3 and np.abs(decoded[1] - decoded[2]).max() > 1e-3


@pytest.mark.parametrize("sample_rate_hz", [8000, 16_000, 22_050, 24_000, 44_100, 48_000])
def test_decoded_length_is_the_input_length(codec, sample_rate_hz):
    clips = [make_speech_like(n / RATE_HZ, RATE_HZ)[:n] for n in (1, 449, 450, 451, RATE_HZ * 7 + 13)]
    codes = codec.encode(clips, sample_rate_hz)
    for clip, code, wav in zip(clips, codes, codec.decode(codes), strict=True):
        assert wav.shape == clip.shape and wav.dtype == np.float32
        assert code.num_samples == len(clip) and code.sample_rate_hz == sample_rate_hz
        assert len(code.indices) == -(-len(clip) * RATE_HZ // sample_rate_hz // 450)
        assert np.isfinite(wav).all()


# -- silence and modes -------------------------------------------------------------------------------------------------


def test_silence_is_what_lies_beyond_the_ends(codec):
    codes = codec.encode(np.zeros(RATE_HZ, np.float32), RATE_HZ)
    assert torch.equal(codes.indices, codec.silence.expand(54, -1))
    # a clip decodes as it would with silence after it
    wav = make_speech_like(2.0)
    codes = codec.encode(wav, RATE_HZ)
    longer = Codes(torch.cat([codes.indices, codec.silence.expand(100, -1)]), len(wav) + 100 * 450, RATE_HZ)
    np.testing.assert_allclose(codec.decode(longer)[: len(wav)], codec.decode(codes), atol=1e-4)


def test_training_mode_does_not_leak_into_codes():
    """Neither dropout nor a codebook that follows what it sees: encoding is always evaluation."""
    config = replace(NOT_LOCAL, quantizer=VQConfig(dim=16, codebook_size=8))
    codec = Codec(config).train()
    before = {name: value.clone() for name, value in codec.state_dict().items()}
    wav = make_speech_like(1.0)
    first, second = (codec.decode(codec.encode(wav, RATE_HZ)) for _ in range(2))
    codec.measure_silence()
    assert np.array_equal(first, second)
    assert all(torch.equal(value, before[name]) for name, value in codec.state_dict().items() if name != "silence")
    assert all(module.training for module in codec.modules())


@pytest.mark.parametrize("config", [TINY, NOT_LOCAL])
def test_no_stage_leaves_its_device(config):
    """On a device of shapes only (which knows no autocast), what were made on the CPU could not meet the rest."""
    codec = Codec(config).to("meta")
    wav = torch.zeros(2, 450 * 32, device="meta")
    pairs, start = torch.tensor([1, 3], device="meta"), torch.tensor([0, 64], device="meta")
    with mock.patch("torch.autocast", lambda *_, **__: nullcontext()):
        assert codec(wav, pairs, start).decoded.wav.device.type == "meta"


def test_inference_then_training():
    codec = make_codec()
    codec.decode(codec.encode(make_speech_like(0.5), RATE_HZ))
    output = codec(torch.randn(2, 450 * 32), torch.tensor([2, 4]))
    assert output.latent.shape == output.quantized.features.shape == (2, 32, 16)
    assert output.quantized.indices.shape == (2, 32, 4)
    output.decoded.wav.square().sum().backward()
    assert codec.encoder.embed.weight.grad.abs().sum() > 0


# -- codecs that are not local -----------------------------------------------------------------------------------------


def test_a_codec_that_is_not_local_sees_each_clip_whole_and_alone():
    codec = make_codec(NOT_LOCAL)
    assert not codec.is_local
    clips = [make_speech_like(seconds, seed=9) for seconds in (0.3, 1.1, 0.7)]
    together = codec.encode(clips, RATE_HZ)
    wavs = codec.decode(together)
    for clip, codes, wav in zip(clips, together, wavs, strict=True):
        assert torch.equal(codec.encode(clip, RATE_HZ).indices, codes.indices) and wav.shape == clip.shape
        padded = torch.from_numpy(np.pad(clip, (0, -len(clip) % 450))).unsqueeze(0)
        with torch.inference_mode():
            output = codec(padded, torch.tensor([3]))
        assert torch.equal(output.quantized.indices[0], codes.indices)
        np.testing.assert_allclose(output.decoded.wav[0, : len(clip)].numpy(), wav, atol=1e-6)
    assert len(torch.unique(torch.cat([codes.indices for codes in together]))) > 5  # the test is about something


def test_streams_of_a_codec_that_is_not_local_come_in_one_piece():
    codec, wav = make_codec(NOT_LOCAL), make_speech_like(1.5)
    whole = codec.encode(wav, RATE_HZ)
    with window(32):
        (indices,) = codec.encode_blocks(cut(wav, [1000]))
        (decoded,) = codec.decode_blocks(cut(indices, [7]))
    assert np.array_equal(indices, whole.indices.numpy())
    assert np.array_equal(decoded[: len(wav)], codec.decode(whole))
    assert list(codec.encode_blocks([])) == [] and list(codec.decode_blocks([])) == []


def test_compression_with_a_codec_that_is_not_local():
    codec, wav = make_codec(NOT_LOCAL), make_speech_like(1.0)
    assert np.array_equal(codec.decompress(codec.compress(wav, 16_000)), codec.decode(codec.encode(wav, 16_000)))
