"""Add the indexes of the usage per account, product and month."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    is_completed = sa.text("status = 'completed'")
    for table in ("orders", "erased_orders"):
        op.create_index(f"ix_{table}_usage", table, ["account_id", "product_id", "placed_at"])
        op.create_index(
            f"ix_{table}_completed",
            table,
            ["account_id", "product_id", "finished_at"],
            sqlite_where=is_completed,
            postgresql_where=is_completed,
        )
