"""A small study on disk for every test of the listening test, made without the code that makes studies."""

from __future__ import annotations

import hashlib
from itertools import combinations
from pathlib import Path

import numpy as np

from q2d2 import audio
from q2d2.listen.protocols import REFERENCE, ProtocolName
from q2d2.listen.study import Study, Trial, audio_path, save

SAMPLE_RATE_HZ = 24_000

_WRONG = {REFERENCE: 0.0, "anchor35": 0.3}  # how much noise is added, relative to the original; a system's follows


def make_study(
    folder: Path,
    protocol: ProtocolName = "mushra",
    items: int = 3,
    systems: tuple[str, ...] = ("good", "bad"),
    duration_s: float = 1.0,
) -> Study:
    """A valid study with one training trial: noises, to which each system adds more of its own than the one before.

    MUSHRA has "anchor35" as well (a name only, nothing is filtered); CMOS studies have the first system as baseline,
    and one trial per item and other condition; "ab" one per item and pair of systems; "abx" one per item and system.
    """
    trials = [
        Trial(item, *_written(folder, item, conditions, openly=protocol == "mushra", duration_s=duration_s))
        for item in ("practice", *(f"item-{number}" for number in range(1, items + 1)))
        for conditions in _trials(protocol, systems)[: 1 if item == "practice" else None]
    ]
    study = Study(
        title="A small study",
        protocol_name=protocol,
        systems=systems,
        trials=tuple(trial for trial in trials if trial.item != "practice"),
        training=tuple(trial for trial in trials if trial.item == "practice"),
        sample_rate_hz=SAMPLE_RATE_HZ,
        study_id=f"small-{protocol}",
        baseline=systems[0] if protocol.startswith("cmos") else None,
    )
    save(study, folder)
    return study


def _trials(protocol: ProtocolName, systems: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The conditions of each trial of an item."""
    if protocol == "mushra":
        return [(*systems, REFERENCE, "anchor35")]
    if protocol == "ab":
        return list(combinations(systems, 2))
    if protocol == "abx":
        return [(REFERENCE, system) for system in systems]
    return [(systems[0], other) for other in (*systems[1:], REFERENCE)]


def _written(
    folder: Path, item: str, conditions: tuple[str, ...], *, openly: bool, duration_s: float
) -> tuple[dict[str, str], str | None]:
    """Write the sounds of a trial; their names say nothing, but are the same every time."""
    original = 0.1 * _noise(item, duration_s)
    stimuli = {}
    for place, condition in enumerate(conditions, start=1):
        level = _WRONG.get(condition, 0.1 * place)
        stimuli[condition] = _write(folder, f"{item}/{condition}/{conditions}", original, level, duration_s)
    return stimuli, _write(folder, f"{item}/open", original, 0, duration_s) if openly else None


def _write(folder: Path, what: str, original: np.ndarray, level: float, duration_s: float) -> str:
    name = f"{hashlib.sha256(what.encode()).hexdigest()[:16]}.wav"
    path = audio_path(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    audio.write(path, original + np.float32(0.1 * level) * _noise(what, duration_s), SAMPLE_RATE_HZ)
    return name


def _noise(name: str, duration_s: float) -> np.ndarray:
    """float32 [samples], the same for the same name."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).standard_normal(round(duration_s * SAMPLE_RATE_HZ)).astype(np.float32)
