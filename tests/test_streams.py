"""Live streams: any pieces give what the whole gives, at the promised moment, in memory that does not grow."""

import gc
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import make_speech_like
from hypothesis import given, settings
from hypothesis import strategies as st
from small_codecs import LIVE_TOKENS, NOT_LOCAL, REFINED, assert_same_codes, make_codec

from q2d2.baselines import VQConfig
from q2d2.codec import Codec, Codes
from q2d2.decoder import HarmonicDecoder
from q2d2.encoder import SpectralEncoder
from q2d2.presets import SPEECH, SPEECH_LIVE, find
from q2d2.resampling import resampled_length

LIVE = replace(
    LIVE_TOKENS,
    name="tiny-live",
    encoder=replace(LIVE_TOKENS.encoder, causal=True),
    decoder=replace(LIVE_TOKENS.decoder, causal=True),
)
DEEP = replace(
    LIVE_TOKENS,
    encoder=replace(LIVE_TOKENS.encoder, layers=3, fine_layers=2, kernel=7, bypass=0),
    decoder=replace(LIVE_TOKENS.decoder, layers=2, fine_layers=3, kernel=5, bypass=0),
)
CODECS = {
    "tiny": make_codec(LIVE_TOKENS),
    "live": make_codec(LIVE),
    "deep": make_codec(DEEP),
    "refined": make_codec(REFINED),
}
PITCH_FIRST = replace(LIVE_TOKENS, decoder=replace(LIVE_TOKENS.decoder, layers=0, fine_layers=0))


def in_pieces(whole, sizes):
    start, turn = 0, 0
    while start < len(whole):
        yield whole[start : start + sizes[turn % len(sizes)]]
        start, turn = start + sizes[turn % len(sizes)], turn + 1


@pytest.mark.usefixtures("unchecked")
@settings(max_examples=40)
@given(
    name=st.sampled_from(sorted(CODECS)),
    sample_rate_hz=st.sampled_from([24_000, 24_000, 8000, 16_000, 44_100, 48_000]),
    rate=st.sampled_from(["1k", "3k", 5]),
    length=st.integers(1, 60_000),
    pieces=st.lists(st.integers(0, 7000), min_size=1, max_size=6).filter(sum),
    frames=st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(sum),
)
def test_pieces_of_any_size_give_what_the_whole_gives(name, sample_rate_hz, rate, length, pieces, frames):
    codec, wav = CODECS[name], make_speech_like(3.0, seed=5)[:length]
    whole = codec.encode(wav, sample_rate_hz, rate)
    with codec.streaming(rate, sample_rate_hz) as stream:
        found = [stream.push(piece) for piece in in_pieces(wav, pieces)] + [stream.flush()]
        assert stream.num_samples == length
    codes = Codes(torch.cat(found), length, sample_rate_hz)
    if sample_rate_hz == 24_000:
        assert assert_same_codes(codec, wav, whole, codes) == 0
    else:
        assert torch.equal(codes.indices, whole.indices)

    with codec.streaming_decoder(rate, sample_rate_hz) as stream:
        heard = [stream.push(piece) for piece in in_pieces(whole.indices, frames)] + [stream.flush(length)]
    decoded = np.concatenate(heard)
    assert decoded.shape == (length,) and decoded.dtype == np.float32
    np.testing.assert_allclose(decoded, codec.decode(whole), atol=1e-4)


@pytest.mark.parametrize("shape", [(2, 4000), (4000,)])
@pytest.mark.parametrize("kind", [np.float64, np.int16])
def test_takes_what_encode_takes(shape, kind):
    codec, rng = CODECS["tiny"], np.random.default_rng(0)
    wav = (rng.standard_normal(shape) * (0.1 if kind is np.float64 else 3000)).astype(kind)
    with codec.streaming("1k", 16_000) as stream:
        found = torch.cat(
            [stream.push(wav[..., :1234]), stream.push(torch.from_numpy(wav[..., 1234:])), stream.flush()]
        )
    assert torch.equal(found, codec.encode(wav, 16_000, "1k").indices)


def test_a_stream_teaches_a_codebook_nothing():
    """Of a codec in training mode, whose codebook follows what it sees."""
    codec = Codec(replace(find("base-vq"), quantizer=VQConfig(dim=160, codebook_size=64))).train()
    before = {name: value.clone() for name, value in codec.state_dict().items()}
    wav = make_speech_like(0.5)
    with codec.streaming() as stream:
        found = torch.cat([stream.push(wav), stream.flush()])
    assert torch.equal(found, codec.encode(wav, 24_000).indices)
    assert all(torch.equal(value, before[name]) for name, value in codec.state_dict().items())


# -- when --------------------------------------------------------------------------------------------------------------


def longest_wait(codec: Codec, frames: int) -> int:
    """The most samples from one's going in to its coming out, one at a time, at the codec's own rate."""
    encoder, decoder = codec.streaming(), codec.streaming_decoder()
    out, worst = 0, 0
    for sample in range(frames * codec.hop):
        indices = encoder.push(np.zeros(1, np.float32))
        if len(indices):
            heard = len(decoder.push(indices))
            if heard:
                worst = max(worst, sample + 1 - out)  # for the first of them, which has waited longest
                out += heard
    assert out > 4 * codec.hop
    return worst


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("config", [LIVE_TOKENS, LIVE, DEEP, PITCH_FIRST], ids=lambda config: config.name)
def test_latency_is_what_the_model_says(config):
    codec = make_codec(config)
    frames = codec.encoder.context.after + codec.decoder.context.after + 12
    assert longest_wait(codec, frames) == round(codec.latency_s * 24_000)


