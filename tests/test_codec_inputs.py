"""What the codec takes and refuses: audio of all kinds, codes, rates, and bytes of its own and of others."""

import io
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import make_speech_like
from small_codecs import LIVE_TOKENS, NOT_LOCAL, make_codec

from q2d2 import bitstream
from q2d2.codec import UNSAVED, Codec, Codes
from q2d2.presets import SPEECH_LIVE, TINY
from q2d2.quantizer import Q2D2Config
from q2d2.releases import RELEASES

RATE_HZ = 24_000


@pytest.fixture(scope="module")
def codec() -> Codec:
    return make_codec(LIVE_TOKENS)


def same(one: Codes, other: Codes) -> bool:
    return torch.equal(one.indices, other.indices) and one.num_samples == other.num_samples


# -- audio -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "convert",
    [
        torch.from_numpy,
        lambda wav: torch.from_numpy(wav).requires_grad_(),
        lambda wav: wav.astype(np.float64),
        lambda wav: torch.from_numpy(wav).double(),
        lambda wav: np.stack([wav, wav]),
        lambda wav: np.stack([2 * wav, 0 * wav]),
        lambda wav: wav[np.newaxis],
        lambda wav: np.repeat(wav, 2)[::2],
    ],
    ids=["torch", "with gradient", "float64", "torch float64", "stereo", "left only", "one channel", "strided"],
)
def test_the_same_audio_in_other_clothes(codec, convert):
    wav = make_speech_like(1.0)
    assert same(codec.encode(convert(wav), RATE_HZ), codec.encode(wav, RATE_HZ))


@pytest.mark.parametrize("kind", [np.int16, np.int32])
def test_integers_are_pcm(codec, kind):
    wav = np.round(make_speech_like(1.0) * 32768).astype(np.float32) / 32768
    pcm = (wav.astype(np.float64) * 2 ** (8 * np.dtype(kind).itemsize - 1)).astype(kind)
    assert same(codec.encode(pcm, RATE_HZ), codec.encode(wav, RATE_HZ))
    assert same(codec.encode(torch.from_numpy(pcm), RATE_HZ), codec.encode(wav, RATE_HZ))


def test_half_precision_is_taken(codec):
    wav = make_speech_like(1.0).astype(np.float16)
    assert same(codec.encode(wav, RATE_HZ), codec.encode(wav.astype(np.float32), RATE_HZ))
    rounded = torch.from_numpy(wav).bfloat16()
    assert same(codec.encode(rounded, RATE_HZ), codec.encode(rounded.float(), RATE_HZ))


def test_rates_of_numpy_are_rates(codec):
    codes = codec.encode(make_speech_like(0.5), np.int64(RATE_HZ))
    assert type(codes.sample_rate_hz) is int
    assert codec.decompress(codec.compress(make_speech_like(0.5), np.int32(16_000))).shape == (12_000,)


@pytest.mark.parametrize("peak", [0.0, 1.5, 30.0, 999.0])
def test_silence_and_clipped_audio_are_audio(codec, peak):
    """Values beyond full scale are taken as they are: what comes back is finite, and nothing is clipped twice."""
    wav = make_speech_like(1.0)
    decoded = codec.decode(codec.encode(wav / np.abs(wav).max() * peak, RATE_HZ))
    assert decoded.shape == wav.shape and np.isfinite(decoded).all()


def with_value(value: float) -> np.ndarray:
    wav = np.zeros((2, 100), np.float64)
    wav[1, 70] = value
    return wav


@pytest.mark.parametrize(
    ("wav", "message"),
    [
        (with_value(math.nan), "the clip holds NaN or infinity at sample 70"),
        (with_value(-math.inf), "the clip holds NaN or infinity at sample 70"),
        (with_value(1e300), "reaches 1e.300: full scale is 1"),
        (with_value(-20_000), "reaches 20000: full scale is 1 .divide 16-bit values by 32768"),
        (torch.from_numpy(with_value(math.nan)), "NaN or infinity at sample 70"),
        (torch.full((5,), 1e39, dtype=torch.float64), "NaN or infinity at sample 0"),  # beyond float32
        (np.zeros(0, np.float32), "the clip is empty"),
        (np.zeros((2, 0), np.float32), "the clip is empty"),
        (np.array(0.5), r"shape \(\): give \[samples\]"),
        (np.zeros((1, 1, 100), np.float32), "shape .1, 1, 100."),
        (np.zeros((100, 2), np.float32), r"shape \(100, 2\): give \[samples\] or \[channels, samples\]"),
        (np.zeros(100, np.uint8), "holds uint8: give floats within -1..1, or PCM as int16 or int32"),
        (np.zeros(100, np.int64), "holds int64"),
        (np.zeros(100, bool), "holds bool"),
        (np.zeros(100, np.complex64), "holds complex64"),
    ],
)
def test_what_is_no_audio_is_refused(codec, wav, message):
    with pytest.raises(ValueError, match=message):
        codec.encode(wav, RATE_HZ)


