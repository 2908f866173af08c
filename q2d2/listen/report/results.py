"""A study and its ratings -> all that is computed from them. Numbers only: tables, plots and texts are others' work."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from q2d2.listen.report.comparisons import (
    Comparison,
    Tally,
    between_systems,
    identifications,
    preferences,
    tallies,
    with_baseline,
)
from q2d2.listen.report.conditions import ordered
from q2d2.listen.report.screening import Screened, keep_all, screen
from q2d2.listen.report.statistics import Estimate, estimate
from q2d2.listen.study import Study
from q2d2.opening import FileError


class Results(NamedTuple):
    """What one study found."""

    study: Study
    submitted: pd.DataFrame  # all ratings that listeners have handed in
    screened: Screened  # and those of them that count
    estimates: tuple[Estimate, ...]  # MUSHRA, CMOS: by condition, in the order of tables; a CMOS baseline has none
    tallies: tuple[Tally, ...]  # AB, ABX: by pair
    comparisons: tuple[Comparison, ...]


def analyse(study: Study, frame: pd.DataFrame, screening: bool = True, name: str | None = None) -> Results:
    """Screen and compute. FileError, with the `name` that its owner knows the study by (None: its title), for ratings
    of another study, for none that are submitted, or none left.
    """
    name = study.title if name is None else name
    if (frame["study"] != study.study_id).any():
        raise FileError(f"{name}: some of these ratings are of another study; read them from its own database")
    submitted = frame[frame["submitted_at"].notna()]
    if not len(submitted):
        raise FileError(f"{name}: no listener has submitted a rating yet; there is nothing to report")
    if submitted["score"].isna().any():
        raise FileError(f"{name}: a submitted rating is not a number; the database is damaged")
    screened = screen(study, submitted) if screening else keep_all(submitted)
    kept = screened.kept
    if not len(kept):
        count = len(screened.excluded)
        raise FileError(f"{name}: screening leaves out all listeners ({count}); --no-screening keeps them")
    if study.protocol_name in ("ab", "abx"):
        compare = preferences if study.protocol_name == "ab" else identifications
        return Results(study, submitted, screened, (), tuple(tallies(study, kept)), tuple(compare(study, kept)))
    compare = between_systems if study.protocol_name == "mushra" else with_baseline
    return Results(study, submitted, screened, _estimates(study, kept), (), tuple(compare(study, kept)))


def _estimates(study: Study, kept: pd.DataFrame) -> tuple[Estimate, ...]:
    found = []
    for condition in ordered(study):
        own = kept[kept["condition"] == condition]
        if len(own):
            scores, raters = own["score"].to_numpy(dtype=np.float64), own["rater"].to_numpy(dtype=np.int64)
            found.append(estimate(condition, scores, raters))
    return tuple(found)
