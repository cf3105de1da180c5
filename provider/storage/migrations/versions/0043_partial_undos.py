"""Let several runs undo one change of several orders, each a part of it."""

from alembic import op

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("bulk_runs") as batch:
        batch.drop_constraint(op.f("uq_bulk_runs_undo_of_id"), type_="unique")
        batch.create_index(op.f("ix_bulk_runs_undo_of_id"), ["undo_of_id"])