def test_the_bad_clip_of_a_list_is_named(codec):
    with pytest.raises(ValueError, match="clip 2 is empty"):
        codec.encode([np.zeros(5, np.float32), np.zeros(7, np.float32), np.zeros(0, np.float32)], RATE_HZ)


@pytest.mark.parametrize("sample_rate_hz", [0, -8000, 999, 10_000_000])
def test_rates_that_no_audio_has_are_refused(codec, sample_rate_hz):
    with pytest.raises(ValueError, match="is not within 1000 to 1000000 Hz"):
        codec.encode(np.zeros(100, np.float32), sample_rate_hz)


def test_blocks_are_checked_as_clips_are(codec):
    with pytest.raises(ValueError, match="NaN or infinity at sample 70"):
        list(codec.encode_blocks([np.zeros(10, np.float32), with_value(math.nan)[1].astype(np.float32)]))
    with pytest.raises(ValueError, match="full scale is 1"):
        list(codec.encode_blocks([np.full(10, 1e30, np.float32)]))


# -- rates and codes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", ["2k", "", 0, -1, 19])
def test_unknown_rates_are_refused(codec, rate):
    for use in (
        lambda: codec.encode(np.zeros(100, np.float32), RATE_HZ, rate),
        lambda: codec.compress(np.zeros(100, np.float32), RATE_HZ, rate),
        lambda: codec.bitrate_bps(rate),
        lambda: next(codec.encode_blocks([], rate), None),
    ):
        with pytest.raises(
            ValueError, match="tiny has no rate .*: give 1k or 3k or 7k or a number of pairs from 1 to 18"
        ):
            use()


def test_a_codec_without_named_rates_says_so():
    with pytest.raises(ValueError, match="not-local has no rate '1k': give a number of pairs from 1 to 3"):
        make_codec(NOT_LOCAL).num_pairs("1k")


def codes(frames: int = 2, pairs: int = 3, value: int = 0, num_samples: int = 900, rate_hz: int = RATE_HZ) -> Codes:
    return Codes(torch.full((frames, pairs), value), num_samples, rate_hz)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (codes(value=85), r"index 85 of pair 0 in frame 0 is outside 0\.\.84"),
        (codes(value=-1), "index -1 of pair 0"),
        (codes(value=10**12), "index 1000000000000"),
        (codes(pairs=0), "the codes have 0 pairs, tiny has 18"),
        (codes(pairs=19), "the codes have 19 pairs, tiny has 18"),
        (codes(frames=3), "900 samples at 24000 Hz are 2 frames, the codes have 3"),
        (codes(num_samples=901), "901 samples at 24000 Hz are 3 frames, the codes have 2"),
        (codes(frames=0, num_samples=0), "0 samples at 24000 Hz are 0 frames"),
        (codes(num_samples=-5), "-5 samples"),
        (codes(rate_hz=0), "a sample rate of 0 Hz"),
    ],
)
def test_impossible_codes_are_refused(codec, wrong, message):
    with pytest.raises(ValueError, match=message):
        codec.decode(wrong)
    with pytest.raises(ValueError, match=message):
        codec.decode([codes(), wrong])


def test_chunks_of_codes_are_checked(codec):
    good, bad = np.zeros((4, 3), np.int64), np.full((4, 3), 85)
    with pytest.raises(ValueError, match="index 85 of pair 0"):
        list(codec.decode_blocks([good, bad]))


# -- bytes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "sample_rate_hz"), [("1k", 24_000), ("3k", 16_000), ("7k", 44_100), (5, 8000)])
def test_decompressing_is_decoding(codec, rate, sample_rate_hz):
    wav = make_speech_like(2.0, sample_rate_hz)
    data = codec.compress(wav, sample_rate_hz, rate)
    decoded = codec.decompress(data)
    assert np.array_equal(decoded, codec.decode(codec.encode(wav, sample_rate_hz, rate)))
    assert decoded.shape == wav.shape and decoded.dtype == np.float32
    header = bitstream.Reader(io.BytesIO(data)).header
    assert (header.model, header.weights, header.hop) == ("tiny", UNSAVED, 450)
    assert (header.sample_rate_hz, header.codec_rate_hz, header.num_samples) == (sample_rate_hz, RATE_HZ, len(wav))
    assert len(header.points) == codec.num_pairs(rate)


