"""The tables as they are now. `migrations` make them; a change here needs one there.

The keys are what must not exist twice: a score per listener, trial and condition, a submission per listener and trial.
"""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKey, MetaData, Table

from q2d2.listen.store.columns import MOMENT, NAME, NUMBER, TEXT, WHOLE

REVISIONS = "q2d2_revision"  # the table that says which migrations were applied; other programs' are named otherwise

metadata = MetaData()

study = Table(
    "study",
    metadata,
    Column("place", WHOLE, CheckConstraint("place = 1", name="one_study"), primary_key=True, autoincrement=False),
    Column("study_id", NAME, nullable=False),
)

raters = Table(
    "raters",
    metadata,
    Column("number", WHOLE, primary_key=True),  # given by the database: 1, 2, 3, ...
    Column("name", TEXT),
    Column("started_at", MOMENT),
    Column("trained_at", MOMENT),
    Column("finished_at", MOMENT),
)

answers = Table(
    "answers",
    metadata,
    Column("rater", WHOLE, ForeignKey(raters.c.number, name="answers_rater"), primary_key=True),
    Column("trial", WHOLE, primary_key=True),
    Column("condition", NAME, primary_key=True),
    Column("score", NUMBER, nullable=False),
    Column("position", WHOLE, nullable=False),
    Column("plays", WHOLE, nullable=False),
    Column("saved_at", MOMENT, nullable=False),
)

submissions = Table(
    "submissions",
    metadata,
    Column("rater", WHOLE, ForeignKey(raters.c.number, name="submissions_rater"), primary_key=True),
    Column("trial", WHOLE, primary_key=True),
    Column("seconds", NUMBER),
    Column("comment", TEXT, nullable=False),
    Column("submitted_at", MOMENT, nullable=False),
)
