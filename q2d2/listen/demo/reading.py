"""The beginning of a stranger's audio file, read in a process of its own with little memory and time.

What decodes audio is large, old and written in C, and a file may be made to break it: then only a child breaks, and
the answer is one line. The limits are the system's (there are none of memory where it has none: Windows); the child
is no sandbox. Knows `q2d2.audio` alone: torch would not fit into its memory.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from q2d2 import audio
from q2d2.listen.demo.limits import Limits

_ADVICE = "convert it to WAV first"
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # each more takes address space
# what can be imported here and nothing else: `-m` would look into the current folder first, which may hold anything
_CHILD = "import sys; sys.path[:] = {path!r}; from q2d2.listen.demo.reading import main; main()"


class Recording(NamedTuple):
    """What is used of a file."""

    wav: Float32[np.ndarray, " samples"]  # mono
    sample_rate_hz: int
    is_cut: bool  # whether the file goes on


def beginning(source: Path, name: str, limits: Limits) -> Recording:
    """Read here and now, as far as `limits` go; AudioError, with `name` in it, for what is no audio."""
    with audio.open_blocks(source, name=name) as blocks:
        most = limits.samples_at(blocks.sample_rate_hz)
        parts = [audio.to_mono(block) for block in blocks.part(0, most + 1)]
        wav = np.concatenate(parts)
        return Recording(wav[:most], blocks.sample_rate_hz, len(wav) > most)


def beginning_apart(source: Path, target: Path, name: str, limits: Limits) -> Recording:
    """`beginning` in a child, which leaves the samples in `target`; AudioError whatever happens to it."""
    try:
        child = subprocess.run(
            [sys.executable, "-c", _CHILD.format(path=sys.path), str(source), str(target)],
            input=json.dumps({"name": name, "limits": asdict(limits)}).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=limits.decoding_s,
            env=os.environ | _ONE_THREAD,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise audio.AudioError(_too_slow(name, limits)) from error
    if child.returncode:
        raise audio.AudioError(_ended(child.returncode, name, limits))
    answer = json.loads(child.stdout)
    if "error" in answer:
        raise audio.AudioError(answer["error"])
    return Recording(np.load(target, allow_pickle=False), answer["sample_rate_hz"], answer["is_cut"])


def _too_slow(name: str, limits: Limits) -> str:
    return f"{name}: takes more than {limits.decoding_s:g} s to read; {_ADVICE}"


def _ended(code: int, name: str, limits: Limits) -> str:
    """Why a child said nothing."""
    if -code == getattr(signal, "SIGXCPU", None):
        return _too_slow(name, limits)
    how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
    return f"{name}: breaks the decoder ({how}); {_ADVICE}"


# -- in the child ------------------------------------------------------------------------------------------------------


def _limit_this_process(limits: Limits) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    wanted = {
        resource.RLIMIT_AS: limits.decoding_bytes,
        resource.RLIMIT_CPU: math.ceil(limits.decoding_s),
        resource.RLIMIT_FSIZE: 4 * limits.most_samples + 4096,
        resource.RLIMIT_CORE: 0,
    }
    for kind, most in wanted.items():
        with contextlib.suppress(ValueError, OSError):  # macOS takes no limit of the address space
            resource.setrlimit(kind, (most, most))


def main() -> None:
    """SOURCE TARGET, and settings as JSON on standard input; one line of JSON on standard output."""
    source, target = map(Path, sys.argv[1:])
    settings = json.load(sys.stdin)
    name, limits = settings["name"], Limits(**settings["limits"])
    _limit_this_process(limits)
    answer: dict[str, object]
    try:
        recording = beginning(source, name, limits)
        np.save(target, recording.wav)
        answer = {"sample_rate_hz": recording.sample_rate_hz, "is_cut": recording.is_cut}
    except audio.AudioError as error:
        answer = {"error": " ".join(str(error).split())}
    except MemoryError:
        answer = {"error": f"{name}: takes more than {limits.decoding_bytes / 2**20:.0f} MiB to read; {_ADVICE}"}
    print(json.dumps(answer))
