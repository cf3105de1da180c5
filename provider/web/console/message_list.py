"""Lists of messages: topic, candidate, state and the last attempt."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, false, select, true
from sqlalchemy.orm import Session

from provider import outbox
from provider.core.accounts import Account
from provider.core.labels import CHANNEL_LABELS, label_for
from provider.core.orders import Candidate, Order
from provider.errors import Unavailable
from provider.outbox import (
    DELIVERED,
    PARKED,
    SUPERSEDED,
    WAITING,
    Attempt,
    Message,
    OrderingKey,
    QueueName,
    is_in_channel,
    is_in_state,
)
from provider.services import current_services
from provider.web.console.authentication import current_staff
from provider.web.console.pagination import Page, Sorting, paginate

STATES = (PARKED, WAITING, DELIVERED, SUPERSEDED)  # in the order of the filter's menu
MAX_QUEUES = 100  # queues that one page reads separately; beyond that, one scan is quicker
NEWEST_FIRST = Sorting(Message.public_id, (Message.id,))
COLUMNS: tuple[Any, ...] = (
    Message.public_id,
    Message.topic,
    Message.payload_encrypted,
    Message.state,
    Message.attempts,
    Message.queue,
    Message.created_at,
    Message.due_at,
    Message.settled_at,
    Attempt.status_code,
    Attempt.error,
    Attempt.started_at.label("tried_at"),
    Message.ordering_key,
)
ORDER_COLUMNS: tuple[Any, ...] = (
    Order.public_id.label("order"),
    Account.name.label("account"),
    Account.sandbox,
    Candidate.first_name,
    Candidate.last_name,
    Candidate.email,
)


def list_messages(session: Session, state: str = "", channel: str = "", account: str = "") -> Page:
    """Return the requested page of messages, newest first; an empty filter matches all."""
    conditions = filter_conditions(session, state, channel, account)
    partitions = _queue_conditions(session, state, channel, account) or [and_(true(), *conditions)]
    page = paginate(session, _message_query(), NEWEST_FIRST, partitions)
    return replace(page, rows=_with_orders(session, page.rows))


def _with_orders(session: Session, rows: Sequence[Row[*tuple[Any, ...]]]) -> list[dict[str, Any]]:
    """Add the payload and the order's columns to rows of messages; none for an erased order.

    A join would compare the order's id with a part of the ordering key, which has another
    collation on PostgreSQL. No index serves that: it would read every order.
    """
    subjects = {row.public_id: OrderingKey.parse(row.ordering_key).subject for row in rows}
    query = (
        select(*ORDER_COLUMNS)
        .join(Account, Account.id == Order.account_id)
        .join(Candidate, Candidate.id == Order.candidate_id)
        .where(Order.public_id.in_(set(subjects.values())))
    )
    orders = {order.order: dict(order._mapping) for order in session.execute(query)}
    return [
        dict(row._mapping)
        | {"payload": read_payload(row.public_id, row.payload_encrypted)}
        | orders.get(subjects[row.public_id], {})
        for row in rows
    ]


def read_payload(public_id: str, ciphertext: bytes) -> dict[str, Any]:
    """Return a message's payload; an empty one if it cannot be decrypted.

    One damaged row must not hide a whole list.
    """
    try:
        return outbox.decrypt_payload(current_services().secret_box, public_id, ciphertext)
    except Unavailable:
        return {}


def filter_conditions(
    session: Session, state: str, channel: str, account: str
) -> list[ColumnElement[bool]]:
    """Return the SQL conditions of a filter; `account` is a public id."""
    conditions: list[ColumnElement[bool]] = []
    if state:
        conditions.append(is_in_state(state))
    if channel:
        conditions.append(is_in_channel(channel))
    if account:
        prefix = f"{_account_id(session, account)}/"
        conditions.append(Message.queue.startswith(prefix, autoescape=True))
    return conditions


def _queue_conditions(
    session: Session, state: str, channel: str, account: str
) -> list[ColumnElement[bool]]:
    """Return one condition per queue of a filter, or none where a single scan is quicker.

    Undelivered messages have an index by state. With more than `MAX_QUEUES` queues, the newest
    messages of all queues contain a page of matches soon enough.
    """
    account_ids = current_staff().account_ids
    if account:
        account_ids = (_account_id(session, account) or 0,)
    if not (channel or account_ids is not None) or state not in ("", DELIVERED):
        return []
    queues = [(name, QueueName.parse(name)) for name in outbox.list_queues(session)]
    names = [
        name
        for name, queue in queues
        if channel in ("", queue.channel)
        and (account_ids is None or queue.account_id in account_ids)
    ]
    state_conditions = [is_in_state(state)] if state else []
    conditions = [and_(Message.queue == name, *state_conditions) for name in names] or [false()]
    return conditions if len(conditions) <= MAX_QUEUES else []


def _account_id(session: Session, account: str) -> int | None:
    return session.scalar(select(Account.id).where(Account.public_id == account))


def state_labels() -> list[tuple[str, str]]:
    """Return (state, label) for the filter's menu."""
    return [(state, label_for("delivery", state)) for state in STATES]


def channel_labels(session: Session) -> list[tuple[str, str]]:
    """Return (channel, label) for the filter's menu: usual channels, then others with messages."""
    channels = dict.fromkeys([*CHANNEL_LABELS, *outbox.list_channels(session)])
    return [(channel, label_for("channel", channel)) for channel in channels]


def channel_of(queue: str) -> str:
    """Return the channel of a queue's name."""
    return QueueName.parse(queue).channel


def _message_query() -> Select[Any]:
    # Joins the last attempt only: its number equals the message's number of attempts.
    last_attempt = and_(Attempt.message_id == Message.id, Attempt.number == Message.attempts)
    return select(*COLUMNS).outerjoin(Attempt, last_attempt)


def list_oldest_parked(session: Session, channel: str, account: str, limit: int) -> list[Message]:
    """Return up to `limit` parked messages of a filter, oldest first."""
    conditions = filter_conditions(session, PARKED, channel, account)
    query = select(Message).where(*conditions).order_by(Message.id)
    return list(session.scalars(query.limit(limit)))
