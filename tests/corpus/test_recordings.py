"""Reading parts of utterances: the same as reading all and cutting, whatever the format and the rate."""

import numpy as np
import pytest

from q2d2 import audio
from q2d2.corpus import Corpus, Files, PackedUtterances, Reader, Utterance


def reader(path, rate_hz=24_000) -> Reader:
    return Reader(Files([Utterance(path, "a", "b")]), rate_hz)


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("name", ["clip.wav", "clip.flac"])
def test_a_part_is_the_whole_cut(audio_file, speech_like, rate_hz, name):
    path = audio_file(speech_like(3, rate_hz), rate_hz, name)
    samples, _ = audio.read(path)
    whole = audio.resample(audio.to_mono(samples), rate_hz, 24_000)
    one = reader(path)
    assert one.samples(0) == len(whole)
    rng = np.random.default_rng(rate_hz)
    for start in (0, 1, 777, len(whole) - 5_000, *rng.integers(0, len(whole) - 5_000, 10).tolist()):
        np.testing.assert_allclose(one.read(0, start, 5_000), whole[start : start + 5_000], atol=2e-6)
    np.testing.assert_allclose(one.read(0, len(whole) - 100, 5_000), whole[-100:], atol=2e-6)
    np.testing.assert_allclose(one.crop(0, 0, 2 * len(whole)), np.tile(whole, 2), atol=2e-6)


@pytest.mark.parametrize("name", ["clip.mp3", "clip.ogg"])
def test_a_part_of_a_lossy_file_is_close(audio_file, speech_like, name):
    """A seek may land some samples away."""
    path = audio_file(speech_like(3, 44_100), 44_100, name)
    whole = audio.resample(audio.to_mono(audio.read(path)[0]), 44_100, 24_000)
    part = reader(path).read(0, 30_000, 24_000)
    lags = [np.corrcoef(part, whole[30_000 + lag :][:24_000])[0, 1] for lag in range(-700, 700, 1)]
    assert len(part) == 24_000 and max(lags) > 0.99


def test_only_what_is_needed_is_decoded(audio_file, speech_like, monkeypatch):
    path = audio_file(speech_like(4, 48_000), 48_000, "long.flac")
    one = reader(path)
    decoded = []
    part = Files.part

    def counting(self, number, start, frames):
        decoded.append(frames)
        return part(self, number, start, frames)

    monkeypatch.setattr(Files, "part", counting)
    one.read(0, 20_000, 2_400)
    assert decoded[0] < 2 * 2_400 + 2 * 0.06 * 48_000


def test_the_peak_is_of_the_mono_mean_and_is_measured_once(audio_file, monkeypatch):
    left = np.zeros(24_000, np.float32)
    left[20_000] = -0.5
    path = audio_file(np.stack([left, 0 * left], 1), 24_000)
    one = reader(path)
    assert one.peak(0) == 0.25
    path.unlink()
    assert one.peak(0) == 0.25


def test_what_cannot_be_used(audio_file, speech_like, tmp_path):
    with pytest.raises(audio.AudioError, match=r"short\.wav: lasts less than 0\.2 s"):
        reader(audio_file(speech_like(0.19), 24_000, "short.wav")).samples(0)
    with pytest.raises(audio.AudioError, match=r"mute\.wav: is silent"):
        reader(audio_file(np.full(24_000, 9e-5), 24_000, "mute.wav")).peak(0)
    for action in (lambda one: one.samples(0), lambda one: one.peak(0), lambda one: one.read(0, 0, 5)):
        with pytest.raises(audio.AudioError, match=r"no\.wav"):
            action(reader(tmp_path / "no.wav"))


def test_utterances_of_a_packed_corpus(packed_corpus):
    corpus = Corpus(packed_corpus)
    one = Reader(PackedUtterances(corpus), 24_000)
    np.testing.assert_array_equal(one.read(2, 100, 50), corpus.parts[1][100:150] / np.float32(32768))
    assert len(one.read(2, 59_990, 50)) == 10
    assert one.recordings.where(2, 7) == f"{packed_corpus}/choir-1.opus@7"
    assert (one.recordings.source(3), one.recordings.speaker(3)) == ("solo", "d")
    assert one.peak(0) == np.abs(corpus.parts[0][:].astype(int)).max() / 32768
    assert Reader(one.recordings, 16_000).samples(0) == 48_000
