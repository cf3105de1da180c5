"""Everything about a person within an account, as JSON and files.

The rows are found by their foreign keys, as an erasure finds them. So a new table of a kind is
exported without a line here.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, LargeBinary, Table, select
from sqlalchemy.orm import Session

from provider import outbox
from provider.core.accounts import Account
from provider.core.emails.sent_email import SentEmail
from provider.core.kinds import KINDS
from provider.core.orders import Candidate, Order, orders_of_person
from provider.core.orders.accommodation import export_accommodation
from provider.errors import Conflict, NotFound
from provider.maintenance.atomic_folder import atomic_folder, move_into_place
from provider.maintenance.dependent_rows import dependent_rows
from provider.storage.encrypted_files import read_encrypted
from provider.storage.media import MediaStore
from provider.storage.secrets import SecretBox

DATA_FILE = "data.json"
FILES_FOLDER = "files"
# Links and sessions sign the candidate in, so their rows have only secrets.
SECRET_TABLES = {"links", "order_sessions"}


@dataclass(frozen=True)
class PersonExport:
    """The public ids of the exported orders, and the number of files."""

    order_ids: Sequence[str]
    file_count: int


def export_person(
    session: Session,
    media: MediaStore,
    secret_box: SecretBox,
    account: Account,
    email: str,
    folder: Path,
) -> PersonExport:
    """Create a folder with the data and the files of a person; it appears when it is complete.

    NotFound for a person without orders, Conflict for a folder that exists.
    """
    if folder.exists():
        raise Conflict(f"{folder} exists already: name a new folder")
    orders = orders_of_person(session, secret_box, account.id, email)
    if not orders:
        raise NotFound(f"Account {account.name} has no order of {email}")
    with atomic_folder(folder) as temporary_folder:
        documents = [export_order(session, secret_box, order) for order in orders]
        file_count = sum(
            _copy_file(media, file, secret_box, temporary_folder / FILES_FOLDER / file.key)
            for order in orders
            for file in list_files(session, media, order)
        )
        data = {"account": account.name, "orders": documents}
        text = json.dumps(data, indent=2, ensure_ascii=False, default=plain_value)
        (temporary_folder / DATA_FILE).write_text(text, "utf-8")
        move_into_place(temporary_folder, folder)
    return PersonExport([order.public_id for order in orders], file_count)


def export_order(session: Session, secret_box: SecretBox, order: Order) -> dict[str, Any]:
    """Return everything about an order but its files, for `json.dumps` with `plain_value`."""
    tables: dict[str, list[Mapping[str, Any]]] = {}
    orders, candidates = Order.__table__, Candidate.__table__
    assert isinstance(orders, Table)
    assert isinstance(candidates, Table)
    for table, condition in dependent_rows(orders, orders.c.id == order.id):
        if table.name not in SECRET_TABLES:
            tables.setdefault(table.name, []).extend(_read_rows(session, table, condition))
    return {
        "order": order.public_id,
        "product": order.product.name,
        "candidate": _read_rows(session, candidates, candidates.c.id == order.candidate_id)[0],
        "tables": {name: rows for name, rows in tables.items() if rows},
        "encrypted": {
            **KINDS[order.kind].read_encrypted(order, secret_box),
            **export_accommodation(session, secret_box, order),
        },
        "emails": _read_emails(session, secret_box, order),
    }


def _read_rows(
    session: Session, table: Table, condition: ColumnElement[bool]
) -> list[Mapping[str, Any]]:
    """Return rows without ids of other tables and without ciphertexts and digests."""
    columns = [
        column
        for column in table.columns
        if not (column.primary_key or column.foreign_keys or isinstance(column.type, LargeBinary))
    ]
    query = select(*columns).where(condition).order_by(*table.primary_key)
    return [dict(row._mapping) for row in session.execute(query)]


def _read_emails(session: Session, secret_box: SecretBox, order: Order) -> list[dict[str, Any]]:
    """Return the e-mails to the candidate that are still stored, without the tokens of links."""
    emails = []
    for message in outbox.history(session, order.public_id):
        if outbox.QueueName.parse(message.queue).channel == outbox.EMAIL:
            body = message.get_body(secret_box)
            email = vars(SentEmail.parse(body)) if body else None
            emails.append({"topic": message.topic, "sent_at": message.settled_at, "email": email})
    return emails


@dataclass(frozen=True)
class ExportedFile:
    """A file in media storage, which may be encrypted."""

    key: str
    is_encrypted: bool

    def read(self, media: MediaStore, secret_box: SecretBox) -> Iterator[bytes]:
        """Yield the content. Raises NotFound, and Unavailable."""
        if self.is_encrypted:
            return iter([read_encrypted(media, secret_box, self.key)])
        return media.read_range(self.key, 0, media.size(self.key))


def list_files(session: Session, media: MediaStore, order: Order) -> Iterator[ExportedFile]:
    kind_media = KINDS[order.kind].media
    if kind_media:
        for media_folder in kind_media.list_folders(session, order):
            for key, _ in media.list_files(folder=media_folder):
                yield ExportedFile(key, kind_media.is_encrypted)


def _copy_file(media: MediaStore, file: ExportedFile, secret_box: SecretBox, path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as target:
        for chunk in file.read(media, secret_box):
            target.write(chunk)
    return 1


def plain_value(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
