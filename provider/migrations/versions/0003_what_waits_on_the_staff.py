"""What waits on the staff"""

from alembic import op
import sqlalchemy as sa


revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

WAITS = sa.text("progress = 'submitted' AND status IN ('pending', 'consented')")


def upgrade() -> None:
    op.create_index(
        "ix_orders_staff", "orders", ["progress", "id"],
        sqlite_where=WAITS, postgresql_where=WAITS,
    )
