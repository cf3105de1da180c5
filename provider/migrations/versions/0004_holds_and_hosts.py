"""Holds, and a lane for each host"""

from alembic import op
import sqlalchemy as sa

import provider.db
from provider.hosts import host_of


revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

OPEN = sa.text("state <> 'delivered'")
BATCH = 1000  # orders at once


def upgrade() -> None:
    op.create_table(
        "holds",
        sa.Column("subject", sa.String(length=330), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("since", provider.db.UtcDateTime(timezone=True), nullable=False),
        sa.Column("until", provider.db.UtcDateTime(timezone=True), nullable=False),
        sa.Column("probes", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_holds")),
    )
    op.add_column("accounts", sa.Column("callback_rate", sa.Double(), nullable=True))
    host = sa.Column("host", sa.String(length=260), nullable=False, server_default="")
    op.add_column("orders", host)
    with op.batch_alter_table("messages") as messages:
        messages.alter_column(
            "lane",
            existing_type=sa.VARCHAR(length=60),
            type_=sa.String(length=300),
            existing_nullable=False,
        )
    # Without what is delivered, and so without nearly all.
    op.drop_index("ix_messages_state", "messages")
    op.create_index(
        "ix_messages_state", "messages", ["state", "id"],
        sqlite_where=OPEN, postgresql_where=OPEN,
    )  # fmt: skip
    _fill(op.get_bind())


def _fill(connection: sa.Connection) -> None:
    """Give every order the host that its news goes to, and its messages that lane."""
    orders = sa.table("orders", sa.column("id"), sa.column("reply", sa.JSON), sa.column("host"))
    changed = orders.update().where(orders.c.id == sa.bindparam("of"))
    last = 0
    while rows := connection.execute(
        sa.select(orders.c.id, orders.c.reply)
        .where(orders.c.id > last).order_by(orders.c.id).limit(BATCH)
    ).all():  # fmt: skip
        hosts = [{"of": row.id, "to": host_of(row.reply.get("callback_url", ""))} for row in rows]
        connection.execute(changed.values(host=sa.bindparam("to")), hosts)
        last = rows[-1].id
    connection.execute(
        sa.text(
            "UPDATE messages SET lane = lane || '/' || "
            "(SELECT host FROM orders WHERE orders.public_id = messages.key) "
            "WHERE lane LIKE '%/callback' AND EXISTS "
            "(SELECT 1 FROM orders WHERE orders.public_id = messages.key AND host <> '')"
        )
    )
