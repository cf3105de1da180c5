"""Count the claims of a message whose attempts were never settled."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The default also fills what the previous program inserts while both run.
    op.add_column(
        "messages",
        sa.Column("unsettled_claims", sa.Integer(), nullable=False, server_default="0"),
    )
