"""Ratings as a table, for one's own statistics: a DataFrame, CSV or Parquet.

In CSV files, a text that begins as a formula does (with =, +, -, @, a tab or a carriage return) gets an apostrophe
before it, since spreadsheets would calculate it; in Parquet all texts are as they were typed.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd

from q2d2.atomic import replacing
from q2d2.listen.store.ratings import Store
from q2d2.listen.study import Study
from q2d2.tabular import no_formula

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
    texts = frame.select_dtypes(include=["object", "string"])
    safe = frame.assign(**{name: texts[name].map(no_formula, na_action="ignore") for name in texts})
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
