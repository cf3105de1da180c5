"""Store with each consent where the candidate lived, and whether she asked for a copy."""

import sqlalchemy as sa
from alembic import op

revision = "0084"
down_revision = "0083"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in (
        sa.Column("country", sa.String(length=2), server_default="", nullable=False),
        sa.Column("subdivision", sa.String(length=3), server_default="", nullable=False),
        sa.Column("wants_copy", sa.Boolean(), server_default=sa.false(), nullable=False),
    ):
        op.add_column("consents", column)
        op.execute(
            f"UPDATE consents SET {column.name} = (SELECT {column.name} FROM check_cases "
            "WHERE check_cases.order_id = consents.order_id) "
            "WHERE order_id IN (SELECT order_id FROM check_cases)"
        )
