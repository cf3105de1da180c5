"""Add the text of a finding that the report shows, encrypted like the private note."""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("findings", sa.Column("report_text", sa.LargeBinary(), nullable=True))
