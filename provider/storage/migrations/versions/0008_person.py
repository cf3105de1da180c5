"""Empty the digests of e-mail addresses whose normalised form has changed.

A migration has no secret keys. `provider init` and `provider restore` compute the empty digests
after the upgrade.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# Printable ASCII without spaces is normalised as before.
EMPTY_SQL = {
    "sqlite": "UPDATE candidates SET email_digest = x'' WHERE email GLOB '*[^!-~]*'",
    "postgresql": r"UPDATE candidates SET email_digest = ''::bytea WHERE email ~ '[^\x21-\x7e]'",
}


def upgrade() -> None:
    op.execute(EMPTY_SQL[op.get_bind().dialect.name])
