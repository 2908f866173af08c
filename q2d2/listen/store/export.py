"""Ratings as a table, for one's own statistics: a DataFrame, CSV, Parquet, or the files that webMUSHRA writes.

In CSV files, a name or comment that begins as a formula does (with =, +, -, @, a tab or a carriage return) gets an
apostrophe before it, since spreadsheets would calculate it; in Parquet all texts are as they were typed.
"""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from uuid import NAMESPACE_OID, uuid5

import pandas as pd

from q2d2.atomic import replacing
from q2d2.console import UsageError
from q2d2.listen.planning import plan
from q2d2.listen.store.ratings import Store
from q2d2.listen.study import Study, Trial

_COLUMNS = {
    "study": "string",
    "protocol": "string",
    "rater": "int64",
    "rater_name": "string",
    "trial": "int64",
    "item": "string",
    "condition": "string",
    "score": "float64",
    "position": "int64",
    "plays": "int64",
    "seconds": "float64",
    "comment": "string",
    "saved_at": "datetime64[us, UTC]",
    "submitted_at": "datetime64[us, UTC]",
}
# the columns of what people typed, or what came with somebody's files
_TYPED = ("rater_name", "name", "item", "trial_id", "comment", "rating_comment", "choice_comment")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def frame(study: Study, store: Store, submitted_only: bool = True) -> pd.DataFrame:
    """A row per score by listener, trial and position; what is unknown is NA. The columns are those of `Row`, and:

    study (its study_id), protocol, item (the utterance). Of pairs, the condition is the trial's second one, and a
    score above 0 prefers it to the first, or says that X was identified.
    """
    rows = [
        {"study": study.study_id, "protocol": study.protocol_name, "item": study.trials[row.trial].item} | row._asdict()
        for row in store.rows(submitted_only)
    ]
    return pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS)


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """UTF-8, texts in quotes, numbers with all their digits, times in ISO 8601."""
    safe = frame.assign(**{name: frame[name].map(_as_text, na_action="ignore") for name in _TYPED if name in frame})
    with replacing(path) as temporary:
        safe.to_csv(
            temporary,
            index=False,
            encoding="utf-8",
            quoting=csv.QUOTE_NONNUMERIC,  # a line break of any kind in a comment stays inside it
            lineterminator="\n",
            date_format="%Y-%m-%dT%H:%M:%S.%fZ",
        )


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """The same table when it is read again, types included."""
    with replacing(path) as temporary:
        frame.to_parquet(temporary, engine="pyarrow", index=False)


def write_webmushra(study: Study, store: Store, folder: Path) -> Path:
    """What webMUSHRA would have written of the submitted trials; returns the file.

    mushra.csv has a row per stimulus. paired_comparison.csv has a row per pair: of an ABX study with X as the
    reference, and "correct" or "incorrect"; of an AB study with the first condition as the reference, and the name
    of the preferred one or "undecided". There is one question to participants, their `name`. Times are in ms.
    UsageError for protocols that webMUSHRA does not have.
    """
    rows = frame(study, store)
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
    x = {(rater, page.trial): page.x for rater in set(rows.rater) for page in plan(study, rater)}
    pairs = [_pair(study.trials[row.trial], row.score, x[row.rater, row.trial]) for row in rows.itertuples()]
    choices = pd.DataFrame(pairs, columns=["choice_reference", "choice_non_reference", "choice_answer"], dtype="string")
    table = _participants(study, rows).assign(trial_id=_trial_ids(study, rows)).join(choices)
    return table.assign(choice_time=_milliseconds(rows), choice_comment=rows.comment)


def _pair(trial: Trial, score: float, x: str | None) -> tuple[str, str, str]:
    """The reference, the other one, and the answer; `x` is what was to be identified, if anything was."""
    first, second = trial.stimuli
    if x is not None:
        return x, second if x == first else first, "correct" if score > 0 else "incorrect"
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


def _as_text(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
