"""A study as a folder: study.json says what is heard, audio/ holds it under names that say nothing, key signs links.

What a listener does is not in here but in a database (`store`), by default ratings.db in the same folder.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import URL

from q2d2.atomic import write_whole
from q2d2.listen.protocols import PROTOCOLS, Protocol, ProtocolName
from q2d2.opening import FileError

_FILE, _KEY, _AUDIO, _DATABASE = "study.json", "key", "audio", "ratings.db"
_VERSION = 1
_KEY_LENGTH = 64


@dataclass(frozen=True)
class Trial:
    """One page: an utterance in several versions, in the study's order; a listener's is in `planning`.

    MUSHRA: every system, the hidden reference and the anchors. Pairs: two, of which a score above 0 prefers the second;
    in a CMOS study the first is the baseline.
    """

    item: str  # the utterance's name, which no listener sees
    stimuli: dict[str, str]  # condition (a system, "reference" or an anchor) -> file name in audio/
    reference: str | None = None  # the file that is openly the original; equal to that of the hidden one


@dataclass(frozen=True)
class Study:
    """What is heard, and how it is asked."""

    title: str
    protocol_name: ProtocolName
    systems: tuple[str, ...]  # in the order in which they were given, without reference and anchors
    trials: tuple[Trial, ...]
    training: tuple[Trial, ...]  # heard before, and not rated
    sample_rate_hz: int
    study_id: str  # random: the listeners' orders follow from it, so none of them should know it
    baseline: str | None = None  # the condition with which a CMOS study compares all others
    version: int = _VERSION

    @property
    def protocol(self) -> Protocol:
        return PROTOCOLS[self.protocol_name]


def save(study: Study, folder: Path) -> None:
    """Write study.json and, if there is none, a key. The audio is there already."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / _KEY).exists():
        file = os.open(folder / _KEY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(file, "wb") as key_file:
            key_file.write(secrets.token_hex(_KEY_LENGTH // 2).encode())
    write_whole(folder / _FILE, TypeAdapter(Study).dump_json(study, indent=2) + b"\n")


def load(folder: Path) -> Study:
    """Read study.json; FileError for a folder that holds no study."""
    try:
        data = (folder / _FILE).read_bytes()
    except OSError as error:
        hint = "q2d2 listen create makes a study"
        raise FileError(f"{folder}: holds no study ({_FILE}: {error.strerror}); {hint}") from error
    try:
        study = TypeAdapter(Study).validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise FileError(f"{folder / _FILE}: is not a study ({place}: {first['msg']})") from error
    if study.version != _VERSION:
        raise FileError(f"{folder / _FILE}: has version {study.version}, this q2d2 reads version {_VERSION}: update it")
    return study


def key(folder: Path) -> str:
    """What signs the listeners' links; FileError where it is missing or cut off."""
    try:
        found = (folder / _KEY).read_text()
    except OSError as error:
        raise FileError(f"{folder / _KEY}: cannot be read ({error.strerror}); links are signed with it") from error
    if len(found) != _KEY_LENGTH:
        raise FileError(f"{folder / _KEY}: is damaged, and anybody could sign links with it; copy the whole study")
    return found


def audio_path(folder: Path, file: str) -> Path:
    """Where a stimulus lies; ValueError for a name that leaves the folder."""
    if Path(file).name != file or file in ("", ".", ".."):
        raise ValueError(f"{file!r} is no name of a stimulus")
    return folder / _AUDIO / file


def database_url(folder: Path) -> str:
    """Where ratings are kept unless somebody says otherwise."""
    path = str((folder / _DATABASE).resolve())
    return URL.create("sqlite", database=path).render_as_string()  # a folder's name may have ? or % in it
