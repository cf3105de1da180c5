"""Let a take be announced when its recording begins: its length and SHA-256 follow later.

New tables instead of changed ones: SQLite would make them anew, and a constraint changes as well.
Takes that are being sent go on.
"""

import sqlalchemy as sa
from alembic import op

revision = "0060"
down_revision = "0055"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "take_uploads",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=22), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("question", sa.String(length=64), nullable=False),
        sa.Column("take", sa.String(length=64), nullable=False),
        sa.Column("mime", sa.String(length=100), nullable=False),
        sa.Column("size", sa.Integer(), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("received", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("missing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("recording_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_take_uploads_order_id_orders")
        ),
        sa.ForeignKeyConstraint(
            ["recording_id"],
            ["recordings.id"],
            name=op.f("fk_take_uploads_recording_id_recordings"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_take_uploads")),
        sa.UniqueConstraint(
            "order_id", "question", "take", name=op.f("uq_take_uploads_order_id_question_take")
        ),
        sa.UniqueConstraint("public_id", name=op.f("uq_take_uploads_public_id")),
    )
    op.create_index(op.f("ix_take_uploads_recording_id"), "take_uploads", ["recording_id"])
    op.create_index(op.f("ix_take_uploads_missing_since"), "take_uploads", ["missing_since"])
    op.create_table(
        "take_pieces",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("upload_id", sa.Integer(), nullable=False),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("media_key", sa.String(length=80), nullable=False),
        sa.ForeignKeyConstraint(
            ["upload_id"], ["take_uploads.id"], name=op.f("fk_take_pieces_upload_id_take_uploads")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_take_pieces")),
        sa.UniqueConstraint("upload_id", "start", name=op.f("uq_take_pieces_upload_id_start")),
    )
    # The browser of an earlier release announced a take by its SHA-256.
    op.execute(
        "INSERT INTO take_uploads (public_id, order_id, question, take, mime, size, sha256, "
        "received, created_at, received_at) "
        "SELECT public_id, order_id, question, sha256, mime, size, sha256, "
        "received, created_at, received_at FROM uploads ORDER BY id"
    )
    op.execute(
        "INSERT INTO take_pieces (upload_id, start, size, media_key) "
        "SELECT take_uploads.id, upload_pieces.start, upload_pieces.size, upload_pieces.media_key "
        "FROM upload_pieces JOIN uploads ON uploads.id = upload_pieces.upload_id "
        "JOIN take_uploads ON take_uploads.public_id = uploads.public_id ORDER BY upload_pieces.id"
    )
    op.drop_table("upload_pieces")
    op.drop_table("uploads")
