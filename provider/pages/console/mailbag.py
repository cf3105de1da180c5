"""Messages as lists show them: what, for whom, how it stands, and how the last try ended."""

from typing import Any

from sqlalchemy import Select, and_, select
from sqlalchemy.orm import Session

from provider.accounts import Account
from provider.orders import Candidate, Order
from provider.outbox import (
    CALLBACK,
    DELIVERED,
    MAIL,
    MEDIA,
    PARKED,
    SUPERSEDED,
    WAITING,
    Attempt,
    Lane,
    Message,
    in_state,
)
from provider.pages.console.paging import Shelf, Sorting, shelf
from provider.words import word

SINKS = (CALLBACK, MAIL, MEDIA)
STATES = (PARKED, WAITING, DELIVERED, SUPERSEDED)  # what wants attention first
NEWEST_FIRST = Sorting(Message.public_id, (Message.id,))
COLUMNS: tuple[Any, ...] = (
    Message.public_id, Message.topic, Message.payload, Message.state, Message.attempts,
    Message.lane, Message.created_at, Message.due_at, Message.settled_at,
    Attempt.code, Attempt.error, Attempt.at.label("tried_at"),
    Order.public_id.label("order"), Account.name.label("account"),
    Candidate.first_name, Candidate.last_name, Candidate.email,
)  # fmt: skip


def bag(session: Session, state: str = "", sink: str = "", account: str = "") -> Shelf:
    """Return a page of messages, newest first, narrowed where asked."""
    return shelf(session, _listed().where(*narrowed(state, sink, account)), NEWEST_FIRST)


def narrowed(state: str, sink: str, account: str) -> list[Any]:
    """Return the conditions of a filter; `account` is a public id."""
    conditions: list[Any] = []
    if state:
        conditions.append(in_state(state))
    if sink:
        conditions.append(Message.lane.concat("/").contains(f"/{sink}/", autoescape=True))
    if account:
        ours = select(Order.id).join(Account, Order.account_id == Account.id)
        conditions.append(
            ours.where(Order.public_id == Message.key, Account.public_id == account).exists()
        )
    return conditions


def state_words() -> list[tuple[str, str]]:
    """Return (state, what people call it)."""
    return [(state, word("delivery", state)) for state in STATES]


def sink_of(lane: str) -> str:
    """Return the sink of a lane: callback, mail …"""
    return Lane.read(lane).sink


def _listed() -> Select[Any]:
    # Only the last try is fetched: its number is how many there were.
    last = and_(Attempt.message_id == Message.id, Attempt.number == Message.attempts)
    return (
        select(*COLUMNS)
        .outerjoin(Attempt, last)
        .outerjoin(Order, Order.public_id == Message.key)
        .outerjoin(Account, Account.id == Order.account_id)
        .outerjoin(Candidate, Candidate.id == Order.candidate_id)
    )


def parked_first(session: Session, sink: str, account: str, most: int) -> list[Message]:
    """Return up to `most` parked messages of a filter, oldest first."""
    query = select(Message).where(*narrowed(PARKED, sink, account)).order_by(Message.id)
    return list(session.scalars(query.limit(most)))
