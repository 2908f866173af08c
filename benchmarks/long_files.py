"""Whether memory stays the same and time grows in proportion, from a minute to ten hours.

    python benchmarks/long_files.py                      # a minute, ten, an hour
    python benchmarks/long_files.py --hours 10

The shipped clip over and over, as 16-bit WAV at 24 kHz, through the command line: `encode` at 1 kbit/s, `decode`, and
`decode --start --duration` of ten seconds in the last tenth. Each is a process of its own, with its time and its peak
memory (Linux counts all of it, Python and PyTorch included). Files go to a temporary folder: 173 MB an hour, twice.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import tyro

import q2d2
from q2d2 import audio

RATE_HZ = 24_000


class Cost(NamedTuple):
    wall_s: float
    cpu_s: float
    peak_mib: float


def cost(*arguments: object) -> Cost:
    """Of one command."""
    start = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "q2d2", *map(str, arguments)], stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"q2d2 {' '.join(map(str, arguments))}: failed")
    return Cost(time.monotonic() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def write_speech(path: Path, duration_s: float) -> None:
    (clip,) = audio.list_audio(Path(q2d2.__file__).parent / "assets")
    samples, from_hz = audio.read(clip)
    phrase = audio.resample(audio.to_mono(samples), from_hz, RATE_HZ)
    remaining = round(duration_s * RATE_HZ)
    with soundfile.SoundFile(path, "w", RATE_HZ, 1, "PCM_16") as file:
        while remaining > 0:
            file.write(phrase[:remaining])
            remaining -= len(phrase)


def main(hours: tuple[float, ...] = (1 / 60, 1 / 6, 1.0), rate: str = "1k", model: str | None = None) -> None:
    of_model = [] if model is None else ["--model", model]
    print("| hours | command | wall s | CPU s | x real time | peak MiB | bytes |\n|---|---|---|---|---|---|---|")
    for length in hours:
        with tempfile.TemporaryDirectory() as folder:
            wav, small, again, part = (Path(folder, name) for name in ("a.wav", "a.q2d2", "b.wav", "part.wav"))
            write_speech(wav, 3600 * length)
            late = round(0.9 * 3600 * length)
            for name, target, arguments in (
                ("encode", small, ("encode", wav, small, "--rate", rate)),
                ("decode", again, ("decode", small, again)),
                ("10 s of it", part, ("decode", small, part, "--start", late, "--duration", min(10, 360 * length))),
            ):
                took = cost(*arguments, *of_model)
                speed = 3600 * length / took.wall_s
                row = f"{took.wall_s:.1f} | {took.cpu_s:.1f} | {speed:.0f} | {took.peak_mib:.0f}"
                print(f"| {length:.3g} | {name} | {row} | {target.stat().st_size} |", flush=True)
            whole, _ = soundfile.read(again, start=late * RATE_HZ, frames=round(min(10, 360 * length) * RATE_HZ))
            apart = np.abs(whole - soundfile.read(part)[0]).max()
            print(f"| {length:.3g} | the part is the whole's, within | | | | | {apart:.1e} |", flush=True)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
