"""The first tables: the study, its listeners, their answers and what they submitted."""

from alembic import op
from sqlalchemy import CheckConstraint, Column, ForeignKey

from q2d2.listen.store.columns import MOMENT, NAME, NUMBER, TEXT, WHOLE

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "study",
        Column("place", WHOLE, CheckConstraint("place = 1", name="one_study"), primary_key=True, autoincrement=False),
        Column("study_id", NAME, nullable=False),
    )
    op.create_table(
        "raters",
        Column("number", WHOLE, primary_key=True),
        Column("name", TEXT),
        Column("started_at", MOMENT),
        Column("trained_at", MOMENT),
        Column("finished_at", MOMENT),
    )
    op.create_table(
        "answers",
        Column("rater", WHOLE, ForeignKey("raters.number", name="answers_rater"), primary_key=True),
        Column("trial", WHOLE, primary_key=True),
        Column("condition", NAME, primary_key=True),
        Column("score", NUMBER, nullable=False),
        Column("position", WHOLE, nullable=False),
        Column("plays", WHOLE, nullable=False),
        Column("saved_at", MOMENT, nullable=False),
    )
    op.create_table(
        "submissions",
        Column("rater", WHOLE, ForeignKey("raters.number", name="submissions_rater"), primary_key=True),
        Column("trial", WHOLE, primary_key=True),
        Column("seconds", NUMBER),
        Column("comment", TEXT, nullable=False),
        Column("submitted_at", MOMENT, nullable=False),
    )
