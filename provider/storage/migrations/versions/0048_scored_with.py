"""Add the version whose keys score the answers to a version with wrong ones."""

import sqlalchemy as sa
from alembic import op

revision = "0048"
down_revision = "0047"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("product_versions", sa.Column("scored_with_id", sa.Integer(), nullable=True))
