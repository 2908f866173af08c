"""Databases of every age and kind: what is ours is kept and brought up to date, what is not is left alone."""

import shutil
import sqlite3
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, inspect
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable

from q2d2.listen.store import Row, open_store
from q2d2.listen.store.columns import UtcDateTime
from q2d2.listen.store.engines import connect
from q2d2.listen.store.migrating import SCRIPTS, migrate
from q2d2.listen.store.schema import REVISIONS, metadata
from q2d2.opening import FileError

_NEXT = """
from alembic import op
from sqlalchemy import Column, Text

revision, down_revision = "{revision}", "{before}"


def upgrade() -> None:
    op.add_column("answers", Column("{column}", Text, server_default="a"))
    {more}
"""


def longer(folder: Path, more: str = "") -> Path:
    """The migrations as a later q2d2 might have them: another two, of which the second runs `more` as well."""
    shutil.copytree(SCRIPTS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for revision, before, column, then in [("0002", "0001", "new", ""), ("0003", "0002", "newer", more)]:
        text = _NEXT.format(revision=revision, before=before, column=column, more=then)
        (folder / "versions" / f"{revision}_later.py").write_text(text)
    return folder


def url(path: Path) -> str:
    return f"sqlite:///{path}"


def with_ratings(path: Path) -> list[Row]:
    """A database of today's, and what it holds."""
    with open_store(url(path)) as store:
        store.bind("study")
        store.invite(["Ada", None])
        for trial in range(20):
            store.save(1 + trial % 2, trial, "good", trial / 7, 1, plays=trial)
            store.submit(1 + trial % 2, trial, trial / 3, f"comment {trial}")
        return store.rows()


def columns(engine: Engine) -> set[str]:
    return {column["name"] for column in inspect(engine).get_columns("answers")}


@pytest.fixture
def opened():
    """`opened(path)` -> an engine that is closed after the test."""
    engines = []

    def make(path: Path) -> Engine:
        engines.append(connect(url(path)))
        return engines[-1]

    yield make
    for engine in engines:
        engine.dispose()


def test_migrations_make_the_tables_of_the_schema(tmp_path, opened):
    open_store(url(tmp_path / "a.db")).close()
    with opened(tmp_path / "a.db").connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": REVISIONS})
        assert compare_metadata(context, metadata) == []
        assert set(inspect(connection).get_table_names()) == {*metadata.tables, REVISIONS}
    # compare_metadata does not look at checks
    with opened(tmp_path / "a.db").connect() as connection, pytest.raises(DBAPIError, match="one_study"):
        connection.exec_driver_sql("INSERT INTO study VALUES (2, 'second')")


@pytest.mark.parametrize("dialect", [postgresql.dialect(), mysql.dialect()], ids=lambda dialect: dialect.name)
def test_servers_get_columns_that_hold_the_same(dialect):
    made = "\n".join(str(CreateTable(table).compile(dialect=dialect)) for table in metadata.sorted_tables)
    if dialect.name == "mysql":
        assert "saved_at DATETIME(6)" in made and "score DOUBLE" in made and "COLLATE utf8mb4_bin" in made
    else:
        assert "saved_at TIMESTAMP" in made and "score DOUBLE PRECISION" in made and "number SERIAL" in made


def test_moments_are_the_same_from_every_zone():
    column, dialect = UtcDateTime(), sqlite.dialect()
    there = datetime(2025, 1, 1, 1, 30, 0, 123456, timezone(timedelta(hours=5, minutes=30)))
    stored = column.process_bind_param(there, dialect)
    assert stored == datetime(2024, 12, 31, 20, 0, 0, 123456)
    found = column.process_result_value(stored, dialect)
    assert found == there and found.utcoffset() == timedelta(0)


def test_an_older_database_is_brought_up_to_date_with_all_its_ratings(tmp_path, opened):
    path = tmp_path / "rat%ings.db"  # Alembic's settings take % for a reference
    before = with_ratings(path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]  # a new database has no copy
    engine = opened(path)
    migrate(engine, longer(tmp_path / "100 %"))
    assert {"new", "newer"} <= columns(engine)
    with engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT trial, score, plays, new FROM answers ORDER BY rater, trial").all()
    assert found == [(row.trial, row.score, row.plays, "a") for row in before]
    copy = tmp_path / f"{path.name}.before-0003"
    with open_store(url(copy)) as store:
        assert store.rows() == before and [rater.name for rater in store.raters()] == ["Ada", None]
    copied = copy.read_bytes()
    migrate(engine, tmp_path / "100 %")  # nothing is left to do
    assert copy.read_bytes() == copied
    engine.dispose()
    assert {file.name for file in tmp_path.iterdir()} == {path.name, copy.name, "100 %"}


def test_a_migration_that_fails_changes_nothing(tmp_path, opened):
    before = with_ratings(tmp_path / "a.db")
    engine = opened(tmp_path / "a.db")
    with pytest.raises(ZeroDivisionError):
        migrate(engine, longer(tmp_path / "scripts", "1 / 0"))
    assert not {"new", "newer"} & columns(engine)
    with open_store(url(tmp_path / "a.db")) as store:
        assert store.rows() == before


def test_a_newer_database_is_left_alone(tmp_path, opened):
    with_ratings(tmp_path / "a.db")
    migrate(opened(tmp_path / "a.db"), longer(tmp_path / "scripts"))
    content = (tmp_path / "a.db").read_bytes()
    with pytest.raises(FileError, match=r"a\.db: was written by a newer q2d2 \(revision 0003\); update q2d2"):
        open_store(url(tmp_path / "a.db"))
    assert (tmp_path / "a.db").read_bytes() == content


def test_a_database_of_something_else_is_left_alone(tmp_path):
    path = tmp_path / "photos.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE photos (name)")
    other.close()
    content = path.read_bytes()
    with pytest.raises(FileError, match=r"photos\.db: holds tables of something else \(photos\)"):
        open_store(url(path))
    assert path.read_bytes() == content and list(tmp_path.iterdir()) == [path]


