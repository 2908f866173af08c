"""Connections to a database, and what SQLite needs to be told. Knows nothing of tables.

SQLite's driver begins transactions late and by itself; here it does not, so that who is about to write can wait for
the others at the beginning, where waiting is safe (BEGIN IMMEDIATE).
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing, suppress
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from q2d2.opening import FileError

_BUSY_MS = 10_000  # how long a transaction waits for another one
_WAIT_S = 0.01
_BEGIN = "q2d2_begin"
_EXAMPLE = "sqlite:///ratings.db is one"

# What a database that cannot be read raises, also before SQLAlchemy has a connection.
DATABASE_ERRORS = (DBAPIError, sqlite3.Error)


def connect(url: str) -> Engine:
    """An engine for the URL of a database; FileError for what is none. Of SQLite, the file is made if there is none."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise FileError(f"{url}: is not the URL of a database; {_EXAMPLE}") from error
    if parsed.get_backend_name() == "sqlite" and _in_memory(parsed):
        raise FileError(f"{url}: would be kept in memory, and lost; {_EXAMPLE} that is kept")
    try:
        engine = create_engine(parsed, pool_pre_ping=True)  # a server may have been restarted meanwhile
    except NoSuchModuleError as error:
        raise FileError(f"{database_name(parsed)}: SQLAlchemy knows no such database; {_EXAMPLE}") from error
    except ModuleNotFoundError as error:
        raise FileError(f"{database_name(parsed)}: needs the Python package {error.name}; install it") from error
    if engine.dialect.name == "sqlite":
        if parsed.database and not parsed.database.startswith("file:"):
            _for_us_alone(parsed.database)
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
    return engine


def writing(engine: Engine) -> Engine:
    """The same engine for transactions that write: on SQLite, one at a time."""
    return engine.execution_options(**{_BEGIN: "IMMEDIATE"})


def database_name(url: URL) -> str:
    """What messages call a database: the file, or the URL without the password."""
    if url.get_backend_name() == "sqlite" and url.database:
        return url.database
    return url.render_as_string(hide_password=True)


def unusable(url: URL, error: Exception) -> FileError:
    """What to say of one of DATABASE_ERRORS."""
    reason = " ".join(str(getattr(error, "orig", error)).split())
    return FileError(f"{database_name(url)}: cannot be used ({reason}); give the URL of a database that can be written")


def keep_log(engine: Engine) -> None:
    """Let SQLite write ahead into a log: readers and a writer need not wait for each other. The file remembers it."""
    if engine.dialect.name != "sqlite":
        return
    deadline = time.monotonic() + _BUSY_MS / 1000
    with closing(engine.raw_connection()) as connection:
        while True:
            try:
                connection.cursor().execute("PRAGMA journal_mode = WAL").close()
                return
            except sqlite3.OperationalError:  # SQLite does not wait by itself for others who change to it as well
                if time.monotonic() > deadline:
                    raise
                time.sleep(_WAIT_S)


def _for_us_alone(path: str) -> None:
    """Make a new database readable for nobody else on the machine; it holds names and comments."""
    with suppress(OSError):  # it is there, or it cannot be made: SQLite says why
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))


def _in_memory(url: URL) -> bool:
    return ":memory:" in (url.database or ":memory:") or url.query.get("mode") == "memory"


def _prepare(connection: Any, record: object) -> None:
    """Settings of a new connection. FULL: what was committed survives also when the machine stops, not only we."""
    connection.isolation_level = None  # leaves BEGIN to us
    cursor = connection.cursor()
    try:
        for setting in (f"busy_timeout = {_BUSY_MS}", "synchronous = FULL", "foreign_keys = ON"):
            cursor.execute(f"PRAGMA {setting}")
    finally:
        cursor.close()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get(_BEGIN, 'DEFERRED')}")
