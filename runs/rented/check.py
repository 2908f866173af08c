"""What works on this GPU, and how fast: `python check.py WORK --out OUT --limit 150`, the first thing on a rented one.

Every stage is a process with a time limit of its own, and the whole ends within `--limit` seconds whatever hangs. After
each stage `verdict.json` is written (in WORK, which holds `corpus-1`, and in OUT) and printed as one line: `ok`, the
GPU, `audio_s_per_s` of each way to train, the seconds of each stage, what failed, and `options`: those of the fastest
way for `q2d2 train`, which `train.sh` takes. The stages that decide come first; the limit cuts the last ones.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
LIMIT_S = 150.0  # of the whole, for which those of the stages are given: they grow with it
SPARE_S = 3.0  # of the limit: for the last words
STARVED = 0.3  # share of a step that waits for its batch, from which training without augmentation is tried
ROW_S = 1.35  # of the recipe `speech`
WORTH = 2.0  # how much faster it must be to do without


class Ended(NamedTuple):
    """A stage that is over."""

    status: int | None  # None: at its limit
    said: str


class Check:
    """The verdict so far, and the clock."""

    def __init__(self, folders: list[Path], limit_s: float) -> None:
        self.folders, self.ends, self.patience = folders, time.monotonic() + limit_s, limit_s / LIMIT_S
        self.verdict: dict[str, Any] = {"ok": False, "options": [], "audio_s_per_s": {}, "stages": {}, "errors": {}}
        self.lock = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None

    def watch(self) -> None:
        """Have the whole program end at the limit, even while a stage cannot be killed."""
        for before_s, end in ((1.5, self._end), (0.3, self._leave)):
            watchdog = threading.Timer(max(0.0, self.ends - before_s - time.monotonic()), end)
            watchdog.daemon = True
            watchdog.start()

    @property
    def left_s(self) -> float:
        return self.ends - time.monotonic() - SPARE_S

    def write(self) -> None:
        """Whole or not at all: a kill leaves the verdict before."""
        with self.lock:
            line = json.dumps(self.verdict)
            for folder in self.folders:
                folder.mkdir(parents=True, exist_ok=True)
                temporary = folder / ".verdict.json"
                temporary.write_text(line + "\n")
                os.replace(temporary, folder / "verdict.json")
            print(line, flush=True)

    def run(self, name: str, command: list[str], limit_s: float, log: Path) -> Ended:
        """A stage: its command in a group of processes, killed as a whole at the limit. What it says goes to `log`."""
        limit_s = min(self.patience * limit_s, self.left_s)
        if limit_s < 1:
            self.verdict["errors"][name] = "no time was left"
            return Ended(None, "")
        begun = time.monotonic()
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        with log.open("wb") as file:
            # a group, not a session of its own: what outlives this check must die with the command around it
            self.process = subprocess.Popen(
                command, stdout=file, stderr=file, stdin=subprocess.DEVNULL, env=environment, preexec_fn=os.setpgrp
            )
            try:
                status = self.process.wait(limit_s)
            except subprocess.TimeoutExpired:
                status = None
            self._kill()
        self.verdict["stages"][name] = round(time.monotonic() - begun, 1)
        said = log.read_text(errors="replace")
        if status is None:
            self.verdict["errors"][name] = f"killed after {limit_s:.0f} s"
        elif status:
            named = [line for line in said.splitlines() if re.match(r"[\w.]*(Error|Exception)\b", line)]
            self.verdict["errors"][name] = f"exit status {status}: {named[-1][:400] if named else said[-400:]}"
        return Ended(status, said)

    def _kill(self) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(1.0)

    def _end(self) -> None:
        """Last words at the limit."""
        self.verdict["errors"]["check"] = "the limit came first"
        self._kill()
        self.write()
        self._leave()

    def _leave(self) -> None:
        """With no more words, should writing hang as well."""
        os._exit(1)


class Way(NamedTuple):
    """One way to train."""

    rows: int
    compiled: bool = False
    graph: bool = False
    augment: bool = True

    @property
    def name(self) -> str:
        """Such as compiled-graph-256."""
        words = ["compiled" if self.compiled else "eager", *["graph"] * self.graph, str(self.rows)]
        return "-".join([*words, *["plain"] * (not self.augment)])

    @property
    def options(self) -> list[str]:
        options = ["--batch", str(self.rows), "--compile", "on" if self.compiled else "off"]
        return [*options, *["--graph"] * self.graph, *["--augment", "none"] * (not self.augment)]


class Checker:
    """The stages."""

    def __init__(self, work: Path, start: str, check: Check, extra: list[str]) -> None:
        self.work, self.start, self.check, self.extra = work, start, check, extra
        self.runs = work / "check"
        self.runs.mkdir(parents=True, exist_ok=True)
        self.waits: dict[str, float] = {}  # by way: the share of a step that waits for its batch

    def imports(self) -> bool:
        ended = self._stage("imports", 60)
        for found in _lines(ended.said):
            self.check.verdict |= found
        return ended.status in (0, None)  # slow the first time, they may be done the next

    def micro(self, rows: list[int]) -> None:
        ended = self._stage("micro", 45, *map(str, rows))
        self.check.verdict["micro_ms"] = {name: value for found in _lines(ended.said) for name, value in found.items()}

    def loads(self, way: Way) -> None:
        """The model that a way has saved."""
        self._stage("loads", 30, str(self.runs / way.name / "model"))

    def train(self, way: Way, steps: int, every: int, limit_s: float) -> None:
        """A few steps; the median of the later half of what the log says is its speed."""
        out, verdict = self.runs / way.name, self.check.verdict
        command = [sys.executable, "-m", "q2d2", "train", "--from", self.start, "--data", str(self.work / "corpus-1")]
        command += ["--out", str(out), "--steps", str(steps), "--log-every", str(every), "--save-steps", "1000000"]
        command += ["--cache", str(self.work / "cache"), "--adversarial-from", "0", *self.extra, *way.options]
        ended = self.check.run(way.name, command, limit_s, self.runs / f"{way.name}.txt")
        if ended.status == 2 and "--graph" in ended.said:
            verdict["errors"][way.name] = "absent"
        log = out / "log.jsonl"
        rows = [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []
        rows = [row for row in rows if "audio_s_per_s" in row]
        later = rows[len(rows) // 2 :]
        if len(rows) > 1:  # killed in its last steps, it still worked
            speed = statistics.median(row["audio_s_per_s"] for row in later)
            verdict["audio_s_per_s"][way.name] = speed
            self.waits[way.name] = statistics.median(row["wait_s"] for row in later) * speed / (ROW_S * way.rows)

    def choose(self, ways: list[Way]) -> Way | None:
        """The fastest of those that worked; without augmentation only if that is much faster."""
        speeds = self.check.verdict["audio_s_per_s"]

        def worth(way: Way) -> float:
            return speeds[way.name] / (1 if way.augment else WORTH)

        fastest = max((way for way in ways if way.name in speeds), key=worth, default=None)
        if fastest is not None:
            augment = "recipe" if fastest.augment else "none"
            self.check.verdict |= {
                "ok": True,
                "rows": fastest.rows,
                "compile": fastest.compiled,
                "graph": fastest.graph,
                "augment": augment,
                "options": fastest.options,
                "waiting": {name: round(share, 3) for name, share in self.waits.items()},
            }
        return fastest

    def _stage(self, name: str, limit_s: float, *arguments: str) -> Ended:
        command = [sys.executable, str(Path(__file__).with_name("stages.py")), name, *arguments]
        return self.check.run(name, command, limit_s, self.runs / f"{name}.txt")


def check_all(checker: Checker, rows: list[int], steps: int) -> None:
    """All stages, the verdict written after each."""
    write = checker.check.write
    write()
    ways: list[Way] = []

    def attempt(way: Way, limit_s: float, some: int = steps, every: int | None = None) -> None:
        ways.append(way)
        checker.train(way, some, every or max(1, some // 6), limit_s)
        checker.choose(ways)
        write()

    usable = checker.imports()
    write()
    if not usable:
        return
    small, large = min(rows), max(rows)
    attempt(Way(small), 60, some=5, every=1)
    checker.loads(ways[0])
    attempt(Way(large, compiled=True), 80)
    attempt(Way(large), 40)
    compiles = Way(large, compiled=True).name in checker.check.verdict["audio_s_per_s"]
    attempt(Way(large, compiled=compiles, graph=True), 60)
    checker.micro([small, large])
    write()
    best = checker.choose(ways)
    if best is None:
        return
    if checker.waits[best.name] > STARVED:
        attempt(best._replace(augment=False), 40)
    for middle in sorted(set(rows) - {large}, reverse=True):
        if (way := best._replace(rows=middle)) not in ways:
            attempt(way, 60)


def _lines(said: str) -> Iterator[dict[str, Any]]:
    """What a stage has found, also if it was killed after that."""
    for line in said.splitlines():
        if line.startswith("{"):
            yield json.loads(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="holds corpus-1; takes runs, caches and verdict.json")
    parser.add_argument("--out", type=Path, help="a second folder for verdict.json: the one that comes back")
    parser.add_argument("--limit", type=float, default=LIMIT_S, help="seconds, all in all")
    parser.add_argument("--rows", type=int, nargs="+", default=[64, 256, 128], help="of a batch")
    parser.add_argument("--steps", type=int, default=30, help="of each way to train")
    parser.add_argument("--start", default=str(ROOT / "q2d2/models/speech"), help="the model to train from")
    parser.add_argument("--extra", nargs=argparse.REMAINDER, default=[], help="more options of q2d2 train; the last")
    arguments = parser.parse_args()
    folders = [arguments.work] + ([arguments.out] if arguments.out else [])
    check = Check(folders, arguments.limit)
    check.watch()
    checker = Checker(arguments.work, arguments.start, check, arguments.extra)
    check_all(checker, arguments.rows, arguments.steps)
    sys.exit(not check.verdict["ok"])


if __name__ == "__main__":
    main()
