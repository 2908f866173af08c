"""What a codec is to an evaluation: a clip -> bytes and sound. Knows nothing of models, folders and scores."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int64


class PeerError(ValueError):
    """A peer that does not exist, or one that failed."""


class Clip(NamedTuple):
    """What goes into a codec."""

    name: str  # its path below the data folder, with "/" on every system
    wav: Float32[np.ndarray, " samples"]  # mono
    sample_rate_hz: int


class Coded(NamedTuple):
    """A clip after a codec."""

    samples: Float32[np.ndarray, " samples"]  # decoded; as long as the original or not, late or not
    sample_rate_hz: int
    file_bytes: int | None  # None: not known
    payload_bytes: int | None  # without the container's headers and checksums; None: not known
    indices: Int64[np.ndarray, "frames pairs"] | None = None  # the tokens, of a codec that has them
    note: str = ""  # why a size is not known
    index_bits: float | None = None  # what the tokens cost at log2 of their alphabets, of a codec that has them


@runtime_checkable
class System(Protocol):
    """Whatever turns a clip into bytes and back."""

    @property
    def name(self) -> str: ...

    @property
    def may_delay(self) -> bool:
        """Whether a delay is the codec's right, to be compensated before scoring, or an error."""
        ...

    def missing(self) -> str | None:
        """What has to be installed before it can run."""
        ...

    def code(self, clip: Clip) -> Coded: ...


def missing_programs(programs: tuple[str, ...], package: str) -> str | None:
    """Which of these programs are not on the PATH, and the Debian package that brings them."""
    absent = [program for program in programs if shutil.which(program) is None]
    if not absent:
        return None
    verb = "is" if len(absent) == 1 else "are"
    return f"{' and '.join(absent)} {verb} not on the PATH: install {package} (Debian, Ubuntu: apt install {package})"


def run_program(program: str, *arguments: str | Path) -> None:
    """Run a program to its end; PeerError in its own words if it fails."""
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, check=False)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["it says nothing"]
        raise PeerError(f"{program} failed with status {done.returncode}: {lines[-1]}")
