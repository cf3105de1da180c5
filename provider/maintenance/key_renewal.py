"""Encrypts every stored ciphertext with the first secret key, so that older keys can be removed.

The work goes in small batches and can be interrupted: what has the first key is left out. Each
value is replaced only if it is still the one that was read, so it can run beside a server.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, Row, func, literal, select, tuple_
from sqlalchemy.orm import Session

from provider.errors import Unavailable
from provider.maintenance import schema_version  # noqa: F401  (imports every table)
from provider.maintenance.digest_renewal import (
    DigestRenewal,
    count_emails,
    count_orders,
    renew_digests,
)
from provider.maintenance.file_renewal import count_files, renew_files
from provider.maintenance.media_lock import replacing_files
from provider.maintenance.row_replacement import Replacement, replace_values
from provider.maintenance.table_copy import ProgressCallback
from provider.storage.database import Base, Database
from provider.storage.encrypted import (
    encrypted_columns,
    primary_key,
    read_row_name,
    select_with_row_names,
)
from provider.storage.media import MediaStore
from provider.storage.secrets import KEY_ID_BYTES, SecretBox

BATCH_SIZE = 200  # values of one transaction
MAX_PASSES = 3  # over a column in which rows are locked


@dataclass(frozen=True)
class KeyUse:
    """How much depends on each key, by the key's id.

    `emails` counts the digests by which a person is found, and `orders` the MACs by which a
    repeated order is recognised. An empty id stands for an unknown key.
    """

    values: Mapping[bytes, int]
    files: Mapping[bytes, int]
    emails: Mapping[bytes, int]
    orders: Mapping[bytes, int]

    def is_needed(self, key_id: bytes) -> bool:
        """Whether something would be lost without a key. The MAC of an order is no loss."""
        return any(key_id in counts for counts in (self.values, self.files, self.emails))

    @property
    def key_ids(self) -> set[bytes]:
        return {*self.values, *self.files, *self.emails, *self.orders}


@dataclass
class KeyRenewal:
    """The counts of one run. `problems` are ciphertexts that it could not decrypt, by column."""

    values: int = 0
    files: int = 0
    digests: DigestRenewal = field(default_factory=DigestRenewal)
    problems: Counter[str] = field(default_factory=Counter)


def count_key_use(db: Database, media: MediaStore, secret_box: SecretBox) -> KeyUse:
    """Count the values, the files and the digests of each key. Reads everything once."""
    values: Counter[bytes] = Counter()
    for column in encrypted_columns(Base.metadata):
        with db.reading() as session:
            values.update(_count_keys(session, column))
    return KeyUse(values, count_files(db, media), count_emails(db, secret_box), count_orders(db))


def renew_keys(
    db: Database, media: MediaStore, secret_box: SecretBox, report_progress: ProgressCallback
) -> KeyRenewal:
    """Encrypt everything that has another key than the first one, and compute its digests.

    Raises Conflict while a backup or another run is being made.
    """
    with replacing_files(db):
        return _renew_everything(db, media, secret_box, report_progress)


def _renew_everything(
    db: Database, media: MediaStore, secret_box: SecretBox, report_progress: ProgressCallback
) -> KeyRenewal:
    renewal = KeyRenewal()
    columns = list(encrypted_columns(Base.metadata))
    for number, column in enumerate(columns, 1):
        _renew_column(db, secret_box, column, renewal)
        report_progress("Encrypting values", number, len(columns))
    renewal.digests = renew_digests(db, secret_box)
    files = renew_files(db, media, secret_box)
    renewal.files, renewal.problems["files"] = files.renewed, files.failed
    db.truncate_wal()  # it has the old ciphertexts
    return renewal


def _count_keys(session: Session, column: Column[Any]) -> Mapping[bytes, int]:
    key_id = _key_id(column)
    query = select(key_id, func.count()).where(column.is_not(None)).group_by(key_id)
    return {bytes(row[0]): row[1] for row in session.execute(query)}


def _renew_column(
    db: Database, secret_box: SecretBox, column: Column[Any], renewal: KeyRenewal
) -> None:
    for _ in range(MAX_PASSES):
        locked = failed = 0
        for rows in _batches(db, secret_box, column):
            changes = []
            for row in rows:
                try:
                    changes.append(_encrypt_anew(secret_box, column, row))
                except Unavailable:
                    failed += 1
            replaced = replace_values(db, column, changes)
            renewal.values += replaced.count
            locked += replaced.locked
        if not locked:
            break
    renewal.problems[str(column)] += failed


def _batches(
    db: Database, secret_box: SecretBox, column: Column[Any]
) -> Iterator[Sequence[Row[Any]]]:
    """Yield the rows with another key than the first, in the order of their primary keys."""
    keys = primary_key(column)
    query = (
        select_with_row_names(column)
        .where(column.is_not(None), _key_id(column) != literal(secret_box.first_key_id))
        .order_by(*keys)
        .limit(BATCH_SIZE)
    )
    last: Sequence[Any] | None = None
    while True:
        after = () if last is None else (tuple_(*keys) > tuple_(*map(literal, last)),)
        with db.reading() as session:
            rows = session.execute(query.where(*after)).all()
        if not rows:
            return
        yield rows
        last = rows[-1][: len(keys)]


def _encrypt_anew(secret_box: SecretBox, column: Column[Any], row: Row[Any]) -> Replacement:
    key_length = len(primary_key(column))
    name, ciphertext = read_row_name(column, row), row[key_length]
    new = secret_box.encrypt_bytes(secret_box.decrypt_bytes(ciphertext, name), name)
    return Replacement(tuple(row[:key_length]), ciphertext, new)


def _key_id(column: Column[Any]) -> Any:
    return func.substr(column, 1, KEY_ID_BYTES, type_=column.type)
