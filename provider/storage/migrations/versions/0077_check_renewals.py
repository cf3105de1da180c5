"""Add the days on which checks are to be renewed."""

import sqlalchemy as sa
from alembic import op

revision = "0077"
down_revision = "0076"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "check_renewals",
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("renew_on", sa.Date(), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_by", sa.String(length=254), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_check_renewals_order_id_orders")
        ),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_check_renewals")),
    )
    op.create_index(
        "ix_check_renewals_open",
        "check_renewals",
        ["renew_on", "order_id"],
        sqlite_where=sa.text("closed_at IS NULL"),
        postgresql_where=sa.text("closed_at IS NULL"),
    )
