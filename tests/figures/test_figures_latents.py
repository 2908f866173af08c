"""What a quantizer is given: held to the indices of the codec itself."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import make_speech_like
from small_codecs import NOT_LOCAL, TINY, make_codec

from q2d2.audio import AudioError
from q2d2.baselines import FSQConfig
from q2d2.figures import latents as subject
from q2d2.figures.latents import latents
from q2d2.quantizer import OFFICIAL


@pytest.mark.parametrize(
    "config",
    [TINY, NOT_LOCAL, replace(TINY, quantizer=replace(TINY.quantizer, variant=OFFICIAL))],
    ids=["local", "not local", "official bound"],
)
def test_indices_are_those_of_the_codec_and_of_the_grids(config, audio_file):
    codec = make_codec(config)
    wavs = [make_speech_like(seconds, seed=seed) for seed, seconds in enumerate((0.77, 0.31))]
    found = latents(codec, [audio_file(wav, name=f"{n}.wav", subtype="FLOAT") for n, wav in enumerate(wavs)])
    codes = np.concatenate([codec.encode(wav, 24_000).indices.numpy() for wav in wavs])
    assert found.z.shape == found.on_grid.shape == (len(codes), codec.quantizer.num_pairs, 2)
    # float rounding, which differs with the length of what passes through, decides between two cells here and there
    assert found.indices.shape == codes.shape and (found.indices == codes).mean() > 0.99
    assert np.abs(found.z).max() <= 1 and np.ptp(found.z) > 0.5
    for pair, grid in enumerate(found.grids):
        nearest = grid.nearest(torch.from_numpy(found.on_grid[:, pair])).indices.numpy()
        assert (nearest == found.indices[:, pair]).mean() > 0.99
    assert (found.channels[:, 2:4] == found.z[:, 1]).all()


def test_only_the_beginning_of_a_long_clip(audio_file, monkeypatch):
    monkeypatch.setattr(subject, "LONGEST_S", 0.3)
    codec = make_codec()
    assert len(latents(codec, [audio_file(make_speech_like(0.8))]).z) == -(-round(0.3 * 24_000) // codec.hop)


def test_another_sample_rate_is_resampled(audio_file):
    codec = make_codec()
    found = latents(codec, [audio_file(make_speech_like(0.5, 48_000), 48_000)])
    assert len(found.z) == -(-12_000 // codec.hop)


def test_what_has_no_grids_or_no_samples_is_refused(audio_file):
    codec = make_codec(replace(TINY, quantizer=FSQConfig(dim=16, levels=(5,) * 4)))
    with pytest.raises(ValueError, match="tiny is not Q2D2: it has no grids"):
        latents(codec, [])
    with pytest.raises(ValueError, match="no clips"):
        latents(make_codec(), [])
    with pytest.raises(AudioError, match=r"clip.wav: holds no samples"):
        latents(make_codec(), [audio_file(np.zeros(0, np.float32))])
