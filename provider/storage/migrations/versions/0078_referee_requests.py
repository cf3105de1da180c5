"""Add the requests to referees."""

import sqlalchemy as sa
from alembic import op

revision = "0078"
down_revision = "0077"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "referee_requests",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=22), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("screening", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("referee_encrypted", sa.LargeBinary(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("token_encrypted", sa.LargeBinary(), nullable=False),
        sa.Column("answers_encrypted", sa.LargeBinary(), nullable=True),
        sa.Column("actor", sa.String(length=254), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reminded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_referee_requests_order_id_orders")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_referee_requests")),
        sa.UniqueConstraint("public_id", name=op.f("uq_referee_requests_public_id")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_referee_requests_token_hash")),
    )
    op.create_index("ix_referee_requests_order", "referee_requests", ["order_id", "screening"])
    op.create_index(
        "ix_referee_requests_due",
        "referee_requests",
        ["due_at"],
        sqlite_where=sa.text("state = 'sent'"),
        postgresql_where=sa.text("state = 'sent'"),
    )
