"""Add the forms of tests, where a candidate is in one, and the heartbeat of the server."""

import sqlalchemy as sa
from alembic import op

revision = "0049"
down_revision = "0048"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "test_attempts",
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("form", sa.JSON(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("part_opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("part_rest_ms", sa.BigInteger(), nullable=True),
        sa.Column("item_number", sa.Integer(), nullable=False),
        sa.Column("item_rest_ms", sa.BigInteger(), nullable=True),
        sa.Column("closed", sa.JSON(), nullable=False),
        sa.Column("is_break", sa.Boolean(), nullable=False),
        sa.Column("practice_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("practice_left_ms", sa.BigInteger(), nullable=True),
        sa.Column("frozen_ms", sa.BigInteger(), nullable=False),
        sa.Column("flags", sa.JSON(), nullable=False),
        sa.Column("device", sa.String(length=40), nullable=False),
        sa.Column("given_back_seconds", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_test_attempts_order_id_orders")
        ),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_test_attempts")),
    )
    op.create_table(
        "heartbeats",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("beat_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("is_idle", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_heartbeats")),
    )
