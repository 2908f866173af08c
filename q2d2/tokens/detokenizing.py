"""A corpus of tokens -> audio files: short clips decoded together, long ones in windows, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from q2d2 import audio
from q2d2.codec import UNSAVED, Codec
from q2d2.console import one_line
from q2d2.folders import FolderResult
from q2d2.tokens.encoding import GATHERED_S, LONG_S
from q2d2.tokens.naming import target_names
from q2d2.tokens.reading import TokenRow, read_ids, read_tokens
from q2d2.tokens.sources import TokensError

_CHUNK = 1024  # frames of a long clip that are handed over at once


class _Target(NamedTuple):
    """A clip and the file that it becomes."""

    row: TokenRow
    path: Path


def detokenize(codec: Codec, source: Path, target: Path, suffix: str, overwrite: bool = False) -> FolderResult:
    """Every clip of a folder or a table of tokens -> an audio file below `target`, named by its id.

    Targets that exist are left alone, unless `overwrite`. Clips that cannot be decoded are listed; the rest goes on.
    """
    names = target_names(read_ids(source), suffix)
    target.mkdir(parents=True, exist_ok=True)
    failed: list[str] = []
    done = kept = 0
    gathered: list[_Target] = []
    gathered_s = 0.0
    with tqdm(total=len(names), unit="clip", delay=1, disable=None) as bar:
        for name, row in zip(names, read_tokens(source), strict=True):
            check_weights(codec, row, source)
            clip = _Target(row, target / name)
            if clip.path.exists() and not overwrite:
                kept += 1
                bar.update()
                continue
            duration_s = row.codes.num_samples / row.codes.sample_rate_hz if row.codes.sample_rate_hz > 0 else 0.0
            if duration_s > LONG_S:
                done += _write(clip, _decoded_blocks(codec, row), failed)
                bar.update()
                continue
            gathered.append(clip)
            gathered_s += duration_s
            if gathered_s >= GATHERED_S:
                done += _write_all(codec, gathered, failed)
                bar.update(len(gathered))
                gathered, gathered_s = [], 0.0
        done += _write_all(codec, gathered, failed)
        bar.update(len(gathered))
    return FolderResult(done, kept, [], failed)


def check_weights(codec: Codec, row: TokenRow, source: Path) -> None:
    """TokensError if this codec is not the one that made the row."""
    if row.weights != codec.weights and UNSAVED not in (row.weights, codec.weights):
        raise TokensError(
            f"{source}: {row.id} was made with the weights {row.weights} of {row.model}, but those loaded are "
            f"{codec.weights} of {codec.config.name}: give the model that made it (--model)"
        )


def _write_all(codec: Codec, clips: Sequence[_Target], failed: list[str]) -> int:
    """Decode clips together and write each; how many are written."""
    try:
        signals = codec.decode([clip.row.codes for clip in clips])
    except ValueError:  # one of them is no good: find out which
        return sum(_write(clip, _decoded(codec, clip.row), failed) for clip in clips)
    return sum(_write(clip, iter([signal]), failed) for clip, signal in zip(clips, signals, strict=True))


def _decoded(codec: Codec, row: TokenRow) -> Iterator[np.ndarray]:
    yield codec.decode(row.codes)


def _decoded_blocks(codec: Codec, row: TokenRow) -> Iterator[np.ndarray]:
    """The samples of a long clip, at the rate and of the length of its original."""
    indices, outer_hz, inner_hz = row.codes.indices.numpy(), row.codes.sample_rate_hz, codec.config.sample_rate_hz
    length = audio.resampled_length(row.codes.num_samples, outer_hz, inner_hz)
    if -(-length // codec.hop) != len(indices):
        raise ValueError(f"{row.codes.num_samples} samples at {outer_hz} Hz do not fit {len(indices)} frames")
    chunks = (indices[at : at + _CHUNK] for at in range(0, len(indices), _CHUNK))
    inner = audio.resample_blocks(codec.decode_blocks(chunks), inner_hz, inner_hz, length)
    yield from audio.resample_blocks(inner, inner_hz, outer_hz, row.codes.num_samples)


def _write(clip: _Target, blocks: Iterator[np.ndarray], failed: list[str]) -> int:
    """Write one file; 0, and a line in `failed`, where that is not possible."""
    codes = clip.row.codes
    try:
        clip.path.parent.mkdir(parents=True, exist_ok=True)
        with audio.Writer(clip.path, codes.sample_rate_hz, num_frames=codes.num_samples) as writer:
            for block in blocks:
                writer.write(block)
    except (ValueError, OSError) as error:
        failed.append(f"{clip.row.id}: {one_line(error)}")
        return 0
    return 1
