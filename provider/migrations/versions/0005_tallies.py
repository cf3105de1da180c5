"""Tallies of all processes, and the pace of requests"""

from alembic import op
import sqlalchemy as sa

import provider.db


revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tallies",
        sa.Column("process", sa.String(length=22), nullable=False),
        sa.Column("machine", sa.String(length=255), nullable=False),
        sa.Column("at", provider.db.UtcDateTime(timezone=True), nullable=False),
        sa.Column("counted", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("process", name=op.f("pk_tallies")),
    )
    op.add_column("accounts", sa.Column("request_rate", sa.Integer(), nullable=True))
