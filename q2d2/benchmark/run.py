"""Codecs, settings and rounds -> rows, tables and a picture. Knows processes and files, not how anything is timed.

Each measurement is a process of its own, and the rounds go over all of them in turn, codecs in the same setting one
after another: what slows the machine down for a while slows all of them, and ratios are of neighbours. What was found
is written after each, so that an interrupted benchmark leaves its rows.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from q2d2.atomic import write_whole
from q2d2.benchmark import report
from q2d2.benchmark.config import BenchmarkConfig
from q2d2.benchmark.isolation import isolated
from q2d2.benchmark.machine import check_device, machine
from q2d2.benchmark.measure import Description, Setting, describe, measure
from q2d2.benchmark.rows import Line, Row, lines, rows_csv, systems_csv
from q2d2.benchmark.systems import System, systems

ROWS, SYSTEMS, TABLE, LATEX, PICTURE = "rows.csv", "systems.csv", "table.md", "table.tex", "speed.png"
FAILURES = (RuntimeError, MemoryError)  # of one measurement and not of all: DiedError, and a GPU out of memory


class Benchmark(NamedTuple):
    """What a benchmark has found."""

    rows: list[Row]
    lines: list[Line]
    described: dict[str, Description | str]  # by the name of the codec; a text where there is none, and why
    report: str  # Markdown
    errors: list[str]  # what failed, and why: a line each; that a package is missing is no failure
    notes: list[str]  # what was left out, and why: a line each


def benchmark(config: BenchmarkConfig) -> Benchmark:
    """Measure what the config names, and write rows, tables and a picture to `config.out`.

    A codec whose package is missing, or whose process dies, has rows without numbers that say so. ValueError for a
    model or device that does not exist.
    """
    for device in config.devices:
        check_device(device)
    where, candidates = machine(config.devices), systems(config)
    described, errors = _described(candidates, config.threads[0])
    config.out.mkdir(parents=True, exist_ok=True)
    for name in (ROWS, TABLE, LATEX, PICTURE):  # those of an earlier run say nothing of this one
        (config.out / name).unlink(missing_ok=True)
    write_whole(config.out / SYSTEMS, systems_csv(described).encode())
    rows = [Row(name, None, 0, None, found) for name, found in described.items() if isinstance(found, str)]
    for row in _measured(config, candidates, described):
        rows.append(row)
        if row.setting is not None and row.measured is None:
            errors.append(f"{row.system}, {row.setting.way} of {row.setting.duration_s:g} s: {row.note}")
        write_whole(config.out / ROWS, rows_csv(rows).encode())
    write_whole(config.out / ROWS, rows_csv(rows).encode())  # also if there was nothing to measure
    found = lines(rows, config.reference or config.systems[0])
    facts = report.Facts(where, config, rows, found, described)
    text = report.markdown(facts)
    write_whole(config.out / TABLE, text.encode())
    write_whole(config.out / LATEX, report.latex(facts).encode())
    return Benchmark(rows, found, described, text.rstrip(), errors, _drawn(config.out / PICTURE, found))


def settings(config: BenchmarkConfig) -> list[Setting]:
    """All that the config asks for and that makes sense: a GPU with one number of threads, streams one at a time."""
    every = product(config.devices, config.threads, config.batches, config.ways, config.durations_s)
    return [
        setting
        for setting in dict.fromkeys(Setting(*values) for values in every)
        if (setting.device == "cpu" or setting.threads == config.threads[0])
        and (setting.way == "clip" or setting.batch == 1)
    ]


def _described(candidates: Sequence[System], threads: int) -> tuple[dict[str, Description | str], list[str]]:
    """What does not depend on the setting, or why it cannot be had; and a line for each whose process failed."""
    described: dict[str, Description | str] = {}
    errors = []
    for system in tqdm(candidates, desc="counting", unit="codec", disable=None):
        try:
            described[system.name] = isolated(describe, system, threads)
        except ImportError as error:
            described[system.name] = _why(error)
        except FAILURES as error:
            described[system.name] = _why(error)
            errors.append(f"{system.name}: {_why(error)}")
    return described, errors


def _why(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _measured(
    config: BenchmarkConfig, candidates: Sequence[System], described: Mapping[str, Description | str]
) -> Iterator[Row]:
    """A row for each measurement, round by round; what failed in one is not tried in the next."""
    work = [
        (system, setting)
        for setting in settings(config)
        for system in candidates
        if isinstance(known := described[system.name], Description) and _applies(known, setting)
    ]
    with tqdm(total=config.repeats * len(work), desc="measuring", unit="run", disable=None) as progress:
        for number in range(1, config.repeats + 1):
            for system, setting in list(work):
                progress.set_postfix_str(f"{system.name}, {setting.way} of {setting.duration_s:g} s")
                try:
                    yield Row(system.name, setting, number, isolated(measure, system, setting))
                except FAILURES as error:
                    work.remove((system, setting))
                    yield Row(system.name, setting, number, None, _why(error))
                progress.update()


def _applies(known: Description, setting: Setting) -> bool:
    """A stream must be possible, and longer than a window: otherwise it is a clip."""
    return setting.way == "clip" or (known.window_s is not None and setting.duration_s > known.window_s)


def _drawn(path: Path, found: Sequence[Line]) -> list[str]:
    """Draw the picture; a note if there is none."""
    try:
        from q2d2.benchmark.plot import speed_figure
    except ImportError:
        return ["no picture: for that, pip install 'q2d2[evaluate]'"]
    if not found:
        return ["no picture: nothing was measured"]
    png = io.BytesIO()
    speed_figure(found).savefig(png, format="png", dpi=150)
    write_whole(path, png.getvalue())
    return []
