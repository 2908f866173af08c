"""The grid of models, what is left to do of it, and the tables of what is done.

A model that is finished is one small file in cells/; everything else can be had from those files. A runner that was
killed and is started again leaves finished models alone and takes the others up from their last save, so that with a
budget in steps the rows are those of a runner that nobody killed.
"""

from __future__ import annotations

import json
from contextlib import closing
from functools import partial
from typing import NamedTuple

from tqdm import tqdm

from q2d2 import audio, presets, tabular
from q2d2.ablation import rows as rows_module
from q2d2.ablation.cell import MESSAGES, finish
from q2d2.ablation.config import AblateConfig
from q2d2.ablation.measure import require_packages
from q2d2.ablation.rows import Row
from q2d2.ablation.tables import LEGEND, tables
from q2d2.atomic import write_whole
from q2d2.processes import in_processes


class Ablation(NamedTuple):
    """What an ablation has found so far."""

    rows: list[Row]  # of all models that are finished, in the order of the presets and seeds
    errors: list[str]  # a line for each model that failed
    report: str  # Markdown


def ablate(config: AblateConfig) -> Ablation:
    """Train and score what is not finished yet; write rows.csv, table.md and table.tex after every model.

    ValueError if the models in `out` were made under other conditions. A model that fails does not stop the others.
    """
    require_packages()  # what is wrong with the command shows before the work
    if not audio.list_audio(config.validate):
        raise audio.AudioError(f"{config.validate}: holds no audio to score models on")
    if not config.data.exists():
        raise FileNotFoundError(f"{config.data}: there is nothing to train on; give a corpus, a folder or a manifest")
    config.out.mkdir(parents=True, exist_ok=True)
    _keep_conditions(config)
    found = _write(config)
    left = [cell for cell in config.cells if not config.result_of(cell).is_file()]
    errors = []
    begun = len(config.cells) - len(left)
    bar = tqdm(total=len(config.cells), initial=begun, desc="training and scoring", unit="model", disable=None)
    with bar, closing(in_processes(partial(finish, config), left, config.jobs)) as outcomes:
        for cell, error in outcomes:
            if error is not None:
                errors.append(f"{cell.name}: {error} (more in {config.run_of(cell) / MESSAGES})")
            found = _write(config)
            bar.update()
    return found._replace(errors=errors)


def _keep_conditions(config: AblateConfig) -> None:
    """Write down what all models of this folder have in common, or compare with what is written there."""
    file, mine = config.out / "config.json", config.conditions()
    if not file.is_file():
        write_whole(file, json.dumps(mine, indent=1).encode() + b"\n")
        return
    try:
        theirs = json.loads(file.read_bytes())
        differ = [f"{name} {theirs[name]!r}, now {value!r}" for name, value in mine.items() if theirs[name] != value]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file}: is not the config of an ablation; give another --out") from error
    if differ:
        raise ValueError(f"{file}: the models there were made with {'; '.join(differ)}; give these, or another --out")


def _write(config: AblateConfig) -> Ablation:
    """Everything that follows from the models that are finished."""
    order = {name: number for number, name in enumerate(presets.PRESETS)}
    rows = [row for file in sorted((config.out / "cells").glob("*.json")) for row in rows_module.read(file)]
    last = len(order)  # of a preset that is gone since
    rows.sort(key=lambda row: (order.get(row.preset.removeprefix(presets.MINIATURE), last), row.preset, row.seed))
    made = tables(rows)
    budget = f"{config.steps} steps" if config.minutes is None else f"{config.minutes:g} minutes of wall-clock time"
    headline = f"Each model was trained for {budget} on {config.data.resolve().name}"
    if rows:
        headline += f" and scored on {rows[0].clips} clips of {config.validate.resolve().name}"
    notes: list[str] = []
    sections = [f"### {title}\n\n{tabular.markdown(table, notes)}" for title, table in made.items()]
    parts = [f"{headline}.", LEGEND, *sections, tabular.footnotes(notes)]
    report = "\n\n".join(parts if rows else ["No model is finished."]).rstrip()
    latex = "\n\n".join(f"% {title}\n{tabular.latex(table)}" for title, table in made.items())
    for name, text in (("rows.csv", rows_module.to_csv(rows)), ("table.md", report), ("table.tex", latex)):
        write_whole(config.out / name, text.rstrip("\n").encode() + b"\n")
    return Ablation(rows, [], report)
