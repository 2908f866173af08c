"""A codec that begins as a linear vocoder: what it knows before any training."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import make_speech_like
from small_codecs import REFINED, make_codec

from q2d2 import presets
from q2d2.codec import Codec, CodecConfig
from q2d2.train import linear_start
from q2d2.train.data import Crops, Raw, Speech


class Speakers(Speech):
    """Rows of 32 frames of many synthetic voices."""

    def __init__(self) -> None:
        super().__init__(Crops(32 * 450, 24_000, 0), 1)

    def raw_at(self, step: int) -> Raw:
        rows = [make_speech_like(0.7, seed=100 * step + row)[: 32 * 450] for row in range(4)]
        return Raw(torch.from_numpy(np.stack(rows)), torch.zeros(4).long(), torch.ones(4), torch.zeros(4, 0), ("",) * 4)


TINY = presets.TINY
CAUSAL = replace(TINY, encoder=replace(TINY.encoder, causal=True), decoder=replace(TINY.decoder, causal=True))


@pytest.fixture(scope="module", params=[TINY, CAUSAL, REFINED], ids=lambda config: config.name)
def begun(request: pytest.FixtureRequest) -> Codec:
    torch.manual_seed(0)
    codec = Codec(request.param)
    linear_start.begin(codec, Speakers())
    return codec.eval()


def error_of(codec: Codec, rate: int) -> float:
    """RMS of the log-mel error of what is decoded, on speech that nothing was fitted on, in nepers."""
    wav = Speakers().batch_at(999).wav
    with torch.no_grad():
        made = codec(wav, torch.full((4,), rate)).decoded.wav
    return (linear_start._log_mel(codec, made) - linear_start._log_mel(codec, wav)).square().mean().sqrt().item()


@pytest.mark.usefixtures("unchecked")
def test_it_knows_how_loud_what_is_before_any_training(begun: Codec) -> None:
    untrained = make_codec(TINY)
    assert error_of(begun, 4) < 0.5 * error_of(untrained, 4)


def test_every_pair_adds_to_what_is_known(begun: Codec) -> None:
    errors = [error_of(begun, rate) for rate in (1, 2, 4)]
    assert errors[0] > errors[1] > errors[2]


def test_the_first_channels_are_the_best_linear_code(begun: Codec) -> None:
    """Least squares from any two of the encoder's channels to the target do no better than from the first two."""
    wavs = [Speakers().batch_at(step).wav for step in range(12)]
    with torch.no_grad():
        bypass = begun.encoder.bypass
        seen = [begun.encoder.spectral_frames(begun.encoder.features(wav)) for wav in wavs]
        x = torch.cat([linear_start._inner(bypass(f)[..., :8]) for f in seen])
        y = torch.cat([linear_start._inner(linear_start._log_mel(begun, wav)) for wav in wavs])

    def left(channels: list[int]) -> float:
        inputs = torch.nn.functional.pad(x[:, channels], (0, 1), value=1.0)
        return (inputs @ torch.linalg.lstsq(inputs, y).solution - y).square().mean().item()

    first = left([0, 1])
    assert all(first < left([a, b]) for a, b in ((2, 3), (4, 5), (6, 7), (1, 2)))
    assert left(list(range(8))) < left(list(range(4))) < first


def test_points_are_used(begun: Codec) -> None:
    wavs = torch.cat([Speakers().batch_at(step).wav for step in range(24)])
    with torch.no_grad():
        indices = begun.quantizer(begun.encoder(wavs)).indices.flatten(0, 1)
    for pair, points in enumerate(begun.quantizer.points):
        assert len(indices[:, pair].unique()) > 0.5 * points


def test_only_where_there_are_ways_wide_enough() -> None:
    assert linear_start.is_possible(Codec(TINY))
    narrow = replace(TINY, encoder=replace(TINY.encoder, bypass=7))
    none = replace(TINY, decoder=replace(TINY.decoder, bypass=0))
    for config in (narrow, none, presets.find("tiny-paper-1k"), presets.find("tiny-base-fsq")):
        assert not linear_start.is_possible(Codec(config))


@pytest.mark.parametrize("config", [presets.SPEECH, presets.SPEECH_LIVE], ids=lambda config: config.name)
def test_the_shipped_presets_have_them(config: CodecConfig) -> None:
    with torch.device("meta"):
        assert linear_start.is_possible(Codec(config))
