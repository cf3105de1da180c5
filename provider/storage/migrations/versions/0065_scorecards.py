"""Let several reviewers rate an interview, each with a scorecard."""

import sqlalchemy as sa
from alembic import op

revision = "0065"
down_revision = "0063"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("ratings") as batch:
        batch.drop_constraint(op.f("uq_ratings_order_id_question"), type_="unique")
        batch.create_unique_constraint(
            op.f("uq_ratings_order_id_question_actor"), ["order_id", "question", "actor"]
        )
        batch.alter_column("value", existing_type=sa.Integer(), nullable=True)
        batch.add_column(
            sa.Column("save_number", sa.Integer(), nullable=False, server_default=sa.text("1"))
        )
    with op.batch_alter_table("ratings") as batch:
        batch.alter_column("save_number", existing_type=sa.Integer(), server_default=None)
    op.create_table(
        "scorecards",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("reviewer", sa.String(length=254), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("overall", sa.Integer(), nullable=True),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("assigned_by", sa.String(length=254), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("save_number", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_scorecards_order_id_orders")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scorecards")),
        sa.UniqueConstraint(
            "order_id", "reviewer", name=op.f("uq_scorecards_order_id_reviewer")
        ),
    )
    _add_scorecards()


def _add_scorecards() -> None:
    """Add a scorecard for each reviewer; those of interviews with a result are in."""
    # An interview is reopened in the state pending, so a completed one has its ratings counted.
    op.execute(
        """
        INSERT INTO scorecards (order_id, reviewer, state, comment, assigned_by, opened_at,
                                submitted_at, save_number)
        SELECT ratings.order_id, ratings.actor,
               CASE WHEN orders.status = 'completed' THEN 'in' ELSE 'open' END, '', '',
               MIN(ratings.rated_at),
               CASE WHEN orders.status = 'completed' THEN MAX(ratings.rated_at) END, 0
        FROM ratings JOIN orders ON orders.id = ratings.order_id
        WHERE orders.started_at IS NULL OR ratings.rated_at >= orders.started_at
        GROUP BY ratings.order_id, ratings.actor, orders.status
        """
    )
