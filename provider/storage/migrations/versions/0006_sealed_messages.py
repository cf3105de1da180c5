"""Encrypt the payloads and bodies of messages."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BATCH_SIZE = 1000  # messages in memory
SETTLED_WITH_BODY_SQL = "body_encrypted IS NOT NULL AND settled_at IS NOT NULL"

# Takes the data and the name of its row, and returns the ciphertext.
Encrypt = Callable[[bytes, str], bytes]


def upgrade() -> None:
    op.add_column("messages", sa.Column("payload_encrypted", sa.LargeBinary(), nullable=True))
    op.add_column("messages", sa.Column("body_encrypted", sa.LargeBinary(), nullable=True))
    op.add_column("messages", sa.Column("body_digest", sa.LargeBinary(length=32), nullable=True))
    _encrypt_messages()
    with op.batch_alter_table("messages") as batch:
        batch.alter_column(
            "payload_encrypted", existing_type=sa.LargeBinary(), nullable=False
        )
        batch.drop_column("payload")
        batch.drop_column("body")
    op.create_index(
        "ix_messages_body",
        "messages",
        ["settled_at"],
        unique=False,
        sqlite_where=sa.text(SETTLED_WITH_BODY_SQL),
        postgresql_where=sa.text(SETTLED_WITH_BODY_SQL),
    )


def _encrypt_messages() -> None:
    connection, last_id = op.get_bind(), 0
    messages = sa.table(
        "messages",
        sa.column("id", sa.Integer),
        sa.column("public_id", sa.String),
        sa.column("payload", sa.JSON),
        sa.column("body", sa.LargeBinary),
        sa.column("payload_encrypted", sa.LargeBinary),
        sa.column("body_encrypted", sa.LargeBinary),
        sa.column("body_digest", sa.LargeBinary),
    )
    columns = messages.c
    query = (
        sa.select(columns.id, columns.public_id, columns.payload, columns.body)
        .where(columns.id > sa.bindparam("last_id"))
        .order_by(columns.id)
        .limit(BATCH_SIZE)
    )
    change = (
        sa.update(messages)
        .where(columns.id == sa.bindparam("message_id"))
        .values(
            payload_encrypted=sa.bindparam("new_payload"),
            body_encrypted=sa.bindparam("new_body"),
            body_digest=sa.bindparam("new_digest"),
        )
    )
    while rows := connection.execute(query, {"last_id": last_id}).all():
        encrypt = _encrypt()
        connection.execute(change, [_encrypted_values(encrypt, *row) for row in rows])
        last_id = rows[-1].id


def _encrypt() -> Encrypt:
    config = op.get_context().config
    encrypt = config.attributes.get("encrypt") if config else None
    if encrypt is None:
        raise RuntimeError("the upgrade encrypts messages: it needs the secret keys")
    return encrypt


def _encrypted_values(
    encrypt: Encrypt, message_id: int, public_id: str, payload: Any, body: bytes | None
) -> dict[str, Any]:
    row_name = f"messages/{public_id}"
    body = body or None  # of a recording, which has none
    return {
        "message_id": message_id,
        "new_payload": encrypt(json.dumps(payload).encode(), f"{row_name}/payload"),
        "new_body": None if body is None else encrypt(body, f"{row_name}/body"),
        "new_digest": None if body is None else hashlib.sha256(body).digest(),
    }
