"""The benchmarks run, at a size at which their numbers mean nothing."""

import subprocess
import sys
from pathlib import Path

from small_codecs import make_codec

from q2d2.checkpoint import save

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_quantizer_benchmark_prints_its_table():
    command = [sys.executable, BENCHMARKS / "quantizer.py", "--tokens", "200", "--repeats", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert [line.split()[1] for line in done.stdout.splitlines()[2:6]] == ["Q2D2", "FSQ", "flat", "unsqueezed"]
    assert len(done.stdout.splitlines()) == 8


def test_streams_benchmark_prints_its_tables(tmp_path):
    command = [sys.executable, BENCHMARKS / "streams.py", "--preset", "tiny", "--streams", "3", "--rounds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("delay 231.2 ms") and lines[-1].startswith("3 streams there and back: ")
    assert [line.split()[1] for line in lines[4:10]] == ["1", "2", "5", "10", "50", "500"]


def test_long_files_benchmark_finds_the_part_in_the_whole(tmp_path):
    save(make_codec(), tmp_path)
    command = [sys.executable, BENCHMARKS / "long_files.py", "--hours", "0.01", "--model", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split("|")[2].strip() for line in lines[2:5]] == ["encode", "decode", "10 s of it"]
    assert float(lines[5].split("|")[-2]) < 1e-4


def test_corpora_benchmark_loses_nothing():
    command = [sys.executable, BENCHMARKS / "corpora.py", "--clips", "40", "--jobs", "1", "--compared", "5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "40 ids, 40 different, in the order of the folder: True" in done.stdout
    assert "\n0 of " in done.stdout


def test_listeners_benchmark_loses_nothing():
    size = ["--raters", "3", "--seconds", "4", "--think-s", "0.1", "--items", "5", "--kills", "1"]
    command = [sys.executable, BENCHMARKS / "listeners.py", *size]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "\nerrors: 0; " in done.stdout and "\nconfirmed ratings and pages lost: 0 of " in done.stdout
