"""Clips -> one vector each: the mean over time of what a codec makes of them, and of a mel spectrum to compare with.

Quantized embeddings are what the decoder gets (`indices_to_features`), at each rate. `unquantized` is what the encoder
gives, so the difference is what quantizing costs; `mel` is what no codec is needed for.

As the protocol wants it, each clip is cut to the set's length or filled up with silence, and the mean is taken over all
of it. A clip that fills a share s of the length gives s * (mean of its own frames) + (1 - s) * (silence): short clips
lie closer together, and their length itself becomes something that a probe can read.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor
from tqdm import tqdm

from q2d2 import audio
from q2d2.atomic import write_whole
from q2d2.clips import batch_frames
from q2d2.codec import Codec
from q2d2.probe.labelled import Clip
from q2d2.signals import check_signal
from q2d2.spectral import mel_filters, stft_same

MELS, N_FFT, MEL_HOP = 80, 1024, 256  # at 24 kHz: 43 ms, every 11 ms
CLIPS_PER_FILE = 128  # what an interrupted run loses at most
_MARGIN_S = 0.05  # read beyond a cut: longer than the resampler's filter, so that the cut does not show


class Representation(NamedTuple):
    """One kind of vector, and its place among the columns of all of them."""

    name: str
    columns: slice
    bitrate_bps: float | None = None  # of what is quantized


class Embedded(NamedTuple):
    """The vectors of all clips; a row of NaN for a clip that cannot be used, and why, by its number."""

    vectors: Float32[np.ndarray, "clips columns"]
    unusable: dict[int, str]


class Embedder:
    """wav [batch samples] at the codec's rate -> vectors [batch columns], all representations side by side."""

    def __init__(self, codec: Codec, rates: Sequence[str | None]) -> None:
        self.codec = codec
        self._pairs = [codec.num_pairs(rate) for rate in rates]
        dim = codec.quantizer.dim
        names = [codec.config.name if rate is None else f"{codec.config.name} {rate}" for rate in rates]
        bitrates = [codec.bitrate_bps(rate) for rate in rates]
        self.representations = [
            Representation(name, slice(i * dim, (i + 1) * dim), bps)
            for i, (name, bps) in enumerate(zip(names, bitrates, strict=True))
        ]
        first = len(rates) * dim
        self.representations += [
            Representation("unquantized", slice(first, first + dim)),
            Representation("mel", slice(first + dim, first + dim + MELS)),
        ]

    @property
    def columns(self) -> int:
        return self.representations[-1].columns.stop

    @torch.inference_mode()
    def __call__(self, wav: Float32[Tensor, "batch samples"]) -> Float32[Tensor, "batch columns"]:
        hop, (before, after) = self.codec.hop, self.codec.encoder.context or (0, 0)
        # as `Codec.encode` does: silence around the signal, and whole frames
        around = torch.nn.functional.pad(wav, (before * hop, -wav.shape[1] % hop + after * hop))
        latent = self.codec.encoder(around)
        latent = latent[:, before : latent.shape[1] - after]
        indices = self.codec.quantizer(latent).indices
        kinds = [self.codec.quantizer.indices_to_features(indices[..., :pairs]) for pairs in self._pairs]
        return torch.cat([kind.mean(1) for kind in [*kinds, latent, self._mel(wav)]], dim=1).float()

    def _mel(self, wav: Float32[Tensor, "batch samples"]) -> Float32[Tensor, "batch frames mels"]:
        """Natural logarithm of the magnitudes in 80 bands, scaled to about -1 to 1 as the codec's own features are."""
        filters = mel_filters(self.codec.config.sample_rate_hz, N_FFT, MELS).to(wav.device)
        magnitude = stft_same(wav, N_FFT, MEL_HOP).abs() @ filters / (N_FFT / 4)
        return (torch.log(magnitude + 1e-4) + 6) / 2


