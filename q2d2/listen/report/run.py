"""Studies and their ratings -> a folder: report.md, tables.tex, summary.csv, tests.csv and a picture for each study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from q2d2.atomic import write_whole
from q2d2.console import counted
from q2d2.listen.report import document, plots, records
from q2d2.listen.report.results import Results, analyse
from q2d2.listen.report.tables import Descriptions
from q2d2.listen.study import Study
from q2d2.plotting import png


class Rated(NamedTuple):
    """A study with its ratings."""

    name: str  # what its owner calls it, in messages: its folder
    study: Study
    frame: pd.DataFrame  # of `store.export`


class Report(NamedTuple):
    """What was found, and where it is written."""

    results: tuple[Results, ...]  # by study
    files: tuple[Path, ...]  # report.md first


def report(
    studies: Sequence[Rated],
    out: Path,
    screening: bool = True,
    describe: Descriptions = None,
    progress: Callable[[str], None] = lambda line: None,
) -> Report:
    """Analyse each study and write everything into the folder `out`, over what is there under these names.

    `describe` adds the columns Bandwidth, Nq and token/s. `progress` is told a line for each study, and of descriptions
    that describe none of its systems. FileError for a study without submitted ratings, before anything is written.
    """
    if not studies:
        raise ValueError("a report needs a study")
    results = []
    for name, study, frame in studies:
        result = analyse(study, frame, screening, name)
        results.append(result)
        raters = counted(result.submitted["rater"].nunique(), "listener")
        progress(f"{name}: {raters}, {len(result.screened.excluded)} left out by screening")
    heard = {system for one in studies for system in one.study.systems}
    if unused := [name for name in describe or () if name not in heard]:
        progress(f"no study has a system called {', '.join(unused)}, which is described")
    pictures = _names(results)
    texts = {
        "report.md": document.markdown(results, describe, pictures),
        "tables.tex": document.latex(results, describe),
        "summary.csv": records.summary_csv(results),
        "tests.csv": records.comparisons_csv(results),
    }
    out.mkdir(parents=True, exist_ok=True)
    for place, name in pictures.items():
        write_whole(out / name, png(plots.draw(results[place])))
    for name, text in texts.items():
        write_whole(out / name, text.encode())
    return Report(tuple(results), tuple(out / name for name in (*texts, *pictures.values())))


def _names(results: Sequence[Results]) -> dict[int, str]:
    """A file name for the picture of each study: its protocol's, with a number where there are several of one."""
    kinds = [result.study.protocol_name for result in results]
    return {
        place: f"{kind}-{kinds[: place + 1].count(kind)}.png" if kinds.count(kind) > 1 else f"{kind}.png"
        for place, kind in enumerate(kinds)
    }
