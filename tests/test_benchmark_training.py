"""The benchmark of training runs, at tiny size, and its numbers are of the right kind."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "training.py"


def test_benchmark_runs(packed_corpus):
    sizes = ["--presets", "tiny", "--rows", "2", "--seconds", "0.45", "--steps", "1", "--rounds", "1"]
    done = subprocess.run(
        [sys.executable, SCRIPT, *sizes, "--data", packed_corpus],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    _, _, *rows, shares = done.stdout.splitlines()
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert [row[0] for row in cells] == ["tiny"] * 6
    assert cells[0][1] == "all" and cells[0][4] == "1.00"
    for row in cells:
        assert float(row[2]) > 0 and float(row[3]) > 0
    assert shares.startswith("tiny: generator ") and "a batch takes" in shares