@pytest.mark.parametrize("rate", ["1k", "3k", "7k"])
def test_ten_seconds_cost_two_percent_more_than_their_bits(codec, rate):
    """Header aside, and with the tokens of `speech-live`: what it costs does not depend on their values."""
    assert codec.quantizer.points == Codec(SPEECH_LIVE).quantizer.points
    data = codec.compress(make_speech_like(10.0), RATE_HZ, rate)
    header = len(codec.header(RATE_HZ, rate).to_bytes())
    frames = math.ceil(10 * RATE_HZ / 450)
    ideal_bytes = frames * sum(math.log2(n) for n in codec.quantizer.points[: codec.num_pairs(rate)]) / 8
    assert ideal_bytes < len(data) - header <= 1.02 * ideal_bytes


def test_files_of_other_codecs_are_refused(codec):
    wav = make_speech_like(0.5)
    others = [
        make_codec(TINY),  # pairs 3 and 4 have more points
        make_codec(replace(LIVE_TOKENS, quantizer=Q2D2Config(dim=16, grids=TINY.quantizer.grids[-1:] * 18))),
    ]
    for other in others:
        with pytest.raises(ValueError, match=r"written by another codec \(tiny\): load that one"):
            codec.decompress(other.compress(wav, RATE_HZ))


@pytest.mark.parametrize(
    "change", [{"hop": 320}, {"codec_rate_hz": 16_000}, {"points": (145,) * 3}, {"points": (85,) * 19}]
)
def test_headers_of_other_codecs_are_refused(codec, change):
    with pytest.raises(ValueError, match="written by another codec"):
        codec.check_header(replace(codec.header(RATE_HZ), **change))
    codec.check_header(replace(codec.header(RATE_HZ), model="another name"))


def test_files_of_other_weights_are_refused():
    one, other = make_codec(), make_codec()
    data = one.compress(make_speech_like(0.5), RATE_HZ)
    other.weights = "0123456789abcdef"
    assert len(other.decompress(data))  # unsaved weights are not told apart
    one.weights = "fedcba9876543210"
    data = one.compress(make_speech_like(0.5), RATE_HZ)
    with pytest.raises(ValueError, match="the weights fedcba9876543210 of tiny, but those loaded are 0123456789abcdef"):
        other.decompress(data)


def test_damaged_bytes_are_refused(codec):
    data = codec.compress(make_speech_like(0.5), RATE_HZ)
    for wrong in (b"", b"RIFF", data[: len(data) // 2], data[:-1], data[:-30] + bytes(30), data + b"more"):
        with pytest.raises(bitstream.BitstreamError):
            codec.decompress(wrong)


def test_a_file_without_frames_or_with_too_many_is_refused(codec):
    for frames, samples in ((0, 0), (3, 100)):
        file = io.BytesIO()
        writer = bitstream.Writer(file, codec.header(RATE_HZ))
        writer.write(np.zeros((frames, 18), np.int64))
        writer.close(samples)
        with pytest.raises(ValueError, match="holds no frames|100 samples at 24000 Hz are 1 frames, the codes have 3"):
            codec.decompress(file.getvalue())


# -- configs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (replace(TINY, encoder=replace(TINY.encoder, stride=2)), "differ in hop: 300, 450"),
        (replace(TINY, encoder=replace(TINY.encoder, dim=8)), "differ in width: 8, 16, 16"),
        (replace(TINY, decoder=replace(TINY.decoder, features=8)), "differ in width: 16, 16, 8"),
        (replace(TINY, sample_rate_hz=16_000), "differ in sample rate: 24000, 16000"),
        (replace(TINY, decoder=replace(TINY.decoder, sample_rate_hz=16_000)), "differ in sample rate: 16000, 24000"),
        (replace(TINY, decoder=replace(TINY.decoder, num_pairs=3)), "rates of up to 3 pairs, the quantizer has 4"),
        (replace(TINY, rates={"all": 5}), "the rate all has 5 pairs, the quantizer 4"),
        (replace(TINY, rates={"none": 0}), "the rate none has 0 pairs"),
    ],
)
def test_parts_that_do_not_fit_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        Codec(config)


@pytest.mark.parametrize("points", [(85,) * 3, (25,) * 5])  # of the same grids, and of others
def test_files_of_released_weights_are_refused_with_who_reads_them(points):
    codec = make_codec()
    codec.weights = "0123456789abcdef"
    for weights, release in RELEASES.items():
        header = replace(codec.header(RATE_HZ), model=release.model, weights=weights, points=points)
        with pytest.raises(ValueError) as caught:
            codec.check_header(header)
        who = f"{release.package} reads it" if release.package else f"load {release.model} to decode it"
        assert str(caught.value) == (
            f"the file was written by {release.model} version {release.version}, weights {weights}: {who}; "
            "this is tiny, weights 0123456789abcdef (no known release)"
        )
