"""Compute the digests of e-mail addresses again: their domains follow IDNA 2008 now."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# Printable ASCII without spaces is normalised as before.
CHANGED_SQL = {
    "sqlite": "SELECT id, email FROM candidates WHERE email GLOB '*[^!-~]*'",
    "postgresql": r"SELECT id, email FROM candidates WHERE email ~ '[^\x21-\x7e]'",
}


def upgrade() -> None:
    connection = op.get_bind()
    candidates = connection.execute(sa.text(CHANGED_SQL[connection.dialect.name])).all()
    if not candidates:
        return
    config = op.get_context().config
    compute_digest = config.attributes.get("compute_email_digest") if config else None
    if compute_digest is None:
        raise RuntimeError("the upgrade computes digests of e-mails: it needs the secret keys")
    connection.execute(
        sa.text("UPDATE candidates SET email_digest = :digest WHERE id = :id"),
        [{"id": row_id, "digest": compute_digest(email)} for row_id, email in candidates],
    )
