"""Keep what a candidate typed beside the answer that was read from it."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("answers", sa.Column("typed", sa.String(length=200), nullable=True))
