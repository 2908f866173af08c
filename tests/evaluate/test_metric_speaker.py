"""The speaker's voice against the package that trained the network, and what a similarity has to do."""

from __future__ import annotations

import importlib
import sys
from importlib.resources import files
from types import ModuleType

import numpy as np
import pytest
import scipy.ndimage
import soundfile

from q2d2 import audio
from q2d2.evaluate.metrics import base, speaker
from q2d2.evaluate.metrics.base import Original, heard_at

RATE_HZ = base.SAMPLE_RATE_HZ

pytestmark = pytest.mark.skipif(bool(speaker.METRIC.missing()), reason=str(speaker.METRIC.missing()))


@pytest.fixture(scope="module")
def clip() -> np.ndarray:
    samples, _ = soundfile.read(str(files("q2d2") / "assets" / "clip.flac"), dtype="float32")
    return samples


def test_embeddings_are_the_packages_own(clip: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    # What its code names and its embeddings do not need: a C package, and what scipy calls otherwise by now.
    morphology = ModuleType("scipy.ndimage.morphology")
    morphology.binary_dilation = scipy.ndimage.binary_dilation  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "scipy.ndimage.morphology", morphology)
    monkeypatch.setitem(sys.modules, "webrtcvad", ModuleType("webrtcvad"))
    package = importlib.import_module("resemblyzer")
    encoder = package.VoiceEncoder("cpu", verbose=False)
    wav = heard_at(clip, 16_000)
    # two windows with a last one that is full enough and one that is not; less than one window; quieter than -30 dB
    for signal in (wav, wav[:34_000], wav[:30_000], wav[16_000:25_000], wav / 50):
        expected = encoder.embed_utterance(package.normalize_volume(signal, -30, increase_only=True))
        np.testing.assert_allclose(speaker.embedding(signal), expected, atol=1e-5)


def test_the_identity_has_the_highest_similarity_and_noise_lowers_it(clip: np.ndarray) -> None:
    (score,) = speaker.METRIC.scores
    speech = clip[: 3 * RATE_HZ]
    noise = np.random.default_rng(0).standard_normal(len(speech))
    found = [
        speaker.METRIC.measure(Original(speech), (speech + level * noise).astype(np.float32))["speaker_similarity"]
        for level in (0.0, 0.003, 0.03)
    ]
    assert found[0] == pytest.approx(score.perfect, abs=1e-6)
    assert found[0] > found[1] > found[2] > 0


def test_a_voice_is_more_like_itself_than_like_a_higher_one(clip: np.ndarray) -> None:
    first, second = np.split(clip[: 6 * RATE_HZ], 2)
    higher = audio.resample(second, RATE_HZ, 12_800)  # taken for 16 kHz: by a third, formants and all
    voice, same, other = map(speaker.embedding, (heard_at(first, 16_000), heard_at(second, 16_000), higher))
    assert voice @ same > voice @ other


def test_a_voice_has_no_place_in_time(clip: np.ndarray) -> None:
    speech = clip[: 3 * RATE_HZ]
    late = np.concatenate([np.zeros(RATE_HZ // 200, np.float32), speech])[: len(speech)]
    assert speaker.speaker_similarity(speech, late) > 0.99
