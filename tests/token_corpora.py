"""The same few clips as a folder, a manifest, Parquet and tars, for the tests of tables of tokens."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
from conftest import make_speech_like
from small_codecs import assert_same_codes

from q2d2 import audio
from q2d2.codec import Codec
from q2d2.tokens.reading import read_tokens

# name, sample rate, seconds, channels: nothing that two of them share
CLIPS = [("a.wav", 24_000, 0.4, 1), ("b/c.flac", 16_000, 1.1, 2), ("b/d.ogg", 44_100, 0.3, 1), ("e.mp3", 8_000, 0.9, 1)]
BROKEN = "b/broken.wav"


def make_folder(folder: Path, clips: Sequence[tuple[str, int, float, int]] = CLIPS, broken: bool = False) -> Path:
    for seed, (name, rate_hz, duration_s, channels) in enumerate(clips):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        sides = [make_speech_like(duration_s, rate_hz, seed + 100 * side) for side in range(channels)]
        soundfile.write(path, np.stack(sides, axis=1), rate_hz)
    if broken:
        (folder / BROKEN).write_bytes(b"RIFF, but no audio")
    return folder


def names_of(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in audio.list_audio(folder)]


def as_manifest(folder: Path, manifest: Path) -> Path:
    """Every other line has an id."""
    lines = [
        {"path": str(folder / name)} | ({"id": number} if number % 2 == 0 else {})
        for number, name in enumerate(names_of(folder))
    ]
    manifest.write_text("\n".join(map(json.dumps, lines)))
    return manifest


def as_parquet(folder: Path, target: Path, rows_per_group: int = 3) -> Path:
    """As Hugging Face data sets hold audio."""
    names = names_of(folder)
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    cells = pa.array([{"bytes": (folder / name).read_bytes(), "path": name} for name in names], kind)
    target.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"text": names, "audio": cells}), target, row_group_size=rows_per_group)
    return target


def as_tars(folder: Path, target: Path, per_tar: int = 3) -> Path:
    """WebDataset: the transcript of a sample lies beside its audio."""
    target.mkdir(parents=True)
    names = names_of(folder)
    for first in range(0, len(names), per_tar):
        with tarfile.open(target / f"shard-{first:03d}.tar", "w") as tar:
            for name in names[first : first + per_tar]:
                for member, data in ((Path(name).with_suffix(".txt"), b"words"), (name, (folder / name).read_bytes())):
                    info = tarfile.TarInfo(str(member))
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
    return target


def assert_tokens(codec: Codec, folder: Path, out: Path, rate: str, ids: Sequence[str]) -> None:
    """The tables hold these ids in this order, and what `codec.encode` makes of each clip by itself."""
    rows = list(read_tokens(out))
    assert [row.id for row in rows] == list(ids)
    names = [name for name in names_of(folder) if name != BROKEN]
    assert len(rows) == len(names)
    for row, name in zip(rows, names, strict=True):
        samples, rate_hz = audio.read(folder / name)
        mono = audio.to_mono(samples)
        inner = audio.resample(mono, rate_hz, codec.config.sample_rate_hz)
        assert_same_codes(codec, inner, row.codes, codec.encode(mono, rate_hz, rate))
        assert (row.model, row.weights) == (codec.config.name, codec.weights)
