"""What lies where in a folder of tokens, and what is asked to be there (`job.json`).

A shard is done when its table is there under its own name, so whatever stops a run, the same command goes on. Another
command in the same folder would mix two jobs, and is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from q2d2.atomic import write_whole
from q2d2.tokens.sources import Item, TokensError

DATA, ERRORS, JOB, CARD = "data", "errors", "job.json", "README.md"

_MUST_FIT = {
    "listing": "the list of clips",
    "pairs": "the rate (in pairs)",
    "weights": "the weights of the model",
    "shard_clips": "the clips per table",
}


@dataclass(frozen=True)
class Job:
    """What a folder of tokens is made of."""

    source: str
    listing: str  # hash of the ids and places of all clips
    clips: int
    rate: str | int | None
    pairs: int
    model: str
    weights: str
    shard_clips: int

    @property
    def num_shards(self) -> int:
        return -(-self.clips // self.shard_clips)


def table_name(number: int, total: int) -> str:
    return f"tokens-{number:05d}-of-{total:05d}.parquet"


def listing_hash(items: Sequence[Item]) -> str:
    """Changes when a clip is added, removed, renamed or moved."""
    found = hashlib.sha256()
    for item in items:
        found.update(json.dumps(item).encode() + b"\n")
    return found.hexdigest()


def begin(out: Path, job: Job, card: str) -> None:
    """Make the folder, or see that it is of this job and remove what a run that was killed has left half-written."""
    if out.exists() and not out.is_dir():
        raise TokensError(f"{out}: is a file; give a folder")
    out.mkdir(parents=True, exist_ok=True)
    sweep(out)
    if (out / JOB).exists():
        _check(out, job)
    elif any(out.iterdir()):
        raise TokensError(f"{out}: holds other files, and no {JOB} of a run to go on with; give a new folder")
    else:
        write_whole(out / JOB, TypeAdapter(Job).dump_json(job, indent=1) + b"\n")
    write_whole(out / CARD, card.encode())
    for name in (DATA, ERRORS):
        (out / name).mkdir(exist_ok=True)


def sweep(out: Path) -> None:
    """Remove temporary files."""
    for path in _temporary(out):
        path.unlink(missing_ok=True)


def read_job(out: Path) -> Job:
    try:
        return TypeAdapter(Job).validate_json((out / JOB).read_bytes(), strict=True, extra="forbid")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise TokensError(f"{out / JOB}: is no job of tokens ({where}: {first['msg']}); give a new folder") from error


def _check(out: Path, job: Job) -> None:
    there = read_job(out)
    for name, what in _MUST_FIT.items():
        old, new = getattr(there, name), getattr(job, name)
        if old != new:
            numbers = f"{there.clips} clips, {job.clips} now" if name == "listing" else f"{old}, {new} now"
            raise TokensError(
                f"{out}: was begun with another value of {what} ({numbers}); "
                "give the command that began it, or a new folder"
            )


def _temporary(out: Path) -> Iterator[Path]:
    yield from out.glob(f".{JOB}.*")
    yield from out.glob(f".{CARD}.*")
    for name in (DATA, ERRORS):
        yield from (out / name).glob(".tokens-*.parquet.*")
