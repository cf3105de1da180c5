"""Add the documents that candidates send with a dispute."""

import sqlalchemy as sa
from alembic import op

revision = "0083"
down_revision = "0082"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name, length in (("screening", 64), ("dispute", 22)):
        op.add_column(
            "check_documents",
            sa.Column(name, sa.String(length=length), server_default="", nullable=False),
        )
