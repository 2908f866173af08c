"""Ratings as tables: every file says again what the store holds, and no spreadsheet calculates a comment."""

import csv
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from studies import make_study

from q2d2.console import UsageError
from q2d2.listen.planning import answer, plan
from q2d2.listen.store import Store, open_store
from q2d2.listen.store.export import frame, write_csv, write_parquet
from q2d2.listen.study import Study, database_url
from q2d2.listen.webmushra import write_results

TYPED = 'two\r\nlines, a "quote"; ünïcode 🎧'


def rated(folder: Path, study: Study) -> Store:
    """Three listeners, of whom the second has no name, and the third leaves the last page unfinished."""
    store = open_store(database_url(folder))
    rng = np.random.default_rng(0)
    for number, name, typed in [(1, "=SUM(A1)", "-1"), (2, None, TYPED), (3, "Ada", "")]:
        store.invite([name])
        pages = plan(study, number)
        for page in pages:
            if study.protocol.kind == "multiple":
                for position, condition in enumerate(page.order, start=1):
                    store.save(number, page.trial, condition, float(rng.integers(101)), position, plays=position)
            else:
                choices = [mark.value for mark in study.protocol.scale]
                given = answer(study, page, float(rng.choice(choices)))
                store.save(number, page.trial, given.condition, given.score, page.order.index(given.condition) + 1)
            if number != 3 or page != pages[-1]:
                store.submit(number, page.trial, 10 / 3, typed)
    return store


@pytest.fixture(scope="module", params=["mushra", "cmos-q", "ab", "abx"])
def ratings(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    study = make_study(folder, request.param, duration_s=0.1, systems=("good", "bad", "worse"))
    with rated(folder, study) as store:
        yield study, store


def test_a_row_per_score(ratings):
    study, store = ratings
    for submitted_only in (True, False):
        rows = store.rows(submitted_only)
        table = frame(study, store, submitted_only)
        assert len(table) == len(rows) > 0
        for name in ("rater", "trial", "condition", "score", "position", "plays", "saved_at"):
            assert table[name].tolist() == [getattr(row, name) for row in rows]
        assert table["item"].tolist() == [study.trials[row.trial].item for row in rows]
        assert set(table.study) == {study.study_id} and set(table.protocol) == {study.protocol_name}
        assert table.submitted_at.isna().tolist() == [row.submitted_at is None for row in rows]
        assert table.seconds.isna().equals(table.submitted_at.isna())
    assert table.submitted_at.isna().any()


def test_parquet_reads_as_the_same_table(ratings, tmp_path):
    table = frame(*ratings, submitted_only=False)
    write_parquet(table, tmp_path / "ratings.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "ratings.parquet"), table)
    assert str(table.saved_at.dt.tz) == "UTC"


def test_csv_says_the_same_but_for_formulas(ratings, tmp_path):
    study, store = ratings
    write_csv(frame(study, store, submitted_only=False), tmp_path / "ratings.csv")
    with (tmp_path / "ratings.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    safe = {"=SUM(A1)": "'=SUM(A1)", "-1": "'-1", None: ""}
    for row, line in zip(store.rows(submitted_only=False), lines, strict=True):
        assert float(line["score"]) == row.score
        assert (float(line["seconds"]) if line["seconds"] else None) == row.seconds
        assert [int(line[name]) for name in ("rater", "trial", "position", "plays")] == [
            row.rater, row.trial, row.position, row.plays,
        ]  # fmt: skip
        assert line["rater_name"] == safe.get(row.rater_name, row.rater_name)
        assert line["comment"] == safe.get(row.comment, row.comment)
        assert [line["study"], line["item"]] == [study.study_id, study.trials[row.trial].item]
        assert _moment(line["saved_at"]) == row.saved_at and _moment(line["submitted_at"]) == row.submitted_at


def _moment(text: str) -> datetime | None:
    return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_text_begins_as_a_formula(start, tmp_path):
    table = pd.DataFrame({"comment": [f"{start}1", f"1{start}", None], "score": [-1.0, 1.0, 2.0]})
    write_csv(table, tmp_path / "a.csv")
    read = (tmp_path / "a.csv").read_bytes().decode()
    assert read.startswith(f'"comment","score"\n"\'{start}1",-1.0\n"1{start}",1.0\n')


@pytest.mark.parametrize("protocol", ["mushra", "ab"])
def test_a_table_without_rows_has_the_same_columns(protocol, tmp_path):
    study = make_study(tmp_path, protocol, duration_s=0.1)
    with open_store(database_url(tmp_path)) as store:
        empty = frame(study, store)
        written = pd.read_csv(write_results(study, empty, tmp_path / "results"))
    with rated(tmp_path, study) as store:
        full = frame(study, store)
        again = pd.read_csv(write_results(study, full, tmp_path / "results"))
    assert empty.dtypes.equals(full.dtypes) and len(empty) == 0
    assert list(written.columns) == list(again.columns) and len(written) == 0 and len(again) > 0


def test_webmushra_has_a_row_per_stimulus(tmp_path):
    study = make_study(tmp_path, duration_s=0.1)
    with rated(tmp_path, study) as store:
        path = write_results(study, frame(study, store), tmp_path / "results")
        rows = store.rows()
    assert path == tmp_path / "results" / "mushra.csv"
    read = pd.read_csv(path)
    expected = [
        "session_test_id", "name", "session_uuid", "trial_id",
        "rating_stimulus", "rating_score", "rating_time", "rating_comment",
    ]  # fmt: skip
    assert list(read.columns) == expected
    assert read.rating_stimulus.tolist() == [row.condition for row in rows]
    assert {"reference", "anchor35"} < set(read.rating_stimulus)
    assert read.rating_score.tolist() == [row.score for row in rows] and read.rating_score.dtype == int
    assert set(read.rating_time) == {3333}
    assert set(read.name) == {"'=SUM(A1)", "rater 2", "Ada"}
    assert set(read.session_test_id) == {study.study_id}
    assert set(read.trial_id) == {trial.item for trial in study.trials}
    assert read.groupby("name").session_uuid.nunique().tolist() == [1, 1, 1] and read.session_uuid.nunique() == 3


def test_webmushra_says_which_of_two_is_preferred(tmp_path):
    study = make_study(tmp_path, "ab", items=2, systems=("good", "bad", "worse"), duration_s=0.1)
    with rated(tmp_path, study) as store:
        read = pd.read_csv(write_results(study, frame(study, store), tmp_path / "results"))
        rows = store.rows()
    assert set(read.choice_answer) == {"good", "bad", "worse", "undecided"}
    for row, line in zip(rows, read.itertuples(), strict=True):
        pair = tuple(study.trials[row.trial].stimuli)
        assert (line.choice_reference, line.choice_non_reference) == pair
        assert line.choice_answer == {-1: pair[0], 0: "undecided", 1: pair[1]}[row.score]
    # three pairs of each item: their trials are told apart
    assert read.groupby("name").trial_id.nunique().tolist() == [6, 5, 6]
    assert all(line.trial_id.startswith("item-") for line in read.itertuples())


def test_webmushra_says_whether_x_was_identified(tmp_path):
    study = make_study(tmp_path, "abx", items=4, systems=("good",), duration_s=0.1)
    with rated(tmp_path, study) as store:
        path = write_results(study, frame(study, store), tmp_path / "results")
        read, rows = pd.read_csv(path), store.rows()
    assert path.name == "paired_comparison.csv"
    assert set(read.choice_reference) == {"reference"} and set(read.choice_non_reference) == {"good"}
    assert read.choice_answer.tolist() == ["correct" if row.score == 1 else "incorrect" for row in rows]
    assert set(read.choice_answer) == {"correct", "incorrect"}


def test_webmushra_has_no_comparison_on_a_scale(tmp_path):
    study = make_study(tmp_path, "cmos-p", duration_s=0.1)
    with rated(tmp_path, study) as store, pytest.raises(UsageError, match="cmos-p.*CSV and Parquet"):
        write_results(study, frame(study, store), tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_a_file_that_cannot_be_written_whole_stays_as_it_was(tmp_path):
    (tmp_path / "a.csv").write_text("before")
    lone = pd.DataFrame({"score": [1.0, 2.0], "comment": ["fine", "\ud800"]}, dtype=object)  # half a character
    with pytest.raises(UnicodeEncodeError):
        write_csv(lone, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "before" and len(list(tmp_path.iterdir())) == 1
