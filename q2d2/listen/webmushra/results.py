"""Ratings as the files that webMUSHRA writes, for whoever has programs that read these."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from uuid import NAMESPACE_OID, uuid5

import pandas as pd

from q2d2.console import UsageError
from q2d2.listen.store.export import write_csv
from q2d2.listen.study import Study, Trial


def write_results(study: Study, rows: pd.DataFrame, folder: Path) -> Path:
    """What webMUSHRA would have written of these ratings, which are those of `store.export`; returns the file.

    mushra.csv has a row per stimulus. paired_comparison.csv has a row per pair, whose first condition (of an ABX study
    the original) is its reference: of an ABX study with "correct" or "incorrect", of an AB study with the name of the
    preferred one or "undecided". There is one question to participants, their `name`. Times are in ms.
    UsageError for protocols that webMUSHRA does not have.
    """
    if study.protocol_name == "mushra":
        name, table = "mushra.csv", _mushra(study, rows)
    elif study.protocol_name in ("ab", "abx"):
        name, table = "paired_comparison.csv", _paired_comparison(study, rows)
    else:
        raise UsageError(f"webMUSHRA has no files for {study.protocol_name} studies; CSV and Parquet hold the ratings")
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(table, folder / name)
    return folder / name


def _mushra(study: Study, rows: pd.DataFrame) -> pd.DataFrame:
    sessions = [str(uuid5(NAMESPACE_OID, f"{study.study_id}/{rater}")) for rater in rows.rater]
    ratings = {
        "session_uuid": sessions,  # tells listeners of the same name apart
        "trial_id": _trial_ids(study, rows),
        "rating_stimulus": rows.condition,
        "rating_score": rows.score.convert_dtypes(),  # whole numbers without a point
        "rating_time": _milliseconds(rows),
        "rating_comment": rows.comment,
    }
    return _participants(study, rows).assign(**ratings)


def _paired_comparison(study: Study, rows: pd.DataFrame) -> pd.DataFrame:
    is_abx = study.protocol.kind == "identify"
    pairs = [_pair(study.trials[row.trial], row.score, is_abx) for row in rows.itertuples()]
    choices = pd.DataFrame(pairs, columns=["choice_reference", "choice_non_reference", "choice_answer"], dtype="string")
    table = _participants(study, rows).assign(trial_id=_trial_ids(study, rows)).join(choices)
    return table.assign(choice_time=_milliseconds(rows), choice_comment=rows.comment)


def _pair(trial: Trial, score: float, is_abx: bool) -> tuple[str, str, str]:
    """The first condition, the second one, and the answer."""
    first, second = trial.stimuli
    if is_abx:
        return first, second, "correct" if score > 0 else "incorrect"
    return first, second, "undecided" if score == 0 else second if score > 0 else first


def _participants(study: Study, rows: pd.DataFrame) -> pd.DataFrame:
    names = rows.rater_name.fillna("rater " + rows.rater.astype("string"))
    return pd.DataFrame({"session_test_id": rows.study, "name": names})


def _trial_ids(study: Study, rows: pd.DataFrame) -> list[str]:
    """The item of each row; with the number of the trial where an item has several."""
    trials = Counter(trial.item for trial in study.trials)
    return [
        item if trials[item] == 1 else f"{item} (trial {trial + 1})"
        for item, trial in zip(rows["item"], rows.trial, strict=True)
    ]


def _milliseconds(rows: pd.DataFrame) -> pd.Series:
    return (1000 * rows.seconds).round().astype("Int64")
