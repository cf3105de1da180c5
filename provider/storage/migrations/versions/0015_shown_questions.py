"""Add the table of the questions of interviews that candidates have opened."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "shown_questions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("question", sa.String(length=64), nullable=False),
        sa.Column("shown_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_shown_questions_order_id_orders")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shown_questions")),
        sa.UniqueConstraint(
            "order_id", "question", name=op.f("uq_shown_questions_order_id_question")
        ),
    )
