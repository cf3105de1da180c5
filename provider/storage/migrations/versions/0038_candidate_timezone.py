"""Add the time zone of a candidate, as her browser named it."""

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("candidates", sa.Column("timezone", sa.String(length=50), nullable=True))
