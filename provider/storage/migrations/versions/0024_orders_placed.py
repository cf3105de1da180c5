"""Add an index of orders by the time at which they were placed."""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_orders_placed", "orders", ["placed_at", "status", "product_id"])
