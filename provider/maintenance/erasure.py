"""Erasing orders: the data of the candidate is deleted, the figures of the order stay.

The files are deleted first and the rows afterwards, in one transaction. So an erasure that is
interrupted can be repeated, and no file is left without a row that names it.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, CursorResult, and_, delete, select
from sqlalchemy.orm import Session

from provider import outbox
from provider.core import audit
from provider.core.audit import Action
from provider.core.connections import Arrival, WebhookEvent, forget_pages
from provider.core.kinds import KINDS
from provider.core.orders import FINAL_STATUSES, Candidate, ErasedOrder, Order
from provider.errors import Conflict
from provider.maintenance.dependent_rows import dependent_rows
from provider.outbox import Message
from provider.storage.database import Base, Database
from provider.storage.media import MediaStore
from provider.storage.secrets import SecretBox

# An erasure waits for messages to the ATS. It does not wait for an e-mail to the candidate, for a
# recording that nobody will watch, or for a vendor whose screening has ended.
CHANNELS_WITHOUT_DUTY = (outbox.CONNECTOR, outbox.EMAIL, outbox.MEDIA, outbox.SPEECH)


@dataclass(frozen=True)
class Erasure:
    """The rows that were deleted, by table, and the number of files."""

    order: str
    kind: str
    status: str
    rows: Mapping[str, int]
    files: int


class NotErasable(Conflict):
    """An order that cannot be erased yet. `hint` says which command or option helps."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def require_erasable(
    session: Session, order: Order, now: datetime, *, give_up_deliveries: bool = False
) -> None:
    """Raise NotErasable for an order that is open or on hold, or whose ATS lacks a status.

    With `give_up_deliveries` statuses and results that the ATS has not got are lost.
    """
    if order.status not in FINAL_STATUSES:
        raise NotErasable(
            f"Order {order.public_id} is open: cancel it first",
            f"`provider order cancel {order.public_id}`",
        )
    if order.hold_reason is not None:
        raise NotErasable(
            f"Order {order.public_id} is on hold ({order.hold_reason}): release it first",
            f"`provider order release {order.public_id}`",
        )
    messages = outbox.history(session, order.public_id)
    if any(message.leased_until and message.leased_until > now for message in messages):
        raise NotErasable(
            f"A message about order {order.public_id} is being delivered: try again in a minute",
            "",
        )
    undelivered_count = sum(
        message.state in (outbox.WAITING, outbox.PARKED)
        and outbox.QueueName.parse(message.queue).channel not in CHANNELS_WITHOUT_DUTY
        for message in messages
    )
    if undelivered_count and not give_up_deliveries:
        raise NotErasable(
            f"The ATS has not got {undelivered_count} of the messages about order "
            f"{order.public_id}: deliver them first, or give them up",
            "`provider delivery list`, --give-up-deliveries",
        )


def erase_order(
    db: Database,
    media: MediaStore,
    secret_box: SecretBox,
    order_id: str,
    *,
    actor: str,
    now: datetime,
    give_up_deliveries: bool = False,
) -> Erasure:
    """Delete an order and everything about its candidate; NotErasable as in `require_erasable`."""
    with db.reading() as session:
        order = Order.find(session, order_id)
        require_erasable(session, order, now, give_up_deliveries=give_up_deliveries)
        folders = _media_folders(session, order)
    files = sum(_delete_files(media, folder) for folder in folders)
    with db.writing() as session:
        order = Order.find(session, order_id, lock=True)
        messages = select(Message.id).where(outbox.is_about(Message.ordering_key, order_id))
        session.execute(messages.with_for_update()).all()  # or a dispatcher could claim one now
        require_erasable(session, order, now, give_up_deliveries=give_up_deliveries)
        erased = ErasedOrder.from_order(secret_box, order, now)
        rows = _delete_rows(session, order)
        session.add(erased)
        erasure = Erasure(order_id, erased.kind, erased.status, rows, files)
        audit.record(
            session,
            actor,
            Action.ORDER_ERASED,
            f"order:{order_id}",
            now=now,
            after={"rows": rows, "files": files},
        )
    db.truncate_wal()
    for folder in folders:  # a worker may have written a file meanwhile
        media.delete_folder(folder)
    return erasure


def delete_recordings(
    db: Database, media: MediaStore, order_id: str, *, actor: str, now: datetime
) -> int:
    """Delete the files of an ended order, whose other data stays; return their number.

    Conflict for an order that is open or on hold.
    """
    with db.reading() as session:
        order = Order.find(session, order_id)
        _require_deletable(order)
        folders = _media_folders(session, order)
    files = sum(_delete_files(media, folder) for folder in folders)
    with db.writing() as session:
        order = Order.find(session, order_id, lock=True)
        _require_deletable(order)
        kind_media = KINDS[order.kind].media
        assert kind_media
        kind_media.forget(session, order)
        subject = f"order:{order_id}"
        after = {"files": files}
        audit.record(session, actor, Action.ORDER_MEDIA_DELETED, subject, now=now, after=after)
    return files


def _require_deletable(order: Order) -> None:
    if order.status not in FINAL_STATUSES or order.hold_reason is not None:
        raise Conflict(f"Order {order.public_id} is open or on hold")


def _media_folders(session: Session, order: Order) -> list[str]:
    kind_media = KINDS[order.kind].media
    return list(kind_media.list_folders(session, order)) if kind_media else []


def _delete_files(media: MediaStore, folder: str) -> int:
    count = sum(1 for _ in media.list_files(folder=folder))
    media.delete_folder(folder)
    return count


def _delete_rows(session: Session, order: Order) -> dict[str, int]:
    """Delete the order's rows and all that depend on them; return their number by table."""
    arrivals = session.execute(
        select(Arrival.id, Arrival.record_key).where(
            Arrival.account_id == order.account_id, Arrival.order_public_id == order.public_id
        )
    ).all()
    # A rule that orders at each entry has added the entry to the record's key.
    record_keys = {part for _, key in arrivals for part in (key, key.rpartition("/")[0])}
    conditions: list[tuple[type[Base], ColumnElement[bool]]] = [
        (Message, outbox.is_about(Message.ordering_key, order.public_id)),
        (
            WebhookEvent,
            and_(
                WebhookEvent.account_id == order.account_id,
                WebhookEvent.record_key.in_(record_keys),
                WebhookEvent.done_at.is_not(None),
            ),
        ),
        (Arrival, Arrival.id.in_([row_id for row_id, _ in arrivals])),
        (Order, Order.__table__.c.id == order.id),
        (Candidate, Candidate.id == order.candidate_id),
    ]
    counts: Counter[str] = Counter()
    forget_pages(session, order.account_id)
    session.expunge_all()  # the objects of rows that will not exist
    for table_class, condition in conditions:
        table = Base.metadata.tables[table_class.__tablename__]
        for dependent, rows in reversed(list(dependent_rows(table, condition))):
            result = session.execute(delete(dependent).where(rows))
            assert isinstance(result, CursorResult)
            counts[dependent.name] += result.rowcount
    return {name: count for name, count in sorted(counts.items()) if count}
