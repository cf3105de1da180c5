"""Add the tasks and marks of answers that staff mark, and a task for each interview that waits."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0054"
down_revision = "0053"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "marking_tasks",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=22), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("unit", sa.String(length=64), nullable=False),
        sa.Column("purpose", sa.String(length=12), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("markers", sa.Integer(), nullable=False),
        sa.Column("points", sa.String(length=40), nullable=True),
        sa.Column("max_points", sa.String(length=40), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("reply", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_marking_tasks_order_id_orders")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_marking_tasks")),
        sa.UniqueConstraint("public_id", name=op.f("uq_marking_tasks_public_id")),
    )
    op.create_index("ix_marking_tasks_state", "marking_tasks", ["state", "id"])
    op.create_index(op.f("ix_marking_tasks_order_id"), "marking_tasks", ["order_id"])
    op.create_table(
        "marks",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.Integer(), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("marker", sa.String(length=254), nullable=False),
        sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("points", sa.String(length=40), nullable=True),
        sa.Column("rubric_points", sa.JSON(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("marked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["task_id"], ["marking_tasks.id"], name=op.f("fk_marks_task_id_marking_tasks")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_marks")),
        sa.UniqueConstraint("task_id", "slot", name=op.f("uq_marks_task_id_slot")),
    )
    _add_tasks_of_interviews()


def _add_tasks_of_interviews() -> None:
    """Add a task for each submitted interview that waits for its ratings."""
    connection = op.get_bind()
    orders = sa.table(
        "orders", *map(sa.column, ("id", "kind", "status", "progress", "placed_at"))
    )
    tasks = sa.table(
        "marking_tasks",
        *map(
            sa.column,
            (
                *("public_id", "order_id", "unit", "purpose", "state", "markers"),
                *("max_points", "request", "reply", "created_at"),
            ),
        ),
    )
    waiting = sa.select(orders.c.id, orders.c.placed_at).where(
        orders.c.kind == "interview",
        orders.c.status == "pending",
        orders.c.progress == "submitted",
    )
    rows = [
        {
            "public_id": secrets.token_urlsafe(16),
            "order_id": row.id,
            "unit": "",
            "purpose": "order",
            "state": "open",
            "markers": 1,
            "max_points": "0",
            "request": "",
            "reply": "",
            "created_at": row.placed_at,
        }
        for row in connection.execute(waiting.order_by(orders.c.id))
    ]
    if rows:
        connection.execute(tasks.insert(), rows)
