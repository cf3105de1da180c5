"""Add the e-mails to the staff about answers to mark: the choice, and what was told last."""

import sqlalchemy as sa
from alembic import op

revision = "0058"
down_revision = "0056"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("staff", sa.Column("marking_emails", sa.Boolean(), nullable=True))
    op.add_column("staff", sa.Column("marking_told_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "staff",
        sa.Column("marking_told_task_id", sa.Integer(), server_default="0", nullable=False),
    )
    # No e-mail tells of the tasks that wait already.
    op.execute(
        "UPDATE staff SET marking_told_task_id = (SELECT COALESCE(MAX(id), 0) FROM marking_tasks)"
    )
    op.create_index(op.f("ix_marks_marker"), "marks", ["marker"])
