"""Who listens, and what they answered. Knows neither the study's sounds nor its scale: a score is a number.

Every change is a transaction that holds the listener's row, so two windows of one listener take turns: a trial that
was submitted cannot be changed by what was on its way. What a call has saved is on the disk when it returns.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime, timezone
from types import TracebackType
from typing import NamedTuple

from sqlalchemy import BindParameter, Column, Connection, Engine, and_, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from q2d2.listen.store.engines import DATABASE_ERRORS, database_name, unusable, writing
from q2d2.listen.store.schema import answers, raters, study, submissions
from q2d2.opening import FileError

# What every rating asks, built once: building a statement takes longer than SQLite takes to answer it.
_RATER: BindParameter[int] = bindparam("in_rater")
_TRIAL: BindParameter[int] = bindparam("in_trial")
_CONDITION: BindParameter[str] = bindparam("in_condition")
_THE_RATER = select(raters).where(raters.c.number == _RATER)
_THE_RATER_LOCKED = select(raters.c.number).where(raters.c.number == _RATER).with_for_update()
_SUBMITTED = select(submissions.c.trial).where(submissions.c.rater == _RATER)
_CLOSED = _SUBMITTED.where(submissions.c.trial == _TRIAL)
_ANSWERS = (
    select(answers.c.condition, answers.c.score)
    .where(answers.c.rater == _RATER, answers.c.trial == _TRIAL)
    .order_by(answers.c.position, answers.c.condition)
)
_CHANGE = update(answers).where(answers.c.rater == _RATER, answers.c.trial == _TRIAL, answers.c.condition == _CONDITION)


class Rater(NamedTuple):
    """A listener; times are UTC, and None where it did not happen yet."""

    number: int
    name: str | None
    started_at: datetime | None
    trained_at: datetime | None
    finished_at: datetime | None


class Score(NamedTuple):
    """What a listener gave one condition."""

    condition: str
    score: float
    position: int  # where the listener had it: 1 = A, 2 = B, ...
    plays: int = 0  # how often it was switched to


class Row(NamedTuple):
    """A score, with all that is known about it; times are UTC."""

    rater: int
    rater_name: str | None
    trial: int  # its index in study.trials
    condition: str
    score: float
    position: int  # where the listener had it: 1 = A, 2 = B, ...
    plays: int  # how often it was switched to
    seconds: float | None  # spent on the trial; None if unknown, or before it is submitted
    comment: str
    saved_at: datetime
    submitted_at: datetime | None


class ClosedError(ValueError):
    """An answer to a trial that was submitted."""


class UnknownRaterError(ValueError):
    """A number that no listener has."""


class Store:
    """The ratings of one study. May be shared by threads; to be closed at the end, by itself with `with`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writing = writing(engine)
        # SQLite lets one write at a time, and those who wait ask again and again, with pauses of up to 0.1 s
        self._queue = threading.Lock() if engine.dialect.name == "sqlite" else nullcontext()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it; FileError for what the database did not do."""
        self.close()
        if isinstance(error, DATABASE_ERRORS):
            raise unusable(self._engine.url, error) from error

    def close(self) -> None:
        self._engine.dispose()

    def bind(self, study_id: str) -> None:
        """Say whose ratings these are; FileError if they are another study's."""
        if self._bound_to() is None:
            with suppress(IntegrityError), self._writing.begin() as connection:  # unless somebody else did just now
                connection.execute(insert(study).values(place=1, study_id=study_id))
        if (bound := self._bound_to()) != study_id:
            database = database_name(self._engine.url)
            raise FileError(f"{database}: holds the ratings of another study ({bound}); give this one its own database")

    def invite(self, names: Sequence[str | None]) -> list[Rater]:
        """New listeners, all or none of them. Numbers follow one another: 1, 2, 3, ..."""
        with self._writing.begin() as connection:
            return [_invite(connection, name) for name in names]

    def raters(self) -> list[Rater]:
        """All listeners, by number."""
        with self._engine.begin() as connection:
            return [Rater(*row) for row in connection.execute(select(raters).order_by(raters.c.number))]

    def rater(self, number: int) -> Rater:
        """One listener; UnknownRaterError if there is none."""
        with self._engine.begin() as connection:
            row = connection.execute(_THE_RATER, {"in_rater": number}).one_or_none()
        if row is None:
            raise _unknown(number)
        return Rater(*row)

    def start(self, number: int) -> None:
        """The listener has begun; the first time counts."""
        self._note(number, raters.c.started_at)

    def finish_training(self, number: int) -> None:
        """The listener has heard the training; the first time counts."""
        self._note(number, raters.c.trained_at)

    def finish(self, number: int) -> None:
        """The listener is through; the first time counts."""
        self._note(number, raters.c.finished_at)

    def save(self, rater: int, trial: int, condition: str, score: float, position: int, plays: int = 0) -> None:
        """Keep a score, instead of an earlier one. ClosedError if the trial is submitted, ValueError for no number."""
        with self._turn(rater) as connection:
            _check_open(connection, rater, trial)
            _put(connection, rater, trial, Score(condition, score, position, plays))

    def answers(self, rater: int, trial: int) -> dict[str, float]:
        """Condition -> score, as far as there are any, in the order in which the listener has them."""
        with self._engine.begin() as connection:
            rows = connection.execute(_ANSWERS, {"in_rater": rater, "in_trial": trial})
            return {row.condition: row.score for row in rows}

    def submit(
        self, rater: int, trial: int, seconds: float | None, comment: str = "", scores: Sequence[Score] = ()
    ) -> None:
        """Close a trial on which `seconds` were spent, None if nobody knows; ClosedError if it is closed already.

        `scores` are kept instead of earlier ones in the same step: what a listener confirms is what is there.
        """
        if seconds is not None and not math.isfinite(seconds):
            raise ValueError(f"{seconds} is not a duration")
        with self._turn(rater) as connection:
            _check_open(connection, rater, trial)
            for score in scores:
                _put(connection, rater, trial, score)
            text = comment.replace("\0", "")  # which PostgreSQL has no place for
            values = {"rater": rater, "trial": trial, "seconds": seconds, "comment": text, "submitted_at": _now()}
            connection.execute(insert(submissions), values)

    def submitted(self, rater: int) -> set[int]:
        """The trials that the listener has closed."""
        with self._engine.begin() as connection:
            return set(connection.scalars(_SUBMITTED, {"in_rater": rater}))

    def rows(self, submitted_only: bool = True) -> list[Row]:
        """All scores by listener, trial and position; those of trials still open only if asked for."""
        same = and_(submissions.c.rater == answers.c.rater, submissions.c.trial == answers.c.trial)
        given = [answers.c[key] for key in ("trial", "condition", "score", "position", "plays")]
        closed = [submissions.c.seconds, submissions.c.comment, answers.c.saved_at, submissions.c.submitted_at]
        query = (
            select(answers.c.rater, raters.c.name, *given, *closed)
            .join(raters, raters.c.number == answers.c.rater)
            .join(submissions, same, isouter=not submitted_only)
            .order_by(answers.c.rater, answers.c.trial, answers.c.position, answers.c.condition)
        )
        with self._engine.begin() as connection:
            rows = [Row(*row) for row in connection.execute(query)]
        return [row if row.submitted_at else row._replace(comment="") for row in rows]

    def _bound_to(self) -> str | None:
        with self._engine.begin() as connection:
            return connection.scalar(select(study.c.study_id))

    def _note(self, number: int, moment: Column[datetime]) -> None:
        with self._turn(number) as connection:
            first = and_(raters.c.number == number, moment.is_(None))
            connection.execute(update(raters).where(first).values({moment: _now()}))

    @contextmanager
    def _turn(self, number: int) -> Iterator[Connection]:
        """A transaction during which nothing else is written for this listener; UnknownRaterError if there is none."""
        with self._queue, self._writing.begin() as connection:
            if connection.scalar(_THE_RATER_LOCKED, {"in_rater": number}) is None:
                raise _unknown(number)
            yield connection


def _invite(connection: Connection, name: str | None) -> Rater:
    key = connection.execute(insert(raters).values(name=name)).inserted_primary_key
    assert key is not None  # as after every single insert
    return Rater(key.number, name, None, None, None)


def _put(connection: Connection, rater: int, trial: int, given: Score) -> None:
    if not math.isfinite(given.score):
        raise ValueError(f"{given.score} is not a score")
    place = {"rater": rater, "trial": trial, "condition": given.condition}
    values = {"score": given.score, "position": given.position, "plays": given.plays, "saved_at": _now()}
    here = {f"in_{key}": value for key, value in place.items()}
    if not connection.execute(_CHANGE, here | values).rowcount:
        connection.execute(insert(answers), place | values)


def _check_open(connection: Connection, rater: int, trial: int) -> None:
    if connection.scalar(_CLOSED, {"in_rater": rater, "in_trial": trial}) is not None:
        raise ClosedError(f"trial {trial} of listener {rater} is submitted, and cannot be changed")


def _unknown(number: int) -> UnknownRaterError:
    return UnknownRaterError(f"there is no listener {number}")


def _now() -> datetime:
    return datetime.now(timezone.utc)
