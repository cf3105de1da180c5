"""Add when staff let a candidate start in spite of the test's rule on retakes."""

import sqlalchemy as sa
from alembic import op

revision = "0052"
down_revision = "0051"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "orders", sa.Column("retake_allowed_at", sa.DateTime(timezone=True), nullable=True)
    )
