"""What is done to one clip: read, encoded once, decoded at every rate, drawn, and written into the clip's folder.

A file is audio or `.q2d2`, as its first bytes say; of the latter there is no original, and the one rate that is in it.
Knows nothing of threads and of the web.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float32

from q2d2 import audio
from q2d2.atomic import write_whole
from q2d2.bitstream.header import MAGIC
from q2d2.codec import Codec, Codes
from q2d2.files import named
from q2d2.listen.demo import drawing
from q2d2.listen.demo.clips import Clip, Progress
from q2d2.listen.demo.limits import Limits
from q2d2.listen.demo.reading import beginning_apart
from q2d2.quantizer import Q2D2
from q2d2.resampling import check_rate

ORIGINAL = "original"
_SHOWN_PAIRS = 3  # those of the lowest rate of `speech`
_READ, _ENCODED, _DECODED = 0.1, 0.2, 0.9  # how much of the work lies behind then, roughly


class Material(NamedTuple):
    """A clip as tokens, and the files of the rates that it is decoded at."""

    original: Float32[np.ndarray, " samples"] | None
    codes: Codes  # all pairs that are there
    files: dict[str, bytes]  # rate -> `.q2d2`
    is_cut: bool


class Sound(NamedTuple):
    """Something to listen to."""

    name: str
    wav: Float32[np.ndarray, " samples"]
    file: bytes | None  # the `.q2d2` from which it was decoded


def make(codec: Codec, clip: Clip, limits: Limits, check: Callable[[], None]) -> None:
    """All of it. ValueError (AudioError, FileError) with one line for whoever sent the file.

    `check` is called between steps, and may raise to end the work.
    """

    def report(progress: Progress) -> None:
        check()
        clip.progress = progress

    report(Progress("reading", 0.0, "reading the file"))
    with clip.source.open("rb") as file:
        is_coded = file.read(len(MAGIC)) == MAGIC
    with named(clip.name):
        material = _from_tokens(codec, clip, limits) if is_coded else _from_audio(codec, clip, limits, report)
        sounds = list(_sounds(codec, material, report))
    report(Progress("encoding", _DECODED, "drawing"))
    files = {"picture.json": json.dumps(_picture(codec, clip, material, sounds), separators=(",", ":")).encode()}
    files |= {f"{sound.name}.q2d2": sound.file for sound in sounds if sound.file is not None}
    for name, data in files.items():
        write_whole(clip.folder / name, data)
    for sound in sounds:
        audio.write(clip.folder / f"{sound.name}.wav", sound.wav, material.codes.sample_rate_hz)
    check()
    clip.files = {name: clip.folder / name for name in [*files, *(f"{sound.name}.wav" for sound in sounds)]}
    clip.progress = Progress("done", 1.0, "done")


def _from_audio(codec: Codec, clip: Clip, limits: Limits, report: Callable[[Progress], None]) -> Material:
    samples = clip.folder / "samples.npy"
    recording = beginning_apart(clip.source, samples, clip.name, limits)
    samples.unlink()
    report(Progress("encoding", _READ, "encoding"))
    pairs = {rate: codec.rates[rate] for rate in clip.rates}
    codes = codec.encode(recording.wav, recording.sample_rate_hz, max(pairs.values()))
    files = {rate: codec.to_bytes(replace(codes, indices=codes.indices[:, :number])) for rate, number in pairs.items()}
    return Material(recording.wav, codes, files, recording.is_cut)


def _from_tokens(codec: Codec, clip: Clip, limits: Limits) -> Material:
    data = clip.source.read_bytes()
    reader = codec.reader(io.BytesIO(data))
    header, samples, frames = reader.header, reader.header.num_samples, reader.num_frames
    check_rate(header.sample_rate_hz)
    if not samples or not frames:
        raise ValueError("holds no frames")
    longest = limits.samples_at(header.sample_rate_hz)
    # the tokens are counted as well: a file may hold many more than its samples need
    if samples > longest or frames > 1 + limits.longest_s * codec.frame_rate_hz:
        raise ValueError(f"is longer than {longest / header.sample_rate_hz:g} s; q2d2 decode takes any length")
    indices = torch.from_numpy(np.concatenate([chunk for _, chunk in reader]))
    names = {pairs: rate for rate, pairs in codec.rates.items()}
    rate = names.get(indices.shape[1], f"{indices.shape[1]}-pairs")
    return Material(None, Codes(indices, samples, header.sample_rate_hz), {rate: data}, False)


def _sounds(codec: Codec, material: Material, report: Callable[[Progress], None]) -> Iterator[Sound]:
    """The original, where there is one, and what is decoded at each rate."""
    if material.original is not None:
        yield Sound(ORIGINAL, material.original, None)
    for number, (rate, data) in enumerate(material.files.items()):
        share = _ENCODED + (_DECODED - _ENCODED) * number / len(material.files)
        report(Progress("encoding", share, f"{rate}: decoding"))
        pairs = len(codec.reader(io.BytesIO(data)).header.points)
        yield Sound(rate, codec.decode(replace(material.codes, indices=material.codes.indices[:, :pairs])), data)


def _picture(codec: Codec, clip: Clip, material: Material, sounds: list[Sound]) -> dict[str, Any]:
    """Everything that the page shows, but for the sounds themselves."""
    codes, hz = material.codes, material.codes.sample_rate_hz
    duration_s = codes.num_samples / hz
    spectra = [drawing.power(sound.wav, hz) for sound in sounds]
    loudest = max(float(spectrum.max()) for spectrum in spectra)
    pairs = []
    if isinstance(codec.quantizer, Q2D2) and codec.quantizer.axes == 2:
        grids = codec.quantizer.grids[: min(_SHOWN_PAIRS, codes.indices.shape[1])]
        pairs = [drawing.path(grid, codes.indices[:, number].numpy()) for number, grid in enumerate(grids)]
    return {
        "name": clip.name,
        "sample_rate_hz": hz,
        "duration_s": duration_s,
        "is_cut": material.is_cut,
        "frame_rate_hz": codec.frame_rate_hz,
        "pcm_bytes": 2 * codes.num_samples,  # 16 bits, mono
        "sounds": [
            {"name": sound.name, **_size(codec, sound, duration_s), **drawing.envelope(sound.wav)}
            | {"spectrogram": drawing.levels(spectrum, loudest)}
            for sound, spectrum in zip(sounds, spectra, strict=True)
        ],
        "pairs": pairs,
    }


def _size(codec: Codec, sound: Sound, duration_s: float) -> dict[str, int | float]:
    """Bytes and bits per second of a file, header and all, and of its tokens at log2(points), without a prior."""
    if sound.file is None:
        return {}
    pairs = len(codec.reader(io.BytesIO(sound.file)).header.points)
    return {
        "bytes": len(sound.file),
        "file_bps": 8 * len(sound.file) / duration_s,
        "index_bps": codec.bitrate_bps(pairs),
    }
