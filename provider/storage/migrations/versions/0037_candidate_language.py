"""Add the language of an order's candidate."""

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "orders",
        sa.Column("language", sa.String(length=35), server_default="", nullable=False),
    )
