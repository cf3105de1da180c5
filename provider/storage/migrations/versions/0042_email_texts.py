"""Add the table of accounts' own texts of e-mails."""

import sqlalchemy as sa
from alembic import op

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "email_texts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("template", sa.String(length=30), nullable=False),
        sa.Column("language", sa.String(length=35), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("opening", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_email_texts_account_id_accounts")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_email_texts")),
        sa.UniqueConstraint(
            "account_id",
            "template",
            "language",
            name=op.f("uq_email_texts_account_id_template_language"),
        ),
    )
