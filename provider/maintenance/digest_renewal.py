"""Computes keyed digests anew with the first secret key, where the digested value is stored.

A digest does not tell its key, so each one is compared. The digests of erased orders, of recovery
codes and of networks cannot be computed anew: what they were made from is not stored.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Row, Select, Table, func, select

from provider.core.orders import Candidate, ErasedOrder, Order, Placement
from provider.core.orders.accommodation import Accommodation
from provider.core.orders.candidate import list_email_digests
from provider.core.products import Product
from provider.core.staff.second_factor import RecoveryCode
from provider.errors import Unavailable
from provider.maintenance.row_replacement import Replacement, replace_values
from provider.storage.database import Database
from provider.storage.secrets import KEY_ID_BYTES, SecretBox

BATCH_SIZE = 1000  # rows of one transaction
_CANDIDATES, _ORDERS, _ACCOMMODATIONS, _PRODUCTS = (
    cast(Table, model.__table__) for model in (Candidate, Order, Accommodation, Product)
)
_CONTENT = (
    *(_CANDIDATES.c.email, _CANDIDATES.c.first_name, _CANDIDATES.c.last_name),
    *(_CANDIDATES.c.phone, _ORDERS.c.external_key, _ORDERS.c.job_title),
    *(_ORDERS.c.job_reference, _ORDERS.c.preferences, _ORDERS.c.reply_context),
)


@dataclass
class DigestRenewal:
    """How many digests of e-mail addresses and MACs of orders were computed anew.

    `changed_orders` have an older MAC that stays, since their content was changed after it.
    """

    emails: int = 0
    orders: int = 0
    changed_orders: int = 0


def count_emails(db: Database, secret_box: SecretBox) -> Mapping[bytes, int]:
    """Count the digests of e-mail addresses by key id; one of an unknown key has an empty id."""
    counts: Counter[bytes] = Counter()
    for table in (_CANDIDATES, _ACCOMMODATIONS):
        for row in (row for rows in _read_emails(db, table) for row in rows):
            digests = zip(
                list_email_digests(secret_box, row.email), secret_box.key_ids, strict=True
            )
            counts[dict(digests).get(bytes(row.email_digest), b"")] += 1
    return counts


def count_orders(db: Database) -> Mapping[bytes, int]:
    """Count the MACs of orders by key id."""
    key_id = func.substr(_ORDERS.c.request_mac, 1, 2 * KEY_ID_BYTES)
    with db.reading() as session:
        rows = session.execute(select(key_id, func.count()).group_by(key_id)).all()
    counts: Counter[bytes] = Counter()
    for digits, count in rows:
        is_damaged = not re.fullmatch("[0-9a-f]{8}", digits)
        counts[b"" if is_damaged else bytes.fromhex(digits)] += count
    return counts


def count_fixed_digests(db: Database) -> dict[str, int]:
    """Count the digests that cannot be computed anew. Those of networks matter to nobody later."""
    with db.reading() as session:
        return {
            "erased_orders": session.scalar(select(func.count(ErasedOrder.id))) or 0,
            "recovery_codes": session.scalar(select(func.count(RecoveryCode.id))) or 0,
        }


def renew_digests(db: Database, secret_box: SecretBox) -> DigestRenewal:
    renewal = DigestRenewal()
    for table in (_CANDIDATES, _ACCOMMODATIONS):
        for rows in _read_emails(db, table):
            emails = [
                Replacement((row.id,), row.email_digest, digest)
                for row in rows
                if row.email_digest != (digest := list_email_digests(secret_box, row.email)[0])
            ]
            renewal.emails += replace_values(db, table.c.email_digest, emails).count
    for rows in _read_orders(db, secret_box):
        macs = [
            Replacement((row.id,), row.request_mac, placement.compute_mac(secret_box))
            for row in rows
            if _has_mac(secret_box, placement := _placement(row), row.request_mac)
        ]
        renewal.changed_orders += len(rows) - len(macs)
        renewal.orders += replace_values(db, _ORDERS.c.request_mac, macs).count
    return renewal


def _read_emails(db: Database, table: Table) -> Iterator[Sequence[Row[Any]]]:
    query = select(table.c.id, table.c.email_digest, _CANDIDATES.c.email)
    if table is _ACCOMMODATIONS:
        query = query.join(_ORDERS, _ORDERS.c.id == table.c.order_id)
        query = query.join(_CANDIDATES, _CANDIDATES.c.id == _ORDERS.c.candidate_id)
    return _batches(db, table, query)


def _read_orders(db: Database, secret_box: SecretBox) -> Iterator[Sequence[Row[Any]]]:
    """Yield the orders whose MAC is of another key than the first one."""
    key_id = func.substr(_ORDERS.c.request_mac, 1, 2 * KEY_ID_BYTES)
    query = (
        select(_ORDERS.c.id, _ORDERS.c.request_mac, _PRODUCTS.c.public_id, *_CONTENT)
        .join(_CANDIDATES, _CANDIDATES.c.id == _ORDERS.c.candidate_id)
        .join(_PRODUCTS, _PRODUCTS.c.id == _ORDERS.c.product_id)
        .where(key_id != secret_box.first_key_id.hex())
    )
    return _batches(db, _ORDERS, query)


def _batches(db: Database, table: Table, query: Select[Any]) -> Iterator[Sequence[Row[Any]]]:
    last_id = 0
    query = query.order_by(table.c.id).limit(BATCH_SIZE)
    while True:
        with db.reading() as session:
            rows = session.execute(query.where(table.c.id > last_id)).all()
        if not rows:
            return
        yield rows
        last_id = rows[-1].id


def _has_mac(secret_box: SecretBox, placement: Placement, mac: str) -> bool:
    """Whether a MAC is of this content; False for one that is damaged, or without its key."""
    try:
        return placement.has_mac(secret_box, mac)
    except Unavailable:
        return False


def _placement(row: Row[Any]) -> Placement:
    content = {column.name: getattr(row, column.name) for column in _CONTENT}
    return Placement(product=row.public_id, **content)
