"""Add the next reminder of an order. Orders that exist already get none."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("orders", sa.Column("reminder_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("orders", sa.Column("reminder_lead_seconds", sa.Integer(), nullable=True))
    is_reminded = sa.text("reminder_at IS NOT NULL")
    op.create_index(
        "ix_orders_reminder",
        "orders",
        ["reminder_at"],
        sqlite_where=is_reminded,
        postgresql_where=is_reminded,
    )
