"""Add an index of the orders on hold, which are few."""

import sqlalchemy as sa
from alembic import op

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None


def upgrade() -> None:
    is_held = sa.text("hold_reason IS NOT NULL")
    op.create_index(
        "ix_orders_hold",
        "orders",
        ["account_id", "id"],
        sqlite_where=is_held,
        postgresql_where=is_held,
    )
