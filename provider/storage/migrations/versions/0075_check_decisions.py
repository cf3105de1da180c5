"""Let rules propose the outcomes of checks, and two people decide them."""

import sqlalchemy as sa
from alembic import op

revision = "0075"
down_revision = "0074"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "adjudication_matrices",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("rules", sa.JSON(), nullable=False),
        sa.Column("edited_by", sa.String(length=254), nullable=False),
        sa.Column("edited_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("activated_by", sa.String(length=254), nullable=False),
        sa.Column("activated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("retired_by", sa.String(length=254), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.id"],
            name=op.f("fk_adjudication_matrices_account_id_accounts"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_adjudication_matrices")),
        sa.UniqueConstraint(
            "account_id", "number", name=op.f("uq_adjudication_matrices_account_id_number")
        ),
    )
    op.create_index(
        "ix_adjudication_matrices_draft",
        "adjudication_matrices",
        ["account_id"],
        unique=True,
        sqlite_where=sa.text("activated_at IS NULL"),
        postgresql_where=sa.text("activated_at IS NULL"),
    )
    op.create_table(
        "decision_proposals",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=22), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("purpose", sa.String(length=10), nullable=False),
        sa.Column("basis", sa.String(length=64), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        sa.Column("proposed_by", sa.String(length=254), nullable=False),
        sa.Column("proposed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answer", sa.String(length=10), nullable=False),
        sa.Column("answered_by", sa.String(length=254), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_decision_proposals_order_id_orders")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decision_proposals")),
        sa.UniqueConstraint("public_id", name=op.f("uq_decision_proposals_public_id")),
    )
    op.create_index(
        "ix_decision_proposals_open",
        "decision_proposals",
        ["order_id"],
        unique=True,
        sqlite_where=sa.text("answer = ''"),
        postgresql_where=sa.text("answer = ''"),
    )
    op.create_index("ix_decision_proposals_order", "decision_proposals", ["order_id", "id"])
    op.create_table(
        "finding_revisions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=22), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("screening", sa.String(length=64), nullable=False),
        sa.Column("result_revision", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("report_text", sa.LargeBinary(), nullable=True),
        sa.Column("note", sa.LargeBinary(), nullable=True),
        sa.Column("entered_by", sa.String(length=254), nullable=False),
        sa.Column("entered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.LargeBinary(), nullable=False),
        sa.Column("revised_by", sa.String(length=254), nullable=False),
        sa.Column("revised_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_finding_revisions_order_id_orders")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_finding_revisions")),
        sa.UniqueConstraint("public_id", name=op.f("uq_finding_revisions_public_id")),
    )
    op.create_index("ix_finding_revisions_order", "finding_revisions", ["order_id", "id"])
