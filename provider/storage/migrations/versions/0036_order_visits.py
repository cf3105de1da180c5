"""Add who of the staff looked at an order, for each day."""

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "order_visits",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("actor", sa.String(length=254), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_order_visits_order_id_orders")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_visits")),
        sa.UniqueConstraint(
            "order_id", "actor", "day", name=op.f("uq_order_visits_order_id_actor_day")
        ),
    )
