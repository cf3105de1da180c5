"""Add to the indexes of the queue of screenings the columns that it compares."""

import sqlalchemy as sa
from alembic import op

revision = "0081"
down_revision = "0080"
branch_labels = None
depends_on = None

IS_OPEN = "done_at IS NULL"
# The name, the columns before those of the sort order, those after them, and the condition.
INDEXES = (
    ("state", ("state",), ("screening_type", "assignee"), None),
    ("account", ("account_id",), ("screening_type", "state", "assignee"), IS_OPEN),
    ("type", ("screening_type",), ("state", "assignee"), IS_OPEN),
    ("assignee", ("assignee",), ("screening_type", "state"), f"{IS_OPEN} AND assignee IS NOT NULL"),
    ("ended", ("account_id", "state"), ("screening_type", "assignee"), "done_at IS NOT NULL"),
)
CHANGED = ("state", "account", "type", "assignee")


def upgrade() -> None:
    for name in CHANGED:
        op.drop_index(f"ix_screening_tasks_{name}", table_name="screening_tasks")
    for name, columns, compared, condition in INDEXES:
        where = sa.text(condition) if condition else None
        op.create_index(
            f"ix_screening_tasks_{name}",
            "screening_tasks",
            [*columns, "due_on", "id", *compared],
            sqlite_where=where,
            postgresql_where=where,
        )
