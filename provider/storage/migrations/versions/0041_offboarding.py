"""Add the time at which an account was disabled, and the table of offboardings."""

import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("accounts", sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "offboardings",
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("disabled_by", sa.String(length=300), nullable=False),
        sa.Column("cancels_orders", sa.Boolean(), nullable=False),
        sa.Column("export_requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("export_requested_by", sa.String(length=300), nullable=False),
        sa.Column("export_done", sa.Integer(), nullable=False),
        sa.Column("export_total", sa.Integer(), nullable=False),
        sa.Column("export_key", sa.String(length=100), nullable=False),
        sa.Column("export_size", sa.BigInteger(), nullable=False),
        sa.Column("exported_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("erasure_requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("erasure_requested_by", sa.String(length=300), nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("certificate", sa.JSON(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_offboardings_account_id_accounts")
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_offboardings")),
    )
