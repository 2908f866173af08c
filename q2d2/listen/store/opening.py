"""The URL of a database -> a store of ratings that is ready for use."""

from __future__ import annotations

from q2d2.listen.store.engines import DATABASE_ERRORS, connect, keep_log, unusable
from q2d2.listen.store.migrating import migrate
from q2d2.listen.store.ratings import Store


def open_store(url: str) -> Store:
    """Open the database at an SQLAlchemy URL, made or brought up to date if need be.

    FileError for what is no database, cannot be reached, is of a newer q2d2, or holds something else.
    """
    engine = connect(url)
    try:
        migrate(engine)
        keep_log(engine)
    except DATABASE_ERRORS as error:
        engine.dispose()
        raise unusable(engine.url, error) from error
    except BaseException:
        engine.dispose()
        raise
    return Store(engine)
