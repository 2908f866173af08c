"""Ten thousand short files through `q2d2 tokenize`, killed halfway: how fast, and whether anything is lost or twice.

    python benchmarks/corpora.py                         # 10,000 clips of 1 to 3 s, about 5.5 hours of audio
    python benchmarks/corpora.py --clips 1000 --jobs 1

Cut from the shipped clip, as FLAC, into a temporary folder. The first run is killed (SIGKILL) when a third of the
tables are there; the second ends. Then every id must be there once, and the codes of some clips those of each alone.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch
import tyro

import q2d2
from q2d2 import audio

RATE_HZ = 24_000


def make_clips(folder: Path, clips: int) -> float:
    """So many files; their seconds in all."""
    (source,) = audio.list_audio(Path(q2d2.__file__).parent / "assets")
    samples, from_hz = audio.read(source)
    phrase = np.tile(audio.resample(audio.to_mono(samples), from_hz, RATE_HZ), 2)
    rng, total = np.random.default_rng(0), 0
    for number in range(clips):
        length, start = int(rng.integers(RATE_HZ, 3 * RATE_HZ)), int(rng.integers(0, len(phrase) // 2))
        soundfile.write(folder / f"{number:05d}.flac", phrase[start : start + length], RATE_HZ)
        total += length
    return total / RATE_HZ


def main(clips: int = 10_000, jobs: int | None = None, rate: str = "1k", compared: int = 200) -> None:
    with tempfile.TemporaryDirectory() as top:
        source, out = Path(top, "clips"), Path(top, "tokens")
        source.mkdir()
        total_s = make_clips(source, clips)
        command = [sys.executable, "-m", "q2d2", "tokenize", str(source), str(out), "--rate", rate]
        command += ["--shard", str(max(1, clips // 10)), *([] if jobs is None else ["--jobs", str(jobs)])]
        print(f"{clips} clips, {total_s / 3600:.2f} hours")
        start = time.monotonic()
        first = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
        while len(list(out.glob("data/*.parquet"))) < 3 and first.poll() is None:
            time.sleep(0.2)
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        there = len(list(out.glob("data/*.parquet")))
        print(f"killed after {time.monotonic() - start:.0f} s, {there} of 10 tables there")
        start = time.monotonic()
        process = subprocess.Popen(command)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        took = time.monotonic() - start
        print(f"gone on: exit {process.returncode}, {took:.0f} s, {(1 - there / 10) * total_s / took:.0f} x real time")
        print(f"peak of the largest process: {used.ru_maxrss / 1024:.0f} MiB")
        rows = list(q2d2.read_tokens(out))
        ids = [row.id for row in rows]
        wanted = sorted(path.name for path in source.iterdir())
        print(f"{len(ids)} ids, {len(set(ids))} different, in the order of the folder: {ids == wanted}")
        codec, differ, indices = q2d2.load(), 0, 0
        for row in [
            rows[i] for i in np.random.default_rng(1).choice(len(rows), min(compared, len(rows)), replace=False)
        ]:
            samples, rate_hz = audio.read(source / row.id)
            alone = codec.encode(audio.to_mono(samples), rate_hz, rate)
            differ += int(torch.count_nonzero(alone.indices != row.codes.indices))
            indices += alone.indices.numel()
        size = sum(path.stat().st_size for path in out.rglob("*.parquet"))
        print(f"{differ} of {indices} indices differ from those of each clip alone; {size} bytes")


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
