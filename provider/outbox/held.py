"""The holds in people's words: what waits, why, since when, and trying at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from shlex import quote

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from provider.accounts import Account
from provider.errors import NotFound
from provider.outbox.hold import Hold, holding, lift
from provider.outbox.lane import CALLBACK, Lane
from provider.outbox.message import Message, is_waiting

HOST, ACCOUNT, LANE = "host", "account", "lane"


@dataclass(frozen=True)
class Held:
    """What a hold lies on: a `host` (or sink), an `account`'s sink, or one `lane` of theirs."""

    subject: str
    on: str
    sink: str
    host: str  # empty where an account's token is refused, and for sinks without hosts
    account: str  # its name; empty where a host is held for all accounts
    account_id: str  # its public id
    why: str
    since: datetime
    until: datetime  # the next try

    @property
    def remedy(self) -> str:
        """The command that ends it; empty where there is nothing to do but wait."""
        if self.on != ACCOUNT:
            return ""
        return f"provider account set {quote(self.account)} callback_token=…"


def all_held(session: Session, account: Account | None = None) -> list[Held]:
    """Return all holds, the oldest first; of one account those that something of its waits for."""
    rows = session.scalars(select(Hold).order_by(Hold.since, Hold.subject)).all()
    parts = [(row, _lane_of(row.subject)) for row in rows]
    ids = {lane.account for _, lane in parts}
    known = {one.id: one for one in session.scalars(select(Account).where(Account.id.in_(ids)))}
    return [
        _held(row, lane, known.get(lane.account))
        for row, lane in parts
        if account is None or _concerns(session, lane, account)
    ]


def try_now(session: Session, subject: str, at: datetime) -> None:
    """Let the one try that a hold allows be made now; NotFound when nothing is held any more.

    The hold stands until that try succeeds, so that it keeps saying since when it lies. Where
    nothing waits for it there is nothing to try, and the hold ends.
    """
    if not holding(session, [subject]):
        raise NotFound("Nothing is held there any more: its deliveries are on their way")
    waits = select(Message).where(is_waiting(Message), _under(session, subject))
    first = session.scalar(waits.order_by(Message.due_at, Message.id).limit(1))
    if first is None:
        lift(session, subject)
        return
    # First the message and then the hold, as couriers do, or each might wait for the other.
    first.due_at = min(first.due_at, at)  # written before the next statement runs
    # Not by the object: another process may end the hold at this very moment.
    session.execute(update(Hold).where(Hold.subject == subject, Hold.until > at).values(until=at))
    session.info.setdefault("lanes", set()).add(first.lane)


def _lane_of(subject: str) -> Lane:
    """Take a subject apart; a route belongs to no account, which is 0 here."""
    kind, _, name = subject.partition("/")
    if kind != "route":
        return Lane.read(name)
    hosted = name not in ("mail", "media")
    return Lane(0, CALLBACK, name) if hosted else Lane(0, name)


def _concerns(session: Session, lane: Lane, account: Account) -> bool:
    if lane.account:
        return lane.account == account.id
    ours = str(Lane(account.id, lane.sink, lane.host))
    waits = select(Message.id).where(is_waiting(Message), Message.lane == ours).limit(1)
    return session.scalar(waits) is not None


def _held(row: Hold, lane: Lane, account: Account | None) -> Held:
    on = {"route": HOST, "account": ACCOUNT}.get(row.subject.partition("/")[0], LANE)
    name, public_id = (account.name, account.public_id) if account else ("", "")
    return Held(
        row.subject, on, lane.sink, lane.host, name, public_id, row.why, row.since, row.until
    )


def _under(session: Session, subject: str) -> ColumnElement[bool]:
    """Return the condition that a message's lane waits for a subject."""
    lane = _lane_of(subject)
    if subject.startswith("account/") and lane.sink == CALLBACK:
        return Message.lane.startswith(f"{lane}/")
    accounts: Sequence[int] = [lane.account]
    if not lane.account:
        accounts = session.scalars(select(Account.id)).all()
    return Message.lane.in_([str(Lane(one, lane.sink, lane.host)) for one in accounts])
