"""The benchmark of the codec runs, at tiny size, and its numbers are of the right kind."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "codec.py"


def test_benchmark_runs():
    sizes = ["--presets", "tiny", "--threads", "1", "--seconds", "1", "--stream-seconds", "2", "--repeats", "1"]
    done = subprocess.run([sys.executable, SCRIPT, *sizes], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    title, *rows = (line.split() for line in done.stdout.splitlines())
    assert title[:3] == ["preset", "way", "threads"]
    assert [row[:4] for row in rows] == [["tiny", "clip", "1", "1"], ["tiny", "stream", "1", "2"]]
    for row in rows:
        encode, decode, both = (float(cell.removesuffix("x")) for cell in row[4:7])
        assert 0 < both < min(encode, decode) and 50 < float(row[7]) < 4000
