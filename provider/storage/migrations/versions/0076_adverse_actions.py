"""Add adverse actions on checks, their notices, and the texts of accounts."""

import sqlalchemy as sa
from alembic import op

revision = "0076"
down_revision = "0075"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "adverse_actions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=22), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("jurisdiction", sa.String(length=20), nullable=False),
        sa.Column("waiting_days", sa.Integer(), nullable=False),
        sa.Column("days_after_dispute", sa.Integer(), nullable=False),
        sa.Column("timezone", sa.String(length=50), nullable=False),
        sa.Column("suspensions", sa.JSON(), nullable=False),
        sa.Column("reason", sa.LargeBinary(), nullable=True),
        sa.Column("begun_by", sa.String(length=254), nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("clock_started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_by", sa.String(length=254), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("end_reason", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_adverse_actions_order_id_orders")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_adverse_actions")),
        sa.UniqueConstraint("public_id", name=op.f("uq_adverse_actions_public_id")),
    )
    op.create_index(
        "ix_adverse_actions_open",
        "adverse_actions",
        ["order_id"],
        unique=True,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index("ix_adverse_actions_order", "adverse_actions", ["order_id", "id"])
    op.create_index("ix_adverse_actions_state", "adverse_actions", ["state", "ends_at", "id"])
    op.create_table(
        "adverse_notices",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=22), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("action_id", sa.Integer(), nullable=False),
        sa.Column("purpose", sa.String(length=20), nullable=False),
        sa.Column("text_version", sa.String(length=20), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("sent_by", sa.String(length=254), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("undeliverable_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("other_way", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_adverse_notices_order_id_orders")
        ),
        sa.ForeignKeyConstraint(
            ["action_id"],
            ["adverse_actions.id"],
            name=op.f("fk_adverse_notices_action_id_adverse_actions"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_adverse_notices")),
        sa.UniqueConstraint("public_id", name=op.f("uq_adverse_notices_public_id")),
    )
    op.create_index("ix_adverse_notices_action_id", "adverse_notices", ["action_id"])
    op.create_index("ix_adverse_notices_order", "adverse_notices", ["order_id", "id"])
    op.create_index(
        "ix_adverse_notices_undeliverable",
        "adverse_notices",
        ["id"],
        sqlite_where=sa.text("undeliverable_at IS NOT NULL"),
        postgresql_where=sa.text("undeliverable_at IS NOT NULL"),
    )
    op.create_table(
        "notice_texts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("purpose", sa.String(length=20), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_by", sa.String(length=254), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_notice_texts_account_id_accounts")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice_texts")),
        sa.UniqueConstraint(
            "account_id",
            "purpose",
            "number",
            name=op.f("uq_notice_texts_account_id_purpose_number"),
        ),
    )
