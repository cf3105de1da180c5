"""Number the saved answers, and let an attempt stay open for what was begun in time."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Zero is older than every number of a page.
    op.add_column(
        "answers", sa.Column("number", sa.BigInteger(), nullable=False, server_default="0")
    )
    op.add_column(
        "orders", sa.Column("held_open_until", sa.DateTime(timezone=True), nullable=True)
    )
