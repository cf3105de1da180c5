"""Add the table of the tokens that ATSes have granted."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_tokens",
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("access_encrypted", sa.LargeBinary(), nullable=True),
        sa.Column("refresh_encrypted", sa.LargeBinary(), nullable=True),
        sa.Column("renew_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("keep_alive_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reconnect_reason", sa.Text(), nullable=False),
        sa.Column("lease", sa.String(length=22), nullable=True),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_api_tokens_account_id_accounts")
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_api_tokens")),
    )
    op.create_index(op.f("ix_api_tokens_keep_alive_at"), "api_tokens", ["keep_alive_at"])
