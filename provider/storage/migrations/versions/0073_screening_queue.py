"""Add the indexes of the queue of screenings, and why a record was removed."""

import sqlalchemy as sa
from alembic import op

revision = "0073"
down_revision = "0072"
branch_labels = None
depends_on = None

IS_OPEN = "done_at IS NULL"
INDEXES = (
    ("open", (), IS_OPEN),
    ("account", ("account_id",), IS_OPEN),
    ("type", ("screening_type",), IS_OPEN),
    ("assignee", ("assignee",), IS_OPEN),
    ("free", (), f"{IS_OPEN} AND assignee IS NULL"),
)


def upgrade() -> None:
    op.execute("UPDATE screening_tasks SET due_on = date(created_at) WHERE due_on IS NULL")
    op.drop_index("ix_screening_tasks_assignee", table_name="screening_tasks")
    op.add_column("screening_tasks", sa.Column("account_id", sa.Integer(), nullable=True))
    op.execute(
        "UPDATE screening_tasks SET account_id = "
        "(SELECT account_id FROM orders WHERE orders.id = screening_tasks.order_id)"
    )
    with op.batch_alter_table("screening_tasks") as batch:
        batch.alter_column("account_id", existing_type=sa.Integer(), nullable=False)
    for name, columns, condition in INDEXES:
        op.create_index(
            f"ix_screening_tasks_{name}",
            "screening_tasks",
            [*columns, "due_on", "id"],
            sqlite_where=sa.text(condition),
            postgresql_where=sa.text(condition),
        )
    op.add_column(
        "found_records",
        sa.Column("removed_by", sa.String(length=254), nullable=False, server_default=""),
    )
    with op.batch_alter_table("found_records") as batch:
        batch.alter_column("removed_by", existing_type=sa.String(length=254), server_default=None)
    op.add_column("found_records", sa.Column("removal_reason", sa.LargeBinary(), nullable=True))
