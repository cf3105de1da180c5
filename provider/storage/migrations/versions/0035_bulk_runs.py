"""Add the runs of one action on several orders, with a row for each order."""

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "bulk_runs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=22), nullable=False),
        sa.Column("action", sa.String(length=20), nullable=False),
        sa.Column("arguments", sa.JSON(), nullable=False),
        sa.Column("actor", sa.String(length=254), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("undo_of_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["undo_of_id"], ["bulk_runs.id"], name=op.f("fk_bulk_runs_undo_of_id_bulk_runs")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bulk_runs")),
        sa.UniqueConstraint("public_id", name=op.f("uq_bulk_runs_public_id")),
        sa.UniqueConstraint("undo_of_id", name=op.f("uq_bulk_runs_undo_of_id")),
    )
    op.create_index(op.f("ix_bulk_runs_finished_at"), "bulk_runs", ["finished_at"])
    op.create_table(
        "bulk_run_orders",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("order_public_id", sa.String(length=22), nullable=False),
        sa.Column("seen", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("before", sa.JSON(), nullable=True),
        sa.Column("seen_after", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["bulk_runs.id"], name=op.f("fk_bulk_run_orders_run_id_bulk_runs")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bulk_run_orders")),
    )
    op.create_index("ix_bulk_run_orders_run", "bulk_run_orders", ["run_id", "state", "id"])
    is_waiting = sa.text("state = 'waiting'")
    op.create_index(
        "ix_bulk_run_orders_waiting",
        "bulk_run_orders",
        ["id"],
        sqlite_where=is_waiting,
        postgresql_where=is_waiting,
    )
