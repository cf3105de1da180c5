"""Add the reason of a dispute, and how long the data of a screening is stored."""

import sqlalchemy as sa
from alembic import op

revision = "0080"
down_revision = "0079"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "disputes",
        sa.Column("reason", sa.String(length=12), server_default="other", nullable=False),
    )
    op.add_column("screening_tasks", sa.Column("keep_days", sa.Integer(), nullable=True))
    op.add_column(
        "screening_tasks",
        sa.Column("details_deleted_at", sa.DateTime(timezone=True), nullable=True),
    )
    is_stored = sa.text("keep_days IS NOT NULL AND details_deleted_at IS NULL")
    op.create_index(
        "ix_screening_tasks_keep_days",
        "screening_tasks",
        ["keep_days", "order_id"],
        sqlite_where=is_stored,
        postgresql_where=is_stored,
    )