def load(clip: Clip, sample_rate_hz: int, max_s: float) -> Float32[np.ndarray, " samples"]:
    """The clip, mono, at this rate, cut to `max_s` or filled up with zeros to it; AudioError if it cannot be read."""
    with audio.open_blocks(clip.path) as blocks:
        wanted_s = max_s + _MARGIN_S if clip.duration_s is None else min(max_s + _MARGIN_S, clip.duration_s)
        from_hz = blocks.sample_rate_hz
        parts = [audio.to_mono(b) for b in blocks.part(round(clip.start_s * from_hz), math.ceil(wanted_s * from_hz))]
    if not parts:
        raise audio.AudioError(f"{clip.path}: holds no samples at {clip.start_s:g} s; correct its start and duration")
    wav = np.concatenate(parts)
    check_signal(wav, str(clip.path))
    return audio.resample(wav, from_hz, sample_rate_hz, round(max_s * sample_rate_hz))


def embed(clips: Sequence[Clip], embedder: Embedder, max_s: float, cache: Path) -> Embedded:
    """The vectors of all clips, kept in the folder `cache` by some clips a file: what is there is not made again.

    A file's name is a hash of the weights, the length, and its clips with their sizes and times: what changes gets
    another. Clips that could not be read are tried again.
    """
    cache.mkdir(parents=True, exist_ok=True)
    vectors = np.full((len(clips), embedder.columns), np.nan, np.float32)
    unusable: dict[int, str] = {}
    with tqdm(total=len(clips), desc="embedding", unit="clip", disable=None) as progress:
        for first in range(0, len(clips), CLIPS_PER_FILE):
            some = clips[first : first + CLIPS_PER_FILE]
            rows = vectors[first : first + CLIPS_PER_FILE]
            path = cache / f"{_key(some, embedder, max_s)}.npy"
            _restore(path, rows)
            todo = np.flatnonzero(np.isnan(rows[:, 0])).tolist()
            progress.update(len(some) - len(todo))
            for batch in _batches(todo, embedder.codec, max_s):
                failed = _fill(rows, some, batch, embedder, max_s)
                unusable.update({first + number: why for number, why in failed.items()})
                progress.update(len(batch))
            if todo and not np.isnan(rows).all():
                file = io.BytesIO()
                np.save(file, rows, allow_pickle=False)
                write_whole(path, file.getvalue())
    return Embedded(vectors, unusable)


def _batches(numbers: list[int], codec: Codec, max_s: float) -> list[list[int]]:
    """As many clips at a time as the codec's own windows hold frames."""
    size = max(1, batch_frames(codec.silence.device) // math.ceil(max_s * codec.frame_rate_hz))
    return [numbers[first : first + size] for first in range(0, len(numbers), size)]


def _fill(
    rows: Float32[np.ndarray, "clips columns"],
    clips: Sequence[Clip],
    numbers: Sequence[int],
    embedder: Embedder,
    max_s: float,
) -> dict[int, str]:
    """Put the vectors of these clips into their rows; why it could not be done, by number."""
    wavs, failed = {}, {}
    for number in numbers:
        try:
            wavs[number] = load(clips[number], embedder.codec.config.sample_rate_hz, max_s)
        except ValueError as error:
            failed[number] = str(error)
    if wavs:
        batch = torch.from_numpy(np.stack(list(wavs.values()))).to(embedder.codec.silence.device)
        rows[list(wavs)] = embedder(batch).cpu().numpy()
    return failed


def _restore(path: Path, rows: Float32[np.ndarray, "clips columns"]) -> None:
    """Fill the rows from a file of an earlier run, if there is a whole one."""
    try:
        stored = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return
    if stored.shape == rows.shape and stored.dtype == rows.dtype:
        rows[:] = stored


def _key(clips: Sequence[Clip], embedder: Embedder, max_s: float) -> str:
    codec = embedder.codec
    names = [kind.name for kind in embedder.representations]
    files = [[str(clip.path), clip.start_s, clip.duration_s, *_state(clip.path)] for clip in clips]
    said = json.dumps([codec.config.name, codec.weights, names, max_s, files])
    return hashlib.sha256(said.encode()).hexdigest()[:24]


def _state(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns
