"""Ratings are kept: as a model in memory says, through threads, processes and sudden ends."""

import math
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from q2d2.listen.store import ClosedError, UnknownRaterError, engines, open_store
from q2d2.listen.study import database_url
from q2d2.opening import FileError


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'ratings.db'}"


@pytest.fixture
def store(tmp_path):
    with open_store(url(tmp_path)) as opened:
        yield opened


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with open_store(url(tmp_path_factory.mktemp("shared"))) as opened:
        yield opened


def test_listeners_are_numbered_from_one(store):
    assert [rater.number for rater in store.invite(["Ada", None])] == [1, 2]
    assert store.invite([]) == []
    assert store.invite(["Ada"]) == [store.rater(3)]
    assert [(rater.number, rater.name) for rater in store.raters()] == [(1, "Ada"), (2, None), (3, "Ada")]


def test_the_first_time_counts(store):
    [rater] = store.invite(["Ada"])
    assert rater == (1, "Ada", None, None, None) == store.rater(1)
    began = datetime.now(timezone.utc)
    steps: list[Callable[[int], None]] = [store.start, store.finish_training, store.finish]
    for step in steps:
        step(1)
    first = store.rater(1)
    assert began <= first.started_at <= first.trained_at <= first.finished_at <= datetime.now(timezone.utc)
    assert first.started_at.utcoffset() == timedelta(0)
    for step in steps:
        step(1)
    assert store.rater(1) == first


def test_nobody_else_can_rate(store):
    store.invite(["Ada"])
    for attempt in (
        lambda: store.rater(2),
        lambda: store.start(2),
        lambda: store.finish_training(0),
        lambda: store.finish(-1),
        lambda: store.save(2, 0, "good", 1.0, 1),
        lambda: store.submit(2, 0, 1.0),
    ):
        with pytest.raises(UnknownRaterError, match="there is no listener"):
            attempt()
    assert store.rows(submitted_only=False) == [] and store.answers(2, 0) == {} and store.submitted(2) == set()


def test_what_is_no_number_is_not_kept(store):
    store.invite(["Ada"])
    for score in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match="is not a score"):
            store.save(1, 0, "good", score, 1)
        with pytest.raises(ValueError, match="is not a duration"):
            store.submit(1, 0, score)
    assert store.rows(submitted_only=False) == [] and store.submitted(1) == set()


def test_a_database_is_of_one_study(store, tmp_path):
    store.bind("first")
    store.bind("first")
    with open_store(url(tmp_path)) as again:
        again.bind("first")
        with pytest.raises(FileError, match=r"ratings\.db: holds the ratings of another study \(first\)"):
            again.bind("second")


def test_only_one_of_several_studies_gets_a_database(tmp_path):
    def bind(study_id: str) -> bool:
        with open_store(url(tmp_path)) as opened:
            together.wait()
            try:
                opened.bind(study_id)
            except FileError:
                return False
            return True

    together = threading.Barrier(4)
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(bind, ["first", "second", "third", "fourth"])) == 1


def test_a_study_keeps_its_ratings_in_its_folder(tmp_path):
    folder = tmp_path / "50%25 #1?" / "what? ü"
    folder.mkdir(parents=True)
    with open_store(database_url(folder)):
        assert {file.name for file in folder.iterdir()} >= {"ratings.db"}
    assert [file.name for file in folder.iterdir()] == ["ratings.db"] and len(list(tmp_path.iterdir())) == 1


