"""Add the accounts that a member of staff, or an invitation, is limited to."""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("staff", "staff_links"):
        op.add_column(table, sa.Column("account_ids", sa.JSON(), nullable=True))
