"""Add the column that says whom an order waits for, and an index on it."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

FILL_SQL = """
UPDATE orders SET waiting_for = CASE
    WHEN progress IN ('invited', 'opened', 'started') THEN 'candidate'
    WHEN progress = 'submitted' AND kind IN ('interview', 'check') THEN 'staff'
    ELSE 'nobody' END
WHERE status IN ('pending', 'consented')
"""


def upgrade() -> None:
    op.add_column(
        "orders",
        sa.Column("waiting_for", sa.String(length=10), nullable=False, server_default="nobody"),
    )
    op.execute(FILL_SQL)
    op.drop_index("ix_orders_staff", "orders")
    op.create_index("ix_orders_waiting", "orders", ["waiting_for", "id"], unique=False)
