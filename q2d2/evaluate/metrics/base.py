"""What a metric is: an original and a decoded signal -> one score or several. Knows arrays, not files or codecs.

Both signals come as mono float32 at `SAMPLE_RATE_HZ`, aligned and equally long; a metric that listens at another rate
resamples by itself (`heard_at`). A score that a clip does not have is no number but an `UndefinedError`: -1 for a
silent clip would enter the mean. What a metric needs and does not find, weights or a package, is said by `missing`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float32

from q2d2 import audio

SAMPLE_RATE_HZ = 24_000

Signal = Float32[np.ndarray, " samples"]


class MissingExtraError(ImportError):
    """A package of an extra that is not installed."""


class UndefinedError(ValueError):
    """This clip has no such score: why, in a few words."""


class Original(NamedTuple):
    """What went into a codec."""

    samples: Float32[np.ndarray, " samples"]  # at SAMPLE_RATE_HZ
    transcript: str | None = None  # what is said in it, where somebody wrote it down


@dataclass(frozen=True)
class Score:
    """One number of a metric, by its name in files and in tables."""

    name: str
    heading: str
    decimals: int
    best: Literal["highest", "lowest"] = "highest"
    perfect: float | None = None  # of an original against itself; None where the original is not the measure


@dataclass(frozen=True)
class Metric:
    """A way to listen. `measure` gives a value for each of the scores; NaN where one of them is undefined."""

    name: str  # what `--metrics` calls it
    scores: tuple[Score, ...]
    measure: Callable[[Original, Signal], Mapping[str, float]]
    definition: str  # one sentence, with its source
    missing: Callable[[], str | None] = lambda: None  # what has to be installed before it can run, and how


def package(name: str, extra: str = "evaluate") -> ModuleType:
    """Import a package of an extra; MissingExtraError names the extra."""
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtraError(f"the package {name} is not installed: {install(extra)} brings it") from error


def install(extra: str) -> str:
    """The command that installs an extra."""
    return f"pip install 'q2d2[{extra}]'"


def needs(*packages: str, how: str | None = None) -> Callable[[], str | None]:
    """A `missing` for these top-level packages: their names, and the command that brings them."""

    def missing() -> str | None:
        absent = [name for name in packages if find_spec(name) is None]
        if not absent:
            return None
        return f"{' and '.join(absent)} not installed: {how or install('evaluate')}"

    return missing


def shown(path: Path) -> str:
    """A path as a table may print it: with ~ for the home folder, which differs from reader to reader."""
    return f"~/{path.relative_to(Path.home()).as_posix()}" if path.is_relative_to(Path.home()) else str(path)


def heard_at(signal: Signal, sample_rate_hz: int) -> Float32[np.ndarray, " heard"]:
    """A signal at SAMPLE_RATE_HZ as a metric hears it at its own rate."""
    return audio.resample(signal, SAMPLE_RATE_HZ, sample_rate_hz)


def require_sound(original: Signal, decoded: Signal) -> None:
    """UndefinedError if either is digital silence: most measures have no level to refer to."""
    for name, signal in (("original", original), ("decoded signal", decoded)):
        if not signal.any():
            raise UndefinedError(f"the {name} is silent")
