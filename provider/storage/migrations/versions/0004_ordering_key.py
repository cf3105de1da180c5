"""Compare ordering keys by code points on PostgreSQL, as SQLite does."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The range of a subject's keys ends at the character after "/". A language's collation sorts
    # punctuation otherwise.
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column(
            "messages",
            "ordering_key",
            existing_nullable=False,
            existing_type=sa.String(length=60),
            type_=sa.String(length=60, collation="C"),
        )
