"""What every test shares: the speech-like signal, audio files in a temporary folder, and determinism."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import jaxtyping
import numpy as np
import pytest
import soundfile
import torch

if TYPE_CHECKING:
    from q2d2.codec import Codec

# Equal results from run to run: examples depend on hypothesis' seed, float sums on the number of threads (below).
hypothesis.settings.register_profile("q2d2", deadline=None, derandomize=True)
hypothesis.settings.load_profile("q2d2")

# What takes long comes first, so that all cores end together; what measures time, beside what uses one core only.
FIRST = (
    "test_overfit.py",
    "test_onnx_export.py",
    "test_budgets_are_kept.py",
    "test_streams.py",
    "test_codec.py",
    "test_trainer.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: order.get(item.path.name, len(FIRST)))


SpeechLike = Callable[..., np.ndarray]
AudioFile = Callable[..., Path]


def make_speech_like(duration_s: float = 2.0, sample_rate_hz: int = 24_000, seed: int = 0) -> np.ndarray:
    """float32 [samples] with what a speech codec meets: voiced syllables of moving pitch, fricatives, pauses.

    The pitch drifts through a sentence with vibrato on top; harmonics (below the Nyquist rate) fall off and
    are shaped by two moving formants; each syllable is voiced, noisy or silent, over a faint noise floor.
    """
    rng = np.random.default_rng(seed)
    num_samples = round(duration_s * sample_rate_hz)
    time_s = np.arange(num_samples) / sample_rate_hz
    pitch_hz = rng.uniform(95, 220) * 2 ** (
        0.25 * np.sin(2 * np.pi * 0.4 * time_s + rng.uniform(0, 6)) + 0.02 * np.sin(2 * np.pi * 5.5 * time_s)
    )
    phase = 2 * np.pi * np.cumsum(pitch_hz) / sample_rate_hz
    formants_hz = [
        base * 2 ** (0.5 * np.sin(2 * np.pi * rate * time_s + rng.uniform(0, 6)))
        for base, rate in ((550, 1.3), (1600, 0.9))
    ]
    voice = np.zeros(num_samples)
    for harmonic in range(1, 25):
        frequency_hz = harmonic * pitch_hz
        gain = 0.02 / harmonic + sum(np.exp(-(((frequency_hz - f) / 250) ** 2)) for f in formants_hz) / harmonic**0.5
        voice += np.where(frequency_hz < 0.45 * sample_rate_hz, gain, 0) * np.sin(harmonic * phase)
    hiss = np.diff(rng.standard_normal(num_samples + 1))  # brighter than white, as fricatives are

    voiced, noisy = np.zeros(num_samples), np.zeros(num_samples)
    start = 0
    while start < num_samples:
        length = min(round(rng.uniform(0.08, 0.3) * sample_rate_hz) + 1, num_samples - start)
        envelope = np.sin(np.pi * (np.arange(length) + 0.5) / length) ** 0.5 * rng.uniform(0.3, 1)
        kind = rng.choice(["voiced", "noisy", "pause"], p=[0.6, 0.2, 0.2])
        if kind != "pause":
            (voiced if kind == "voiced" else noisy)[start : start + length] = envelope
        start += length
    signal = 0.2 * voiced * voice + 0.03 * noisy * hiss + 2e-4 * rng.standard_normal(num_samples)
    return np.clip(signal, -0.95, 0.95).astype(np.float32)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Float sums depend on the number of threads, and what some tests run sets it for the whole process."""
    torch.set_num_threads(1)


@pytest.fixture
def unchecked() -> Iterator[None]:
    """For tests that call the same few functions many thousand times: checking types would take as long as they do."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def speech_like() -> SpeechLike:
    """`speech_like(duration_s=2.0, sample_rate_hz=24_000, seed=0)` -> float32 [samples]."""
    return make_speech_like


@pytest.fixture
def audio_file(tmp_path: Path) -> AudioFile:
    """`audio_file(samples, sample_rate_hz, name="clip.wav", **how soundfile writes it)` -> its path."""

    def make(samples: np.ndarray, sample_rate_hz: int = 24_000, name: str = "clip.wav", **how: object) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, sample_rate_hz, **how)
        return path

    return make


@pytest.fixture(scope="session")
def one_packed_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed") / "corpus"
    (folder / "empty").mkdir(parents=True)
    index = []
    for number, (source, speakers) in enumerate([("choir", ["a", "b"]), ("choir", ["c"]), ("solo", ["d"])]):
        samples = make_speech_like(3.0 - 0.5 * number, seed=number)
        file = f"{source}-{number}.opus"
        soundfile.write(folder / file, samples, 24_000, format="OGG", subtype="OPUS")
        utterances = [{"start": 0, "samples": len(samples), "speaker": s, "recorded_hz": 24_000} for s in speakers]
        part = {"file": file, "source": source, "licence": "CC0", "sample_rate_hz": 24_000, "samples": len(samples)}
        index.append(part | {"utterances": utterances})
    (folder / "index.json").write_text(json.dumps(index))
    return folder


@pytest.fixture
def packed_corpus(one_packed_corpus: Path, tmp_path: Path) -> Path:
    """A packed corpus of two sources and three parts, and an empty folder in it; a copy, which the test may spoil."""
    return Path(shutil.copytree(one_packed_corpus, tmp_path / "corpus"))


@pytest.fixture(scope="session")
def small_codec() -> "Codec":
    """All pairs and rates of `speech`, networks of a few thousand weights."""
    from small_codecs import LIVE_TOKENS, make_codec  # not before types are checked in what it imports

    return make_codec(LIVE_TOKENS)


@pytest.fixture(scope="session")
def graphs(small_codec: "Codec", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with its ONNX graphs, for every test of them: exporting takes ten seconds and more."""
    pytest.importorskip("onnxscript", reason="needs onnx, onnxscript and onnxruntime: pip install 'q2d2[onnx]'")
    pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'q2d2[onnx]'")
    from q2d2.onnx_export import export

    folder = tmp_path_factory.mktemp("graphs") / "model"
    export(small_codec, folder)
    return folder


@pytest.fixture(scope="session")
def model(small_codec: "Codec", tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same codec as a model folder."""
    from q2d2 import checkpoint

    folder = tmp_path_factory.mktemp("model")
    checkpoint.save(small_codec, folder)
    return str(folder)