def test_a_row_says_all(store):
    store.invite(["Ada", None])
    began = datetime.now(timezone.utc)
    store.save(2, 1, "good", 0.1, 2, plays=3)
    store.save(1, 0, "bad", 1.0, 2)
    store.save(1, 0, "good", -0.5, 1, plays=1)
    store.submit(1, 0, 1 / 3, "a comment")
    store.save(1, 1, "good", 2.0, 1)
    store.submit(1, 1, None)
    first, second, third, last = store.rows(submitted_only=False)
    assert first[:9] == (1, "Ada", 0, "good", -0.5, 1, 1, 1 / 3, "a comment")
    assert second[:9] == (1, "Ada", 0, "bad", 1.0, 2, 0, 1 / 3, "a comment")
    assert third[:9] == (1, "Ada", 1, "good", 2.0, 1, 0, None, "")
    assert last[:9] == (2, None, 1, "good", 0.1, 2, 3, None, "") and last.submitted_at is None
    assert began <= second.saved_at <= first.saved_at <= first.submitted_at == second.submitted_at
    assert store.rows() == [first, second, third]


@pytest.mark.parametrize("connections", [1, 3])
def test_sqlite_keeps_what_it_was_given(store, connections):
    """On every connection: a log, flushed at each commit, references that hold, and patience."""
    opened = [store._engine.connect() for _ in range(connections)]
    for connection in opened:
        for setting, value in [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)]:
            assert connection.exec_driver_sql(f"PRAGMA {setting}").scalar() == value
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() >= 10_000
    for connection in opened:
        connection.close()


# Few listeners, trials and conditions, so that they meet; NUL is left out because PostgreSQL cannot hold it.
_raters, _trials = st.integers(0, 1), st.integers(0, 2)
_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
_conditions = st.sampled_from(["good", "Good", "bad ", "bad", "reference", "ü🎧'\";--", ""])
_numbers = st.floats(allow_nan=False, allow_infinity=False)
_saves = st.tuples(st.just("save"), _raters, _trials, _conditions, _numbers, st.integers(1, 9), st.integers(0, 99))
_submits = st.tuples(st.just("submit"), _raters, _trials, st.none() | _numbers, _texts)


@settings(max_examples=40)
@given(st.lists(_saves | _saves | _submits, max_size=25))
def test_the_store_is_what_a_dictionary_would_be(shared, calls):
    numbers = [rater.number for rater in shared.invite([None, "Ada"])]
    scores: dict[tuple, tuple] = {}
    closed: dict[tuple, tuple] = {}
    for kind, rater, *what in calls:
        number, trial = numbers[rater], what[0]
        call = shared.save if kind == "save" else shared.submit
        if (number, trial) in closed:
            with pytest.raises(ClosedError):
                call(number, *what)
            continue
        call(number, *what)
        if kind == "save":
            scores[number, trial, what[1]] = tuple(what[2:])
        else:
            closed[number, trial] = tuple(what[1:])
    for number in numbers:
        assert shared.submitted(number) == {trial for rater, trial in closed if rater == number}
        for trial in range(3):
            expected = {key[2]: score[0] for key, score in scores.items() if key[:2] == (number, trial)}
            assert shared.answers(number, trial) == expected
    found = {row[:1] + row[2:9] for row in shared.rows(submitted_only=False) if row.rater in numbers}
    assert found == {(*key, *score, *closed.get(key[:2], (None, ""))) for key, score in scores.items()}
    found = {(row.rater, row.trial, row.condition) for row in shared.rows() if row.rater in numbers}
    assert found == {key for key in scores if key[:2] in closed}


def test_two_windows_of_a_listener_take_turns(shared):
    """While one saves, the other submits, several times: what was accepted is what stands."""
    [rater] = shared.invite(["Ada"])
    refused = 0
    for trial in range(15):
        accepted, submitted = [], threading.Barrier(3)

        def save(trial=trial, accepted=accepted, barrier=submitted) -> int:
            barrier.wait()
            for score in range(40):
                try:
                    shared.save(rater.number, trial, "good", float(score), 1)
                except ClosedError:
                    return 1
                accepted.append(float(score))
            return 0

        def submit(trial=trial, barrier=submitted) -> int:
            barrier.wait()
            try:
                shared.submit(rater.number, trial, 1.0)
            except ClosedError:
                return 1
            return 0

        with ThreadPoolExecutor(3) as pool:
            saving, *submitting = pool.submit(save), pool.submit(submit), pool.submit(submit)
            refused += saving.result()
            assert sum(attempt.result() for attempt in submitting) == 1  # one submission, not two and not none
        assert shared.answers(rater.number, trial) == ({"good": accepted[-1]} if accepted else {})
    assert refused > 0  # otherwise they did not meet


