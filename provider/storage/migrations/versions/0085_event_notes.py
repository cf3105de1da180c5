"""Take the outcome out of the notes of events, which staff read who may not see results."""

import sqlalchemy as sa
from alembic import op

revision = "0085"
down_revision = "0084"
branch_labels = None
depends_on = None

ENDINGS = (": clear", ": to consider")


def upgrade() -> None:
    for ending in ENDINGS:
        op.get_bind().execute(
            sa.text(
                "UPDATE order_events SET note = substr(note, 1, length(note) - :length) "
                "WHERE type IN ('outcome entered', 'revised') AND note LIKE :pattern"
            ),
            {"length": len(ending), "pattern": f"%{ending}"},
        )
