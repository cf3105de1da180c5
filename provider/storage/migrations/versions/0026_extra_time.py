"""Add the extra time of an order."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The default also fills what the previous program inserts while both run.
    op.add_column(
        "orders",
        sa.Column("extra_time_seconds", sa.Integer(), nullable=False, server_default="0"),
    )
