"""Encrypt what a record is about, the reason of a dispute, and how a notice was handed over."""

import json
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0087"
down_revision = "0086"
branch_labels = None
depends_on = None

BATCH_SIZE = 1000  # rows in memory
FACTS_LENGTH, REASON_LENGTH = 96, 16  # characters: the length of a ciphertext tells nothing

# Takes the data and the name of its row, and returns the ciphertext.
Encrypt = Callable[[bytes, str], bytes]


def upgrade() -> None:
    for table, column in (
        ("found_records", "facts_encrypted"),
        ("disputes", "reason_encrypted"),
        ("adverse_notices", "other_way_encrypted"),
    ):
        op.add_column(table, sa.Column(column, sa.LargeBinary(), nullable=True))
    _encrypt_records()
    _encrypt_disputes()
    _encrypt_notices()
    _encrypt_digests()
    with op.batch_alter_table("found_records") as batch:
        batch.alter_column("facts_encrypted", existing_type=sa.LargeBinary(), nullable=False)
        for name in ("kind", "severity", "occurred_on"):
            batch.drop_column(name)
    with op.batch_alter_table("disputes") as batch:
        batch.alter_column("reason_encrypted", existing_type=sa.LargeBinary(), nullable=False)
        batch.drop_column("reason")
    op.drop_column("adverse_notices", "other_way")


def _encrypt_records() -> None:
    names = ("kind", "severity", "occurred_on")
    for row in _read("found_records", "kind", "severity", sa.column("occurred_on", sa.Date)):
        facts = {name: getattr(row, name) for name in names}
        text = json.dumps(facts, default=str).ljust(FACTS_LENGTH)
        path = f"orders/{row.order}/records/{row.public_id}/facts"
        cleared = {"kind": "", "severity": "", "occurred_on": None}
        _write("found_records", row.id, "facts_encrypted", text.encode(), path, cleared)


def _encrypt_disputes() -> None:
    for row in _read("disputes", "reason"):
        path = f"orders/{row.order}/disputes/{row.public_id}/reason"
        text = row.reason.ljust(REASON_LENGTH)
        _write("disputes", row.id, "reason_encrypted", text.encode(), path, {"reason": ""})


def _encrypt_notices() -> None:
    for row in _read("adverse_notices", "other_way"):
        if row.other_way:
            path = f"orders/{row.order}/notices/{row.public_id}/other_way"
            cleared, data = {"other_way": ""}, row.other_way.encode()
            _write("adverse_notices", row.id, "other_way_encrypted", data, path, cleared)


def _encrypt_digests() -> None:
    for row in _read("vendor_orders", sa.column("answer_digest", sa.LargeBinary)):
        if row.answer_digest is not None:
            path = f"vendor_orders/{row.public_id}/answer_digest"
            _write("vendor_orders", row.id, "answer_digest", row.answer_digest, path)


def _read(table_name: str, *columns: Any) -> Iterator[Any]:
    """Yield the rows with the public id of their order, in batches."""
    own = [sa.column(entry) if isinstance(entry, str) else entry for entry in columns]
    table = sa.table(table_name, *map(sa.column, ("id", "public_id", "order_id")), *own)
    orders = sa.table("orders", sa.column("id"), sa.column("public_id"))
    query = (
        sa.select(table.c.id, table.c.public_id, orders.c.public_id.label("order"), *own)
        .join_from(table, orders, orders.c.id == table.c.order_id)
        .order_by(table.c.id)
        .limit(BATCH_SIZE)
    )
    last_id = 0
    while rows := op.get_bind().execute(query.where(table.c.id > last_id)).all():
        yield from rows
        last_id = rows[-1].id


def _write(
    table_name: str,
    row_id: int,
    column: str,
    data: bytes,
    path: str,
    cleared: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Store the ciphertext, and clear the old columns: PostgreSQL keeps the text of a dropped one."""
    columns = (sa.column("id"), sa.column(column, sa.LargeBinary), *map(sa.column, cleared))
    table = sa.table(table_name, *columns)
    change = sa.update(table).where(table.c.id == row_id)
    op.get_bind().execute(change.values({column: _encrypt()(data, path), **cleared}))


def _encrypt() -> Encrypt:
    config = op.get_context().config
    encrypt = config.attributes.get("encrypt") if config else None
    if encrypt is None:
        raise RuntimeError("the upgrade encrypts records: it needs the secret keys")
    return encrypt
