"""The weights inside the package: they load, fit their promises, and speak."""

import hashlib
import runpy
import subprocess
from pathlib import Path

import numpy as np
import pystoi
import pytest
from small_codecs import assert_same_codes

import q2d2
from q2d2 import audio, checkpoint
from q2d2.codec import Codec
from q2d2.releases import PRIORS, RELEASES, model_with_prior

MOST_PARAMETERS = {"speech": 10_100_000, "speech-live": 2_500_000}
BITS_PER_S = {
    "speech": {"1k": 1439, "3k": 4013, "7k": 7696},
    "speech-live": {"1k": 1026, "3k": 3323, "7k": 6769},
}


@pytest.fixture(scope="module", params=MOST_PARAMETERS)
def codec(request: pytest.FixtureRequest) -> Codec:
    return q2d2.load(request.param)


@pytest.fixture(scope="module")
def clip() -> tuple[np.ndarray, int]:
    samples, rate_hz = audio.read(Path(checkpoint.__file__).parent / "assets" / "clip.flac")
    return audio.to_mono(samples), rate_hz


def test_both_are_there() -> None:
    assert checkpoint.shipped() == sorted(MOST_PARAMETERS)
    assert q2d2.load().config.name == "speech"


def test_it_is_small_and_has_a_card(codec: Codec) -> None:
    folder = checkpoint.SHIPPED / codec.config.name
    assert sum(p.numel() for p in codec.parameters()) <= MOST_PARAMETERS[codec.config.name]
    assert codec.prior is None or model_with_prior(codec.prior.id) == codec.config.name
    sizes = {file.name: file.stat().st_size for file in folder.iterdir()}
    assert sizes.pop(checkpoint.PRIOR, 0) <= 1.5 * 2**20
    assert sum(sizes.values()) <= 20 * 2**20
    card = (folder / "README.md").read_text()
    for credit in ("LibriSpeech", "Apache-2.0", "CC0", "CC BY 4.0", codec.weights):
        assert credit in card


def test_its_weights_are_the_newest_version(codec: Codec) -> None:
    """Whoever changes weights adds a row to `RELEASES`, and its version to the card."""
    name = codec.config.name
    versions = {weights: release for weights, release in RELEASES.items() if release.model == name}
    assert list(versions)[-1] == codec.weights
    assert [release.version for release in versions.values()] == [str(1 + i) for i in range(len(versions))]
    *earlier, newest = versions.values()
    assert newest.package is None and all(release.package for release in earlier)
    assert (
        f"Version {newest.version}, weights `{codec.weights}`" in (checkpoint.SHIPPED / name / "README.md").read_text()
    )


def test_weights_that_were_ever_committed_are_versions(codec: Codec) -> None:
    """A row of `RELEASES` is not changed into that of other weights. A copy without history has no more to check."""
    git = ["git", "-C", str(checkpoint.SHIPPED / codec.config.name)]
    log = subprocess.run(
        [*git, "log", "--diff-filter=AM", "--format=%H", "--", checkpoint.WEIGHTS], capture_output=True, text=True
    )
    for commit in log.stdout.split():
        file = subprocess.run([*git, "show", f"{commit}:./{checkpoint.WEIGHTS}"], capture_output=True, check=True)
        assert RELEASES[hashlib.sha256(file.stdout).hexdigest()[:16]].model == codec.config.name
    log = subprocess.run(
        [*git, "log", "--diff-filter=AM", "--format=%H", "--", checkpoint.PRIOR], capture_output=True, text=True
    )
    for commit in log.stdout.split():
        file = subprocess.run([*git, "show", f"{commit}:./{checkpoint.PRIOR}"], capture_output=True, check=True)
        prior = PRIORS[hashlib.sha256(file.stdout).hexdigest()[:16]]
        assert RELEASES[prior.weights].model == codec.config.name


@pytest.mark.parametrize(("rate", "intelligible"), [("1k", 0.8), ("3k", 0.82), ("7k", 0.82)])
def test_speech_comes_back_as_speech(codec: Codec, clip, rate: str, intelligible: float) -> None:
    wav, rate_hz = clip
    bits_per_s = BITS_PER_S[codec.config.name][rate]
    data = codec.compress(wav, rate_hz, rate)
    assert abs(codec.bitrate_bps(rate) - bits_per_s) < 1
    around = len(codec.header(rate_hz, rate).to_bytes()) + 60
    assert 8 * (len(data) - around) < 1.02 * bits_per_s * len(wav) / rate_hz
    decoded = codec.decompress(data)
    assert decoded.shape == wav.shape
    assert pystoi.stoi(wav, decoded, rate_hz) > intelligible


def test_more_bits_are_heard(codec: Codec, clip) -> None:
    wav, rate_hz = clip
    heard = [pystoi.stoi(wav, codec.decode(codec.encode(wav, rate_hz, rate)), rate_hz) for rate in ("1k", "3k", "7k")]
    assert heard[1] > heard[0] + 0.02 and heard[2] > heard[1] + 0.005


def test_whole_is_chunked(codec: Codec, clip, monkeypatch: pytest.MonkeyPatch) -> None:
    wav, rate_hz = clip
    whole = codec.encode(wav, rate_hz)
    decoded = codec.decode(whole)
    monkeypatch.setattr("q2d2.clips.WINDOW", 32)  # 0.6 s
    chunked = codec.encode(wav, rate_hz)
    assert assert_same_codes(codec, wav, whole, chunked) == 0
    np.testing.assert_allclose(codec.decode(chunked), decoded, atol=1e-4, rtol=0)


def test_the_count_of_differing_codes_runs(capsys: pytest.CaptureFixture[str]) -> None:
    script = Path(__file__).parent.parent / "runs" / "same_codes.py"
    runpy.run_path(str(script))["main"](Path(checkpoint.__file__).parent / "assets")
    lines = capsys.readouterr().out.splitlines()
    names = ["one batch", "windows of 64 frames", "windows of 256 frames", "live, 20 ms and frame by frame"]
    assert [line.split(":")[0] for line in lines] == names
    assert all(" 0 of " in line for line in lines)


def test_silence_comes_back_as_silence(codec: Codec) -> None:
    for rate in codec.config.rates:
        decoded = codec.decode(codec.encode(np.zeros(24_000, np.float32), 24_000, rate))
        assert np.abs(decoded).max() < 0.01