def test_what_is_no_database_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("not a database " * 1000)
    with pytest.raises(FileError, match=r"notes\.txt: cannot be used \(file is not a database\)"):
        open_store(url(tmp_path / "notes.txt"))
    assert (tmp_path / "notes.txt").read_text() == "not a database " * 1000
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ratings.db", "is not the URL of a database"),
        ("sqlite://", "would be kept in memory"),
        ("sqlite:///:memory:", "would be kept in memory"),
        ("sqlite:///file:a?mode=memory&uri=true", "would be kept in memory"),
        ("nothing://here", "knows no such database"),
        ("sqlite:////no/such/folder/ratings.db", "unable to open database file"),
    ],
)
def test_urls_of_nothing(url, reason):
    with pytest.raises(FileError, match=reason):
        open_store(url)


def test_messages_do_not_tell_passwords(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg2", None)  # as if it were not installed
    with pytest.raises(FileError, match="needs the Python package psycopg2") as raised:
        open_store("postgresql+psycopg2://me:secret@host/ratings")
    assert "secret" not in str(raised.value)


_OPEN = """
import sys
from pathlib import Path
from q2d2.listen.store.engines import connect, keep_log
from q2d2.listen.store.migrating import migrate

print("ready", flush=True)
sys.stdin.readline()
for path in sys.argv[2:]:
    engine = connect(f"sqlite:///{path}")
    migrate(engine, Path(sys.argv[1]))
    keep_log(engine)
    engine.dispose()
"""


def open_in_processes(scripts: Path, paths: list[Path], processes: int = 3) -> None:
    """Each process opens all the databases, and they begin together."""
    command = [sys.executable, "-c", _OPEN, str(scripts), *map(str, paths)]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    for process in running:
        assert process.stdout.readline() == "ready\n"
    for process in running:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in running:
        process.communicate()
        assert process.returncode == 0


def test_several_processes_make_a_database_at_once(tmp_path):
    paths = [tmp_path / f"{number}.db" for number in range(10)]
    open_in_processes(SCRIPTS, paths)
    for path in paths:
        with open_store(url(path)) as store:
            assert [rater.number for rater in store.invite(["Ada"])] == [1]


def test_several_processes_migrate_a_database_at_once(tmp_path, opened):
    scripts = longer(tmp_path / "scripts")
    paths = [tmp_path / f"{number}.db" for number in range(4)]
    before = with_ratings(paths[0])
    for path in paths[1:]:
        shutil.copy(paths[0], path)
    open_in_processes(scripts, paths)
    for path in paths:
        assert {"new", "newer"} <= columns(opened(path))
        with open_store(url(Path(f"{path}.before-0003"))) as copy:
            assert copy.rows() == before
