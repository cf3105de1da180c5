"""Messages as lists show them: what, for whom, how it stands, and how the last try ended."""

from typing import Any

from sqlalchemy import ColumnElement, Select, and_, false, select
from sqlalchemy.orm import Session

from provider import outbox
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
MANY = 100  # lanes
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
    query = _listed().where(*narrowed(session, state, sink, account))
    return shelf(session, query, NEWEST_FIRST, _piles(session, state, sink, account))


def narrowed(session: Session, state: str, sink: str, account: str) -> list[ColumnElement[bool]]:
    """Return the conditions of a filter; `account` is a public id."""
    conditions: list[ColumnElement[bool]] = []
    if state:
        conditions.append(in_state(state))
    if sink:
        conditions.append(Message.lane.concat("/").contains(f"/{sink}/", autoescape=True))
    if account:
        begins = f"{_number(session, account)}/"
        conditions.append(Message.lane.startswith(begins, autoescape=True))
    return conditions


def _piles(session: Session, state: str, sink: str, account: str) -> list[ColumnElement[bool]]:
    """Return the lanes of a filter, where looking for its newest messages in each is quickest.

    Of what is not delivered there is an index by state; what is in very many lanes is found soon
    among the newest of all.
    """
    if not (sink or account) or state not in ("", DELIVERED):
        return []
    number = _number(session, account) if account else None
    read = [(name, Lane.read(name)) for name in outbox.lanes(session)]
    names = [
        name for name, lane in read if sink in ("", lane.sink) and number in (None, lane.account)
    ]
    told = [in_state(state)] if state else []
    piles = [and_(Message.lane == name, *told) for name in names] or [false()]
    return piles if len(piles) <= MANY else []


def _number(session: Session, account: str) -> int | None:
    return session.scalar(select(Account.id).where(Account.public_id == account))


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
    conditions = narrowed(session, PARKED, sink, account)
    query = select(Message).where(*conditions).order_by(Message.id)
    return list(session.scalars(query.limit(most)))
