"""The holds in people's words: what waits, why, since when, and trying at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from shlex import quote

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from provider.core.accounts import Account
from provider.errors import NotFound
from provider.outbox.message import Message, is_waiting, list_due_queues, oldest_due_at
from provider.outbox.pause import Pause, active_pauses, resume
from provider.outbox.queue_name import CALLBACK, EMAIL, MEDIA, QueueName

HOST, ACCOUNT, QUEUE = "host", "account", "queue"
MAX_DUE_AGE = timedelta(minutes=5)  # that a due message may wait before the server is not ready


@dataclass(frozen=True)
class PauseView:
    """What a hold lies on: a `host` (or sink), an `account`'s sink, or one `lane` of theirs."""

    scope: str
    scope_type: str
    channel: str
    host: str  # empty where an account's token is refused, and for sinks without hosts
    account_name: str  # its name; empty where a host is held for all accounts
    account_public_id: str  # its public id
    reason: str
    paused_at: datetime
    retry_at: datetime  # the next try

    @property
    def fix_command(self) -> str:
        """The command that ends it; empty where there is nothing to do but wait."""
        if self.scope_type != ACCOUNT:
            return ""
        return f"provider account set {quote(self.account_name)} callback_token=…"


def list_pauses(session: Session, account: Account | None = None) -> list[PauseView]:
    """Return all holds, the oldest first; of one account those that something of its waits for."""
    rows = session.scalars(select(Pause).order_by(Pause.paused_at, Pause.scope)).all()
    parts = [(row, _parse_scope(row.scope)) for row in rows]
    ids = {lane.account_id for _, lane in parts}
    known = {one.id: one for one in session.scalars(select(Account).where(Account.id.in_(ids)))}
    return [
        _pause_view(row, lane, known.get(lane.account_id))
        for row, lane in parts
        if account is None or _affects_account(session, lane, account)
    ]


def probe_now(session: Session, scope: str, now: datetime) -> None:
    """Let the one try that a hold allows be made now; NotFound when nothing is held any more.

    The hold stands until that try succeeds, so that it keeps saying since when it lies. Where
    nothing waits for it there is nothing to try, and the hold ends.
    """
    if not active_pauses(session, [scope]):
        raise NotFound("Nothing is held there any more: its deliveries are on their way")
    waits = select(Message).where(is_waiting(Message), _scope_condition(session, scope))
    first = session.scalar(waits.order_by(Message.due_at, Message.id).limit(1))
    if first is None:
        resume(session, scope)
        return
    # First the message and then the hold, as couriers do, or each might wait for the other.
    first.due_at = min(first.due_at, now)  # written before the next statement runs
    # Not by the object: another process may end the hold at this very moment.
    session.execute(
        update(Pause).where(Pause.scope == scope, Pause.retry_at > now).values(retry_at=now)
    )
    session.info.setdefault("queues", set()).add(first.queue)


def _parse_scope(scope: str) -> QueueName:
    """Take a subject apart; a route belongs to no account, which is 0 here."""
    kind, _, name = scope.partition("/")
    if kind != "destination":
        return QueueName.parse(name)
    hosted = name not in (EMAIL, MEDIA)
    return QueueName(0, CALLBACK, name) if hosted else QueueName(0, name)


def _affects_account(session: Session, queue_name: QueueName, account: Account) -> bool:
    if queue_name.account_id:
        return queue_name.account_id == account.id
    ours = str(QueueName(account.id, queue_name.channel, queue_name.host))
    waits = select(Message.id).where(is_waiting(Message), Message.queue == ours).limit(1)
    return session.scalar(waits) is not None


def _pause_view(row: Pause, queue_name: QueueName, account: Account | None) -> PauseView:
    on = {"destination": HOST, "account": ACCOUNT}.get(row.scope.partition("/")[0], QUEUE)
    name, public_id = (account.name, account.public_id) if account else ("", "")
    return PauseView(
        row.scope,
        on,
        queue_name.channel,
        queue_name.host,
        name,
        public_id,
        row.reason,
        row.paused_at,
        row.retry_at,
    )


def _scope_condition(session: Session, scope: str) -> ColumnElement[bool]:
    """Return the condition that a message's lane waits for a subject."""
    lane = _parse_scope(scope)
    if scope.startswith("account/") and lane.channel == CALLBACK:
        return Message.queue.startswith(f"{lane}/")
    accounts: Sequence[int] = [lane.account_id]
    if not lane.account_id:
        accounts = session.scalars(select(Account.id)).all()
    return Message.queue.in_([str(QueueName(one, lane.channel, lane.host)) for one in accounts])


def oldest_unpaused_due_at(session: Session, now: datetime) -> datetime | None:
    """Return since when the oldest message is due that could go: a hold is a receiver's doing.

    But whose time is over, for long, should have been tried: then no courier is at work.
    """
    lanes = list_due_queues(session, now)
    held = active_pauses(
        session, {one for lane in lanes for one in QueueName.parse(lane).pause_scopes}
    )
    kept = {subject for subject, hold in held.items() if hold.retry_at > now - MAX_DUE_AGE}
    free = [lane for lane in lanes if not kept & set(QueueName.parse(lane).pause_scopes)]
    return oldest_due_at(session, free, now)
