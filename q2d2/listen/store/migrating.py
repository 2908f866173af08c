"""A database of any age -> one of today's tables, by Alembic, with every rating kept.

Whoever opens the database does it; several at once wait for each other. A copy is made of an SQLite file before it is
changed. What this version of q2d2 does not know is left alone.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect
from sqlalchemy.exc import DBAPIError

from q2d2.atomic import replacing
from q2d2.listen.store.engines import database_name, writing
from q2d2.listen.store.schema import REVISIONS
from q2d2.opening import FileError

SCRIPTS = Path(__file__).parent / "migrations"

_TRIES, _WAIT_S = 20, 0.1
_one_at_a_time = threading.Lock()  # Alembic keeps what it is doing in a module


def migrate(engine: Engine, scripts: Path = SCRIPTS) -> None:
    """Bring the database to the newest revision of `scripts`.

    FileError for one with tables of others, or of a revision that is not among them.
    """
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    script = ScriptDirectory.from_config(config)
    for tries_left in reversed(range(_TRIES)):
        with engine.begin() as connection:
            if _revision(connection, script) == script.get_current_head():
                return
        try:
            with _one_at_a_time, writing(engine).begin() as connection:
                _upgrade(connection, script, config)
        except DBAPIError:
            # On a server nobody waits for another's new tables: the second one fails, and then finds them made.
            if not tries_left:
                raise
            time.sleep(_WAIT_S)


def _upgrade(connection: Connection, script: ScriptDirectory, config: Config) -> None:
    revision, newest = _revision(connection, script), script.get_current_head()
    if revision == newest:  # somebody else was first
        return
    if revision is not None and connection.dialect.name == "sqlite":
        _back_up(connection, f".before-{newest}")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _revision(connection: Connection, script: ScriptDirectory) -> str | None:
    """The revision of a database, None of an empty one."""
    database = database_name(connection.engine.url)
    tables = inspect(connection).get_table_names()
    if tables and REVISIONS not in tables:
        raise FileError(
            f"{database}: holds tables of something else ({tables[0]}); ratings need a database of their own"
        )
    revision = MigrationContext.configure(connection, opts={"version_table": REVISIONS}).get_current_revision()
    if revision is not None and revision not in {known.revision for known in script.walk_revisions()}:
        raise FileError(f"{database}: was written by a newer q2d2 (revision {revision}); update q2d2")
    return revision


def _back_up(connection: Connection, suffix: str) -> None:
    """Copy what is committed of an SQLite database to a file beside it."""
    path = next(row.file for row in connection.exec_driver_sql("PRAGMA database_list") if row.name == "main")
    # A connection of its own: the one that holds the lock must not be copied from.
    with (
        replacing(Path(f"{path}{suffix}")) as temporary,
        closing(sqlite3.connect(path)) as source,
        closing(sqlite3.connect(temporary)) as target,
    ):
        source.backup(target)
