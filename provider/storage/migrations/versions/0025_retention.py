"""Add the times of storage of an account, and the hold of an order."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("keep_recordings_seconds", "keep_candidates_seconds"):
        op.add_column("accounts", sa.Column(name, sa.Integer(), nullable=True))
    op.add_column("orders", sa.Column("hold_reason", sa.Text(), nullable=True))
