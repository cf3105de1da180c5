"""The subscribers of status changes that tell an ATS: by callbacks, and by writers of its API.

The program's list of subscribers has the e-mails to candidates and the kinds' own, too.
"""

from datetime import datetime
from urllib.parse import urlsplit

from sqlalchemy import select
from sqlalchemy.orm import Session

from provider import outbox
from provider.ats import ADAPTERS
from provider.ats.api import CANDIDATE_KEY, PLACED
from provider.core.accounts import Account
from provider.core.kinds import follow_status
from provider.core.orders import FINAL_STATUSES, Order, OrderEvent, StatusChange, StatusSubscriber
from provider.core.orders.candidate_emails import enqueue_candidate_email


def enqueue_callback(session: Session, change: StatusChange) -> None:
    """Append the callback that tells the ATS a new status.

    Each callback repeats all that earlier ones say: after it, an earlier one is never sent. An
    order of a rule has no callback address.
    """
    if change.order.is_placed_by_rule:
        return
    account = change.order.account
    if not ADAPTERS[account.ats].reports(change.new_status, account.options):
        return
    change.order.append_message(
        session,
        outbox.CALLBACK,
        host=change.order.callback_host,
        topic="status",
        payload={
            "status": change.new_status,
            "result": change.result.id if change.result else None,
        },
        supersedes_earlier=True,
        now=change.changed_at,
    )


def enqueue_writers(session: Session, change: StatusChange) -> None:
    """Append a message for each writer of the ATS's API that wants the new status."""
    _append_writer_messages(
        session,
        change.order,
        change.new_status,
        change.changed_at,
        result_id=change.result.id if change.result else None,
    )


def enqueue_writers_of_placement(
    session: Session, account: Account, order_id: str, now: datetime
) -> None:
    """Append a message for each writer that says that a rule has placed an order."""
    adapter = ADAPTERS[account.ats]
    settings = adapter.setting_values(account.options)
    if adapter.api and any(writer.writes(PLACED, settings) for writer in adapter.api.writers):
        _append_writer_messages(session, Order.find(session, order_id), PLACED, now)


def _append_writer_messages(
    session: Session, order: Order, status: str, now: datetime, result_id: int | None = None
) -> None:
    """Append the messages that the account's settings want.

    Each writer has its own ordering key, so that one that fails delays no other.
    """
    adapter = ADAPTERS[order.account.ats]
    # An order that the ATS placed through our endpoints may name no candidate of the API.
    if adapter.api is None or not order.reply_context.get(CANDIDATE_KEY):
        return
    settings = adapter.setting_values(order.account.options)
    writers = [writer for writer in adapter.api.writers if writer.writes(status, settings)]
    if not writers:
        return
    payload = {
        "status": status,
        "result": result_id,
        "revision": order.revision,
        "is_correction": _has_ended_before(session, order),
    }
    for writer in writers:
        order.append_message(
            session,
            outbox.WRITER,
            host=urlsplit(adapter.api.base_url(settings)).hostname or "",
            writer=writer.name,
            topic=writer.name,
            payload=payload,
            supersedes_earlier=True,
            now=now,
        )


def _has_ended_before(session: Session, order: Order) -> bool:
    query = select(OrderEvent.id).where(
        OrderEvent.order_id == order.id,
        OrderEvent.revision < order.revision,
        OrderEvent.type.in_(FINAL_STATUSES),
    )
    return session.scalar(query.limit(1)) is not None


STATUS_SUBSCRIBERS: tuple[StatusSubscriber, ...] = (
    enqueue_callback,
    enqueue_writers,
    enqueue_candidate_email,
    follow_status,
)
