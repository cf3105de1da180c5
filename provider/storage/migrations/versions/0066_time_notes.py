"""Add the notes of reviewers at a time of a recording."""

import sqlalchemy as sa
from alembic import op

revision = "0066"
down_revision = "0065"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "time_notes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=22), nullable=False),
        sa.Column("recording_id", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=254), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["recording_id"], ["recordings.id"], name=op.f("fk_time_notes_recording_id_recordings")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_time_notes")),
        sa.UniqueConstraint("public_id", name=op.f("uq_time_notes_public_id")),
    )
    op.create_index(op.f("ix_time_notes_recording_id"), "time_notes", ["recording_id"])
