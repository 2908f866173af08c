"""The options of `q2d2 tokenize`: what to read, what to write, with what, and by how many."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

Engine = Literal["local", "ray"]


@dataclass(frozen=True)
class TokenizeConfig:
    """One tokenisation of one corpus."""

    source: Annotated[Positional[Path], arg(metavar="IN")]
    """a folder of audio, a manifest (.jsonl, .csv, .tsv, .txt), Parquet or WebDataset tars (one, or a folder)"""
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    """the folder for the tables; the same command again goes on where it was interrupted"""
    rate: Annotated[str | None, arg(metavar="1k|3k|7k", help_behavior_hint="(default: the highest)")] = None
    """one of the model's rates, or a number of pairs"""
    model: Annotated[str | None, arg(metavar="MODEL", help_behavior_hint="(default: the shipped model)")] = None
    """speech, speech-live, a model folder or a hub id"""
    device: Annotated[str | None, arg(metavar="cpu|cuda", help_behavior_hint="(default: a GPU if there is one)")] = None
    """where to compute"""
    jobs: Annotated[int | None, arg(metavar="N", help_behavior_hint="(default: one per core; 1 on a GPU)")] = None
    """processes that work at the same time"""
    engine: Engine = "local"
    """local: processes of this machine; ray: actors of the cluster at RAY_ADDRESS, or of a Ray started here"""
    shard: Annotated[int, arg(metavar="CLIPS")] = 1000
    """clips per table; what is interrupted is done again from the last whole table on"""
    id_column: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: id, else the audio's path)")] = (
        None
    )
    """the column of a Parquet file that names the clips"""
    audio_column: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: audio)")] = None
    """the column of a Parquet file that holds the audio"""

    def __post_init__(self) -> None:
        if self.shard < 1 or (self.jobs is not None and self.jobs < 1):
            raise ValueError(f"--shard and --jobs must be at least 1, got {self.shard} and {self.jobs}")
