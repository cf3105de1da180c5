"""Add how long a candidate may pause an attempt, and the pause that runs."""

import sqlalchemy as sa
from alembic import op

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The defaults also fill what the previous program inserts while both run.
    for name in ("pause_limit_seconds", "pause_used_ms"):
        op.add_column("orders", sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
    for name in ("paused_at", "pause_ends_at"):
        op.add_column("orders", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_orders_pause",
        "orders",
        ["pause_ends_at"],
        sqlite_where=sa.text("pause_ends_at IS NOT NULL"),
        postgresql_where=sa.text("pause_ends_at IS NOT NULL"),
    )
