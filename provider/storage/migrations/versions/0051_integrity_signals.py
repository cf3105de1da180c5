"""Add the signals of attempts at tests."""

import sqlalchemy as sa
from alembic import op

revision = "0051"
down_revision = "0050"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "integrity_signals",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.String(length=10), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("length", sa.Integer(), nullable=True),
        sa.Column("network_digest", sa.LargeBinary(), nullable=True),
        sa.Column("browser", sa.String(length=40), nullable=True),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_integrity_signals_order_id_orders")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_integrity_signals")),
        sa.UniqueConstraint(
            "order_id",
            "attempt",
            "type",
            "number",
            name=op.f("uq_integrity_signals_order_id_attempt_type_number"),
        ),
    )
