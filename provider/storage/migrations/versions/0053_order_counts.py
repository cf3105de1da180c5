"""Add the numbers of orders per account, and the indexes by which the overview counts orders."""

import sqlalchemy as sa
from alembic import op

revision = "0053"
down_revision = "0052"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "order_counts",
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("counted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by_day", sa.JSON(), nullable=False),
        sa.Column("by_product", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_order_counts_account_id_accounts")
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_order_counts")),
    )
    op.drop_index("ix_orders_placed", "orders")
    op.create_index(
        "ix_orders_placed", "orders", ["placed_at", "status", "product_id", "account_id"]
    )
    op.drop_index("ix_orders_waiting", "orders")
    op.create_index("ix_orders_waiting", "orders", ["waiting_for", "id", "account_id"])
    waits_for_staff = sa.text("waiting_for = 'staff'")
    op.create_index(
        "ix_orders_staff",
        "orders",
        ["kind", "id", "account_id"],
        sqlite_where=waits_for_staff,
        postgresql_where=waits_for_staff,
    )