def test_the_live_preset_looks_at_most_one_frame_ahead():
    encoder, decoder = SpectralEncoder(SPEECH_LIVE.encoder), HarmonicDecoder(SPEECH_LIVE.decoder)
    assert encoder.reach_samples.after + decoder.look_ahead_samples <= encoder.hop
    assert make_codec(LIVE).latency_s == 0.0375  # a frame, and the one after it
    ahead = SpectralEncoder(SPEECH.encoder).reach_samples.after + HarmonicDecoder(SPEECH.decoder).look_ahead_samples
    assert ahead == 11_520  # 480 ms


def test_the_end_may_lie_anywhere_in_the_last_frame():
    """Nothing is sent that `flush` might have to take back."""
    codec = CODECS["live"]
    for length in (450 * 6 + 1, 450 * 6 + 44, 450 * 7):
        codes = codec.encode(make_speech_like(1.0)[:length], 24_000, "1k")
        stream = codec.streaming_decoder("1k")
        sent = len(stream.push(codes.indices))
        assert sent <= 450 * 6 and sent + len(stream.flush(length)) == length


# -- memory ------------------------------------------------------------------------------------------------------------


def state_bytes(stream: object) -> int:
    """Of all tensors and arrays that a stream keeps and its codec does not."""
    seen: dict[int, int] = {}
    owned = {id(value) for value in [*CODECS["tiny"].parameters(), *CODECS["tiny"].buffers()]}
    todo: list[object] = [stream]
    while todo:
        value = todo.pop()
        if id(value) in seen or id(value) in owned:
            continue
        seen[id(value)] = 0
        if isinstance(value, torch.Tensor):
            seen[id(value)] = value.untyped_storage().nbytes()
        elif isinstance(value, np.ndarray):
            seen[id(value)] = (value if value.base is None else value.base).nbytes
        elif isinstance(value, list | tuple):
            todo += value
        elif type(value).__module__.startswith(("q2d2.streams", "q2d2.excitation")):
            todo += vars(value).values()
    return sum(seen.values())


@pytest.mark.usefixtures("unchecked")
def test_state_is_bounded_however_long_the_stream_and_its_pieces():
    codec = CODECS["tiny"]
    encoder, decoder = codec.streaming("1k"), codec.streaming_decoder("1k")
    sizes = set()
    for turn in range(10):
        piece = make_speech_like(4.0 if turn % 5 == 4 else 0.1, seed=turn)
        decoder.push(encoder.push(piece))
        gc.collect()
        sizes.add((state_bytes(encoder), state_bytes(decoder)))
    assert max(one for one, _ in sizes) < 40_000 and max(other for _, other in sizes) < 40_000
    assert min(min(both) for both in sizes) > 1000  # something was found


# -- misuse ------------------------------------------------------------------------------------------------------------


def test_streams_end_once():
    codec = CODECS["tiny"]
    with codec.streaming("1k") as stream:
        stream.push(np.zeros(10, np.float32))
        assert len(stream.flush()) == 1
        for again in (stream.flush, lambda: stream.push(np.zeros(10, np.float32))):
            with pytest.raises(ValueError, match="has ended"):
                again()
    with codec.streaming_decoder("1k") as stream:
        pass
    with pytest.raises(ValueError, match="has ended"):
        stream.push(np.zeros((1, 3), np.int64))


def test_nothing_in_nothing_out():
    codec = CODECS["tiny"]
    for rate_hz in (24_000, 8000):
        assert codec.streaming("1k", rate_hz).flush().shape == (0, 3)
        assert codec.streaming_decoder("1k", rate_hz).flush(0).shape == (0,)


def test_what_does_not_fit_is_refused():
    codec = CODECS["tiny"]
    stream = codec.streaming_decoder("1k")
    with pytest.raises(ValueError, match=r"takes \[frames, 3\]"):
        stream.push(np.zeros((2, 4), np.int64))
    with pytest.raises(ValueError, match="index 85 of pair 2 in frame 1 is outside 0..84"):
        stream.push(np.array([[0, 0, 0], [0, 0, 85]]))
    stream.push(np.zeros((2, 3), np.int64))
    with pytest.raises(ValueError, match="1000 samples at 24000 Hz are not 2 frames"):
        stream.flush(1000)
    assert len(stream.flush(resampled_length(900, 24_000, 24_000))) == 900  # an error leaves it open
    with pytest.raises(ValueError, match="NaN"):
        codec.streaming().push(np.full(3, np.nan, np.float32))
    with pytest.raises(ValueError, match="no rate '2k'"):
        codec.streaming("2k")
    with pytest.raises(ValueError, match="a sample rate of 0 Hz"):
        codec.streaming("1k", 0)


def test_a_codec_that_sees_the_whole_clip_says_so():
    codec = make_codec(NOT_LOCAL)
    for begin in (codec.streaming, codec.streaming_decoder):
        with pytest.raises(ValueError, match="not-local sees the whole signal at once and cannot stream"):
            begin()
    assert codec.latency_s is None