def test_threads_may_open_several_at_once(tmp_path):
    def invite(number: int) -> list[int]:
        with open_store(f"sqlite:///{tmp_path / str(number % 6)}.db") as opened:
            return [rater.number for rater in opened.invite([None])]

    with ThreadPoolExecutor(6) as pool:
        numbers = [number for invited in pool.map(invite, range(12)) for number in invited]
    assert sorted(numbers) == [1] * 6 + [2] * 6


_SAVE_IN_THREADS = """
import sys
from concurrent.futures import ThreadPoolExecutor
from q2d2.listen.store import open_store

first = int(sys.argv[2])
with open_store(sys.argv[1]) as store:
    def rate(rater):
        for trial in range(8):
            store.save(rater, trial, "good", float(trial), 1)
            store.save(rater, trial, "good", float(100 * rater + trial), 1)
            store.submit(rater, trial, 1.0, f"{rater}")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(rate, range(first, first + 8)))
"""


def test_two_processes_of_eight_threads_lose_nothing(store, tmp_path):
    store.invite([None] * 16)
    command = [sys.executable, "-c", _SAVE_IN_THREADS, url(tmp_path)]
    processes = [subprocess.Popen([*command, first], stderr=subprocess.PIPE, text=True) for first in ("1", "9")]
    for process in processes:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    found = [(row.rater, row.trial, row.score, row.comment) for row in store.rows()]
    assert found == [(rater, trial, 100.0 * rater + trial, f"{rater}") for rater in range(1, 17) for trial in range(8)]


_SAVE_FOREVER = """
import sys
from itertools import count
from q2d2.listen.store import open_store

store = open_store(sys.argv[1])
for number in count(int(sys.argv[2])):
    store.save(1, number // 2, ("good", "bad")[number % 2], float(number), 1)
    print(number, flush=True)
    if number % 2:
        store.submit(1, number // 2, 1.0)
"""


def test_what_was_saved_survives_a_sudden_end(tmp_path):
    """A process that says what it has saved is killed, again and again: all that it said is there."""
    with open_store(url(tmp_path)) as store:
        store.invite(["Ada"])
    rng = random.Random(0)
    following = 0
    for _ in range(3):
        saving = subprocess.Popen(
            [sys.executable, "-c", _SAVE_FOREVER, url(tmp_path), str(following)], stdout=subprocess.PIPE, text=True
        )
        said = [saving.stdout.readline() for _ in range(rng.randint(1, 80))]
        threading.Event().wait(rng.uniform(0, 0.01))
        saving.send_signal(signal.SIGKILL)
        said += saving.communicate()[0].splitlines(keepends=True)
        assert saving.returncode == -signal.SIGKILL
        last = int([line for line in said if line.endswith("\n")][-1])
        with closing(sqlite3.connect(tmp_path / "ratings.db")) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        with open_store(url(tmp_path)) as store:
            found = sorted(row.score for row in store.rows(submitted_only=False))
            assert found[: last + 1] == list(range(last + 1)) and len(found) <= last + 2  # one may not be said yet
            following = len(found)


def test_a_new_database_is_for_its_owner_alone(tmp_path):
    with open_store(url(tmp_path)) as store:
        store.invite(["Ada"])
        assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_what_a_database_refuses_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "_BUSY_MS", 20)
    with closing(sqlite3.connect(tmp_path / "ratings.db", isolation_level=None)) as other:
        with (
            pytest.raises(
                FileError, match=r"ratings\.db: cannot be used \(database is locked\); give the URL"
            ) as found,
            open_store(url(tmp_path)) as store,
        ):
            other.execute("BEGIN IMMEDIATE")
            store.invite([None])
        assert "\n" not in str(found.value)
