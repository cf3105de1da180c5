"""A zip file with everything about an account: settings, orders, files, reports, audit log.

Each order is read in a transaction of its own, so a long export delays no other writer.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from sqlalchemy import Table, func, select
from sqlalchemy.orm import Session

from provider.core.accounts import Account, AccountLogo
from provider.core.audit import AuditEntry
from provider.core.connections import open_rules
from provider.core.orders import PDF, ErasedOrder, Order
from provider.core.report import build_report
from provider.errors import NotFound
from provider.maintenance.person_export import export_order, list_files, plain_value
from provider.storage.database import Database
from provider.storage.media import MediaStore
from provider.storage.secrets import SecretBox

BATCH_SIZE = 500  # orders whose ids are read at once
# A date that zip files can have: a file's own time would need another question to the store.
ZIP_DATE = (1980, 1, 1, 0, 0, 0)

ReportDone = Callable[[int], None]  # the number of orders that are written


@dataclass(frozen=True)
class AccountExport:
    """The numbers of orders and of their files in an export."""

    orders: int
    files: int


def write_account_export(
    db: Database,
    media: MediaStore,
    secret_box: SecretBox,
    account_id: int,
    target: Path | BinaryIO,
    report_done: ReportDone,
) -> AccountExport:
    """Write the zip file of an account to a path, or to a file that stays open."""
    order_count = file_count = 0
    with ZipFile(target, "w", ZIP_DEFLATED) as archive:
        with db.reading() as session:
            _write_json(archive, "account.json", _describe_account(session, account_id))
            if logo := session.get(AccountLogo, account_id):
                archive.writestr(f"logo.{logo.file_name.rpartition('.')[2]}", logo.content)
        with archive.open("erased_orders.jsonl", "w") as lines:
            for row in _read_erased_orders(db, account_id):
                lines.write(_to_json(row, indent=None) + b"\n")
        for order_id in _list_order_ids(db, account_id):
            try:
                file_count += _write_order(archive, db, media, secret_box, order_id)
            except NotFound:  # erased since, as its retention says
                continue
            order_count += 1
            report_done(order_count)
    return AccountExport(order_count, file_count)


def count_orders(session: Session, account_id: int) -> int:
    return session.scalar(select(func.count()).where(Order.account_id == account_id)) or 0


def _describe_account(session: Session, account_id: int) -> dict[str, Any]:
    account = session.get_one(Account, account_id)
    return {
        "id": account.public_id,
        "settings": account.audit_fields(),
        "created_at": account.created_at,
        "rules": [
            {"number": rule.id, **rule.audit_fields()} for rule in open_rules(session, account_id)
        ],
        "audit": _read_audit(session, f"account:{account.public_id}"),
    }


def _write_order(
    archive: ZipFile, db: Database, media: MediaStore, secret_box: SecretBox, order_id: str
) -> int:
    """Write an order with its files and its report; return the number of files."""
    from provider.core.report_pdf import render_pdf  # late: Typst is slow to import

    folder = f"orders/{order_id}"
    with db.reading() as session:
        order = Order.find(session, order_id)
        document = export_order(session, secret_box, order)
        document["audit"] = _read_audit(session, f"order:{order_id}")
        files = list(list_files(session, media, order))
        report = build_report(order, secret_box, {PDF}) if order.result else None
    _write_json(archive, f"{folder}/data.json", document)
    if report:
        archive.writestr(f"{folder}/report.pdf", render_pdf(report))
    for file in files:
        chunks = file.read(media, secret_box)
        _write_file(archive, chunks, f"{folder}/files/{file.key}")
    return len(files)


def _write_file(archive: ZipFile, chunks: Iterator[bytes], name: str) -> None:
    info = ZipInfo(name, ZIP_DATE)
    info.compress_type = ZIP_STORED  # videos and pictures are compressed already
    with archive.open(info, "w", force_zip64=True) as file:
        for chunk in chunks:
            file.write(chunk)


def _list_order_ids(db: Database, account_id: int) -> Iterator[str]:
    last_id = 0
    while True:
        with db.reading() as session:
            query = select(Order.id, Order.public_id).where(
                Order.account_id == account_id, Order.id > last_id
            )
            rows = session.execute(query.order_by(Order.id).limit(BATCH_SIZE)).all()
        if not rows:
            return
        yield from (row.public_id for row in rows)
        last_id = rows[-1].id


def _read_erased_orders(db: Database, account_id: int) -> Iterator[dict[str, Any]]:
    """Yield the figures of orders that were erased before."""
    table = cast(Table, ErasedOrder.__table__)
    hidden = {"id", "key_digest", "account_id", "product_id", "version_id"}
    columns = [column for column in table.columns if column.name not in hidden]
    last_id = 0
    while True:
        with db.reading() as session:
            query = select(table.c.id.label("row_id"), *columns).where(
                table.c.account_id == account_id, table.c.id > last_id
            )
            rows = session.execute(query.order_by(table.c.id).limit(BATCH_SIZE)).all()
        if not rows:
            return
        for row in rows:
            yield {name: value for name, value in row._mapping.items() if name != "row_id"}
        last_id = rows[-1].row_id


def _read_audit(session: Session, subject: str) -> list[dict[str, Any]]:
    query = select(AuditEntry).where(AuditEntry.subject == subject).order_by(AuditEntry.id)
    names = ("at", "actor", "action", "before", "after")
    return [{name: getattr(entry, name) for name in names} for entry in session.scalars(query)]


def _write_json(archive: ZipFile, name: str, value: Any) -> None:
    archive.writestr(name, _to_json(value, indent=2))


def _to_json(value: Any, indent: int | None) -> bytes:
    return json.dumps(value, indent=indent, ensure_ascii=False, default=plain_value).encode()
