"""Messages as lists show them: what, for whom, how it stands, and how the last try ended."""

from typing import Any

from sqlalchemy import ColumnElement, Select, and_, false, select
from sqlalchemy.orm import Session

from provider import outbox
from provider.core.accounts import Account
from provider.core.labels import label_for
from provider.core.orders import Candidate, Order
from provider.outbox import (
    CALLBACK,
    DELIVERED,
    EMAIL,
    MEDIA,
    PARKED,
    SUPERSEDED,
    WAITING,
    Attempt,
    Message,
    QueueName,
    is_in_state,
)
from provider.web.console.pagination import Page, Sorting, paginate

CHANNELS = (CALLBACK, EMAIL, MEDIA)
STATES = (PARKED, WAITING, DELIVERED, SUPERSEDED)  # what wants attention first
MAX_QUEUES = 100  # lanes
NEWEST_FIRST = Sorting(Message.public_id, (Message.id,))
COLUMNS: tuple[Any, ...] = (
    Message.public_id,
    Message.topic,
    Message.payload,
    Message.state,
    Message.attempts,
    Message.queue,
    Message.created_at,
    Message.due_at,
    Message.settled_at,
    Attempt.status_code,
    Attempt.error,
    Attempt.started_at.label("tried_at"),
    Order.public_id.label("order"),
    Account.name.label("account"),
    Candidate.first_name,
    Candidate.last_name,
    Candidate.email,
)


def list_messages(session: Session, state: str = "", channel: str = "", account: str = "") -> Page:
    """Return a page of messages, newest first, narrowed where asked."""
    query = _message_query().where(*filter_conditions(session, state, channel, account))
    return paginate(
        session, query, NEWEST_FIRST, _queue_conditions(session, state, channel, account)
    )


def filter_conditions(
    session: Session, state: str, channel: str, account: str
) -> list[ColumnElement[bool]]:
    """Return the conditions of a filter; `account` is a public id."""
    conditions: list[ColumnElement[bool]] = []
    if state:
        conditions.append(is_in_state(state))
    if channel:
        conditions.append(Message.queue.concat("/").contains(f"/{channel}/", autoescape=True))
    if account:
        begins = f"{_account_id(session, account)}/"
        conditions.append(Message.queue.startswith(begins, autoescape=True))
    return conditions


def _queue_conditions(
    session: Session, state: str, channel: str, account: str
) -> list[ColumnElement[bool]]:
    """Return the lanes of a filter, where looking for its newest messages in each is quickest.

    Of what is not delivered there is an index by state; what is in very many lanes is found soon
    among the newest of all.
    """
    if not (channel or account) or state not in ("", DELIVERED):
        return []
    number = _account_id(session, account) if account else None
    read = [(name, QueueName.parse(name)) for name in outbox.list_queues(session)]
    names = [
        name
        for name, lane in read
        if channel in ("", lane.channel) and number in (None, lane.account_id)
    ]
    told = [is_in_state(state)] if state else []
    piles = [and_(Message.queue == name, *told) for name in names] or [false()]
    return piles if len(piles) <= MAX_QUEUES else []


def _account_id(session: Session, account: str) -> int | None:
    return session.scalar(select(Account.id).where(Account.public_id == account))


def state_labels() -> list[tuple[str, str]]:
    """Return (state, what people call it)."""
    return [(state, label_for("delivery", state)) for state in STATES]


def channel_of(queue: str) -> str:
    """Return the sink of a lane: callback, mail …"""
    return QueueName.parse(queue).channel


def _message_query() -> Select[Any]:
    # Only the last try is fetched: its number is how many there were.
    last = and_(Attempt.message_id == Message.id, Attempt.number == Message.attempts)
    return (
        select(*COLUMNS)
        .outerjoin(Attempt, last)
        .outerjoin(Order, Order.public_id == Message.ordering_key)
        .outerjoin(Account, Account.id == Order.account_id)
        .outerjoin(Candidate, Candidate.id == Order.candidate_id)
    )


def list_oldest_parked(session: Session, channel: str, account: str, limit: int) -> list[Message]:
    """Return up to `most` parked messages of a filter, oldest first."""
    conditions = filter_conditions(session, PARKED, channel, account)
    query = select(Message).where(*conditions).order_by(Message.id)
    return list(session.scalars(query.limit(limit)))
