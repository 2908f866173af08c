"""One item: its files -> the sounds of its conditions, mono, of one rate, length and loudness; and what was noticed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from q2d2 import audio
from q2d2.audio import AudioError
from q2d2.console import UsageError
from q2d2.listen.protocols import ANCHORS, REFERENCE
from q2d2.listen.stimuli.anchors import check_rate, low_pass
from q2d2.listen.stimuli.levels import FULL_SCALE, PEAK, Sounds, equally_loud, lowered
from q2d2.listen.stimuli.lining_up import Timing, lined_up
from q2d2.listen.stimuli.matching import Item

LOWEST_RATE_HZ = 8000
HARDLY_LESS = 10 ** (-35 / 20)  # an anchor that is as near to its reference is heard as the reference
LONGEST_S = 12.0  # BS.1534-3: about 10 s, and 12 s at most


@dataclass(frozen=True)
class Preparation:
    """What is done to files."""

    sample_rate_hz: int  # of the study
    timing: Timing = "check"  # what is done with sounds that lag, as in `lined_up`
    keep_levels: bool = False  # whether loudness stays as it is

    def __post_init__(self) -> None:
        if self.sample_rate_hz < LOWEST_RATE_HZ:
            raise UsageError(f"a study of {self.sample_rate_hz} Hz is none; give {LOWEST_RATE_HZ} Hz or more")


class Remark(NamedTuple):
    """Something about a file that its owner should know."""

    file: Path
    what: str  # the same words for the same thing


class Prepared(NamedTuple):
    """The sounds of an item."""

    sounds: Sounds  # condition -> float32 [samples], all of one length; the reference is always among them
    remarks: list[Remark]


def prepared(item: Item, anchors: Iterable[str], preparation: Preparation) -> Prepared:
    """Read, line up, filter and level. AudioError for files that are damaged or do not line up."""
    rate_hz = preparation.sample_rate_hz
    remarks: list[Remark] = []
    reference, own_hz = _read(item.reference, rate_hz, remarks)
    if len(reference) > LONGEST_S * rate_hz:
        remarks.append(
            Remark(item.reference, f"is longer than {LONGEST_S:g} s; ITU-R BS.1534 recommends about 10 s, 12 at most")
        )
    sounds: Sounds = {REFERENCE: reference}
    for system, path in item.systems.items():
        sound, _ = _read(path, rate_hz, remarks)
        sounds[system], shift = lined_up(reference, sound, rate_hz, str(path), preparation.timing)
        if shift:
            remarks.append(Remark(path, "did not line up with its reference, and has been shifted"))
        if same := [other for other in sounds if other != system and np.array_equal(sounds[other], sounds[system])]:
            remarks.append(Remark(path, f"is exactly the same sound as {same[0]}"))
    for anchor in anchors:
        try:
            check_rate(min(own_hz, rate_hz), ANCHORS[anchor])
        except ValueError as error:
            raise AudioError(f"{item.reference}: {error}") from error
        sounds[anchor] = low_pass(reference, rate_hz, ANCHORS[anchor])
        if np.linalg.norm(reference - sounds[anchor]) < HARDLY_LESS * np.linalg.norm(reference):
            kilohertz = ANCHORS[anchor] / 1000
            remarks.append(
                Remark(item.reference, f"has hardly anything above {kilohertz:g} kHz for its anchor to lack")
            )
    return Prepared(_levelled(item, sounds, preparation, remarks), remarks)


def summary(remarks: Iterable[Remark]) -> list[str]:
    """A line for everything that was noticed, however many files it was noticed of."""
    files: dict[str, list[Path]] = {}
    for remark in remarks:
        files.setdefault(remark.what, []).append(remark.file)
    return [
        f"{paths[0]}: {what}" + (f" (as {len(paths) - 1} more)" if len(paths) > 1 else "")
        for what, paths in files.items()
    ]


def _read(path: Path, sample_rate_hz: int, remarks: list[Remark]) -> tuple[Float32[np.ndarray, " samples"], int]:
    """At the study's rate, and the rate of the file itself."""
    samples, rate_hz = audio.read(path)
    if samples.shape[1] > 1:
        remarks.append(Remark(path, "is not mono; listeners hear the mean of its channels"))
    return audio.resample(audio.to_mono(samples), rate_hz, sample_rate_hz), rate_hz


def _levelled(item: Item, sounds: Sounds, preparation: Preparation, remarks: list[Remark]) -> Sounds:
    if preparation.keep_levels:
        if max(np.abs(sound).max() for sound in sounds.values()) > FULL_SCALE:
            remarks.append(Remark(item.reference, "or one of its versions exceeds full scale; all of them are lowered"))
        return lowered(sounds, FULL_SCALE)
    levelled = equally_loud(sounds[REFERENCE], sounds, preparation.sample_rate_hz)
    if levelled.by_rms:
        remarks.append(Remark(item.reference, "is too short to have a loudness (ITU-R BS.1770); RMS is equal instead"))
    for condition, why in levelled.left_alone.items():
        path = item.systems.get(condition, item.reference)
        remarks.append(Remark(path, f"keeps its level, since {why}"))
    return lowered(levelled.sounds, PEAK)
