"""Add the tasks of the screenings of checks, also those of checks that are at work."""

import json
import secrets

import sqlalchemy as sa
from alembic import op

revision = "0068"
down_revision = "0067"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "screening_tasks",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=22), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("screening_type", sa.String(length=30), nullable=False),
        sa.Column("performer", sa.String(length=10), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("assignee", sa.String(length=254), nullable=True),
        sa.Column("due_on", sa.Date(), nullable=True),
        sa.Column("clock_stopped_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("definition", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_screening_tasks_order_id_orders")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_screening_tasks")),
        sa.UniqueConstraint("public_id", name=op.f("uq_screening_tasks_public_id")),
        sa.UniqueConstraint("order_id", "key", name=op.f("uq_screening_tasks_order_id_key")),
    )
    op.create_index("ix_screening_tasks_assignee", "screening_tasks", ["assignee"])
    op.create_index("ix_screening_tasks_state", "screening_tasks", ["state", "due_on", "id"])
    op.create_table(
        "found_records",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=22), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("screening", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("severity", sa.String(length=10), nullable=False),
        sa.Column("occurred_on", sa.Date(), nullable=True),
        sa.Column("public_text", sa.LargeBinary(), nullable=False),
        sa.Column("private_note", sa.LargeBinary(), nullable=True),
        sa.Column("actor", sa.String(length=254), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_found_records_order_id_orders")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_found_records")),
        sa.UniqueConstraint("public_id", name=op.f("uq_found_records_public_id")),
    )
    op.create_index("ix_found_records_order", "found_records", ["order_id", "screening"])
    op.create_table(
        "disputes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=22), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("screening", sa.String(length=64), nullable=False),
        sa.Column("text", sa.LargeBinary(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.Column("outcome", sa.String(length=10), nullable=False),
        sa.Column("actor", sa.String(length=254), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_disputes_order_id_orders")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_disputes")),
        sa.UniqueConstraint("public_id", name=op.f("uq_disputes_public_id")),
    )
    op.create_index("ix_disputes_order_id", "disputes", ["order_id"])
    op.create_index("ix_disputes_open", "disputes", ["outcome", "opened_at"])
    op.create_table(
        "check_cases",
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("country", sa.String(length=2), nullable=False),
        sa.Column("subdivision", sa.String(length=3), nullable=False),
        sa.Column("wants_copy", sa.Boolean(), nullable=False),
        sa.Column("wants_messages", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_check_cases_order_id_orders")
        ),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_check_cases")),
    )
    connection = op.get_bind()
    checks = connection.execute(
        sa.text(
            "SELECT orders.id, orders.placed_at, product_versions.content FROM orders "
            "JOIN product_versions ON product_versions.id = orders.version_id "
            "WHERE orders.kind = 'check' AND orders.status = 'consented'"
        )
    ).all()
    for order_id, placed_at, content in checks:
        findings = connection.execute(
            sa.text("SELECT screening, found_at FROM findings WHERE order_id = :order_id"),
            {"order_id": order_id},
        ).all()
        found_at = dict(row._tuple() for row in findings)
        package = json.loads(content) if isinstance(content, str) else content
        for screening in package.get("screenings", []) if isinstance(package, dict) else []:
            key = screening["key"]
            connection.execute(
                sa.text(
                    "INSERT INTO screening_tasks (public_id, order_id, key, screening_type, "
                    "performer, state, created_at, done_at) VALUES (:public_id, :order_id, :key, "
                    "'other', 'staff', :state, :created_at, :done_at)"
                ),
                {
                    "public_id": "s" + secrets.token_urlsafe(16)[1:],
                    "order_id": order_id,
                    "key": key,
                    "state": "done" if key in found_at else "to do",
                    "created_at": placed_at,
                    "done_at": found_at.get(key),
                },
            )
