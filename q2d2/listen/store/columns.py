"""Types of columns that hold the same on every database: schema and migrations share them, so they never change."""

from __future__ import annotations

from datetime import datetime, timezone

from sqlalchemy import DateTime, Dialect, Double, Integer, String, Text, TypeDecorator
from sqlalchemy.dialects.mysql import DATETIME, VARCHAR

_NAME_LENGTH = 255


class UtcDateTime(TypeDecorator[datetime]):
    """A moment to the microsecond. Stored as UTC without saying so, since SQLite and MySQL keep no time zones."""

    impl = DateTime().with_variant(DATETIME(fsp=6), "mysql", "mariadb")
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(timezone.utc).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=timezone.utc)


# MySQL otherwise takes "A" and "a" for the same condition, and wants a length for what is in a key.
NAME = String(_NAME_LENGTH).with_variant(
    VARCHAR(_NAME_LENGTH, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
)
TEXT = Text()
WHOLE = Integer()
NUMBER: Double[float] = Double()  # float64; Float would be float32 on MySQL
MOMENT = UtcDateTime()
