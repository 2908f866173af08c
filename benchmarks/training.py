"""How fast `q2d2 train` is, against earlier revisions and with single choices changed: `python benchmarks/training.py`.

Audio-seconds per second as the journal of a run tells them: whole updates of both players, on rows that were read and
changed at random beside them. Each row of the table is a run of the command line in a process of its own; runs take
turns in rounds, and the fastest stretch of each counts, so that a busy moment of the machine does not decide. With
`--against REVISION` the same command runs in the tree of that revision as well.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import tyro
from tqdm import tqdm

HERE = Path(__file__).parents[1]
CHOICES = {
    "": "",
    "reconstruction alone": "--discriminators none",
    "rows as they were recorded": "--augment none",
    "discriminators see whole rows": "--judged-seconds 1000",
    "float32": "--precision float32",
    "middle": "--discriminators middle",
    "Muon": "--optimizer muon",
    "compiled": "--compile on",
    "captured": "--graph",
}


@dataclass(frozen=True)
class Arguments:
    """What to measure."""

    data: Path = HERE / "q2d2" / "assets"  # a packed corpus, a folder or a manifest
    against: tuple[str, ...] = ()  # revisions of this repository
    choices: tuple[str, ...] = ("",)  # of this tree: names from CHOICES
    threads: tuple[int, ...] = (1, 2)
    preset: str = "speech"
    rows: tuple[int, ...] = (6,)  # of a batch
    steps: int = 20  # of a run, after five that do not count
    rounds: int = 2
    device: str = "cpu"


class Run(NamedTuple):
    """A row of the table."""

    tree: Path
    name: str
    options: str
    threads: int
    rows: int


def audio_s_per_s(run: Run, arguments: Arguments, cache: Path) -> float:
    """The fastest five steps of a run."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "q2d2", "train", "--preset", arguments.preset, "--data", str(arguments.data)]
        command += ["--out", out, "--steps", str(5 + arguments.steps), "--log-every", "5", "--adversarial-from", "0"]
        command += ["--batch", str(run.rows), "--device", arguments.device, "--cache", str(cache), "--compile", "off"]
        command += ["--linear-start", "none", *run.options.split()]
        environment = os.environ | {"OMP_NUM_THREADS": str(run.threads), "PYTHONPATH": str(run.tree)}
        done = subprocess.run(command, cwd=run.tree, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{run.name or 'this tree'}: {' '.join(command)}\n{done.stderr}")
        lines = [json.loads(line) for line in (Path(out) / "log.jsonl").read_text().splitlines()]
    return max(line["audio_s_per_s"] for line in lines if line.get("step", 0) > 5 and "audio_s_per_s" in line)


def main(arguments: Arguments) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        runs = []
        for threads in arguments.threads:
            for rows in arguments.rows:
                for revision in arguments.against:
                    runs.append(Run(_tree(revision, Path(scratch)), revision, "", threads, rows))
                runs += [Run(HERE, name, CHOICES[name], threads, rows) for name in arguments.choices]
        best = [0.0] * len(runs)
        for number in tqdm([*range(len(runs))] * arguments.rounds, "training", disable=None):
            cache = Path(scratch) / f"cache-{runs[number].tree.name}"
            best[number] = max(best[number], audio_s_per_s(runs[number], arguments, cache))
    print("| threads | rows | tree | audio-s per s | against the first |\n|---|---|---|---|---|")
    first: dict[tuple[int, int], float] = {}
    for run, speed in zip(runs, best, strict=True):
        ratio = speed / first.setdefault((run.threads, run.rows), speed)
        print(f"| {run.threads} | {run.rows} | {run.name or 'this'} | {speed:.2f} | {ratio:.2f} |")


def _tree(revision: str, folder: Path) -> Path:
    """The files of a revision."""
    tree = folder / f"tree-{revision}"
    if not tree.is_dir():
        tree.mkdir()
        archive = subprocess.run(["git", "archive", revision], cwd=HERE, check=True, capture_output=True).stdout
        subprocess.run(["tar", "x", "-C", str(tree)], input=archive, check=True)
    return tree


if __name__ == "__main__":
    main(tyro.cli(Arguments))
