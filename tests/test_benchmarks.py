"""The benchmarks run, at a size at which their numbers mean nothing."""

import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_quantizer_benchmark_prints_its_table():
    command = [sys.executable, BENCHMARKS / "quantizer.py", "--tokens", "200", "--repeats", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert [line.split()[1] for line in done.stdout.splitlines()[2:6]] == ["Q2D2", "FSQ", "flat", "unsqueezed"]
    assert len(done.stdout.splitlines()) == 8
