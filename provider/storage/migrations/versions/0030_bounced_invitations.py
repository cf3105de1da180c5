"""Add the time at which the invitation of an order bounced."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("orders", sa.Column("bounced_at", sa.DateTime(timezone=True), nullable=True))
    is_bounced = sa.text("bounced_at IS NOT NULL")
    op.create_index(
        "ix_orders_bounced",
        "orders",
        ["id"],
        sqlite_where=is_bounced,
        postgresql_where=is_bounced,
    )
