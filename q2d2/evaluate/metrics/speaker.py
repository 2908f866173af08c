"""Speaker similarity: the cosine between the voices of two signals, as Resemblyzer's network hears them; 1 is the same.

The network is GE2E's (Wan et al. 2018): three LSTMs over mel spectra of 1.6 s, a direction in 256 dimensions. Only the
weights are the package's, read from where it is installed: importing it needs a C package, webrtcvad, with which it
shortens pauses first. Pauses stay in here, in both signals alike, so numbers differ a little from the package's own.
Its directions have no negative parts: two sentences of one speaker have 0.75 to 0.94, two strangers 0.4 to 0.65, not 0
(5 to 95 % of the pairs in our development clips).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from q2d2.evaluate.metrics.base import (
    SAMPLE_RATE_HZ,
    Metric,
    MissingExtraError,
    Original,
    Score,
    Signal,
    UndefinedError,
    heard_at,
    install,
    needs,
    package,
    require_sound,
)

RATE_HZ = 16_000
SHORTEST_S = 0.5  # of the 1.6 s of a window, the rest of which would be zeros

_HOP, _FRAME, _MELS = 160, 400, 40  # samples, samples, bands
_WINDOW, _STEP = 160, 77  # frames: 1.6 s, 1.3 times a second
_LEAST = 0.75  # of a last window
_QUIETEST = 10 ** (-30 / 20)  # root mean square of full scale, to which quieter signals are raised
_SIZE = 256


class VoiceEncoder(nn.Module):
    """Power mel spectra -> unit vectors, one a window."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(_MELS, _SIZE, num_layers=3, batch_first=True)
        self.linear = nn.Linear(_SIZE, _SIZE)

    def forward(self, mels: Float32[Tensor, "windows frames mels"]) -> Float32[Tensor, "windows size"]:
        _, (hidden, _) = self.lstm(mels)
        return nn.functional.normalize(torch.relu(self.linear(hidden[-1])), dim=1)


def speaker_similarity(reference: Signal, decoded: Signal) -> float:
    """Cosine between the embeddings of two signals: 0 to 1."""
    require_sound(reference, decoded)
    if len(reference) < SHORTEST_S * SAMPLE_RATE_HZ:
        raise UndefinedError(f"less than {SHORTEST_S} s long")
    return float(_embedding_of_original(reference.tobytes()) @ embedding(heard_at(decoded, RATE_HZ)))


def embedding(wav: Float32[np.ndarray, " samples"]) -> Float32[np.ndarray, " size"]:
    """The voice in a signal at 16 kHz that is not silent: the direction of the mean over windows of 1.6 s."""
    librosa = package("librosa")
    level = float(np.sqrt(np.mean(wav.astype(np.float64) ** 2)))
    starts = _window_starts(len(wav))
    end = (starts[-1] + _WINDOW) * _HOP
    loud = np.pad(wav * np.float32(max(1.0, _QUIETEST / level)), (0, max(0, end - len(wav))))
    mel = librosa.feature.melspectrogram(y=loud, sr=RATE_HZ, n_fft=_FRAME, hop_length=_HOP, n_mels=_MELS).T
    with torch.inference_mode():
        voices = _network()(torch.from_numpy(np.stack([mel[start : start + _WINDOW] for start in starts])))
        return nn.functional.normalize(voices.mean(0), dim=0).numpy()


def _window_starts(num_samples: int) -> range:
    """Frames at which windows begin. The last may reach beyond the end, if a quarter of it at most or it is alone."""
    num_frames = num_samples // _HOP + 1
    starts = range(0, max(1, num_frames - _WINDOW + _STEP + 1), _STEP)
    last = num_samples / _HOP - starts[-1]
    return starts[:-1] if len(starts) > 1 and last < _LEAST * _WINDOW else starts


@lru_cache(maxsize=2)  # an evaluation goes through all systems with one original
def _embedding_of_original(samples: bytes) -> Float32[np.ndarray, " size"]:
    return embedding(heard_at(np.frombuffer(samples, np.float32), RATE_HZ))


@lru_cache(maxsize=1)
def _network() -> VoiceEncoder:
    spec = find_spec("resemblyzer")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(_missing())
    saved = torch.load(Path(spec.submodule_search_locations[0]) / "pretrained.pt", "cpu", weights_only=True)
    network = VoiceEncoder()
    # the rest are two scalars of the training loss
    network.load_state_dict({name: saved["model_state"][name] for name in network.state_dict()})
    return network.eval()


def _measure(original: Original, decoded: Signal) -> Mapping[str, float]:
    return {"speaker_similarity": speaker_similarity(original.samples, decoded)}


_missing = needs("resemblyzer", "librosa", how=f"{install('evaluate')} and pip install --no-deps resemblyzer==0.1.4")
METRIC = Metric(
    "speaker_similarity",
    (Score("speaker_similarity", "Speaker similarity", 3, perfect=1.0),),
    _measure,
    "Cosine of GE2E speaker embeddings (Wan et al. 2018; Resemblyzer's weights), both signals at 16 kHz, with pauses.",
    _missing,
)
