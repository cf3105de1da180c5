"""Pauses as the console and the `provider` command show them, and probing one at once."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from shlex import quote

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from provider.core.accounts import Account
from provider.core.labels import DESTINATION_LABELS
from provider.errors import NotFound
from provider.outbox.message import (
    Message,
    is_waiting,
    list_due_queues,
    list_queues,
    oldest_due_at,
)
from provider.outbox.pause import Pause, active_pauses, resume
from provider.outbox.queue_name import CALLBACK, QueueName

HOST, ACCOUNT, QUEUE = "host", "account", "queue"
# Where a due message or the probe of an expired pause waits longer, no dispatcher is running.
MAX_DUE_AGE = timedelta(minutes=5)


@dataclass(frozen=True)
class PauseView:
    """A pause of a host (or channel), of an account's channel, or of a single queue."""

    scope: str
    scope_type: str
    channel: str
    host: str  # empty for a pause of an account, and for channels without hosts
    account_name: str  # empty where a host is paused for all accounts
    account_public_id: str  # empty likewise
    reason: str
    paused_at: datetime
    retry_at: datetime  # when a message may probe

    @property
    def fix_command(self) -> str:
        """The command that removes the cause; empty where only waiting helps."""
        if self.scope_type != ACCOUNT or self.channel != CALLBACK:
            return ""
        return f"provider account set {quote(self.account_name)} callback_token=…"


def list_pauses(session: Session, account: Account | None = None) -> list[PauseView]:
    """Return pauses, the oldest first; with an account only those that delay its messages."""
    rows = session.scalars(select(Pause).order_by(Pause.paused_at, Pause.scope)).all()
    if not rows:  # as nearly always: then the queues need not be read
        return []
    queues = [QueueName.parse(queue) for queue in list_queues(session)]
    named_rows = [(row, _parse_scope(row.scope, queues)) for row in rows]
    account_ids = {queue_name.account_id for _, queue_name in named_rows}
    accounts = session.scalars(select(Account).where(Account.id.in_(account_ids)))
    accounts_by_id = {paused_account.id: paused_account for paused_account in accounts}
    return [
        _pause_view(row, queue_name, accounts_by_id.get(queue_name.account_id))
        for row, queue_name in named_rows
        if account is None or _affects_account(session, queue_name, account)
    ]


def probe_now(session: Session, scope: str, now: datetime) -> None:
    """Let one message probe a pause now; raises NotFound when the pause has ended.

    The pause lasts until the probe succeeds, so that it keeps its `paused_at`. A pause that no
    message waits for ends at once: there is nothing to probe with.
    """
    if not active_pauses(session, [scope]):
        raise NotFound("This pause has ended already; its deliveries go on by themselves")
    waiting = select(Message).where(is_waiting(Message), _scope_condition(session, scope))
    first = session.scalar(waiting.order_by(Message.due_at, Message.id).limit(1))
    if first is None:
        resume(session, scope)
        return
    # Lock the message before the pause, as dispatchers do, or the two could deadlock.
    first.due_at = min(first.due_at, now)  # flushed before the next statement
    # An UPDATE by condition: another process may end the pause at this moment.
    session.execute(
        update(Pause).where(Pause.scope == scope, Pause.retry_at > now).values(retry_at=now)
    )
    session.info.setdefault("queues", set()).add(first.queue)


def _parse_scope(scope: str, queues: Iterable[QueueName]) -> QueueName:
    """Return the parts of a scope; the account of a destination is 0.

    The scope of a destination names no channel, so a queue with this destination tells it.
    """
    scope_type, _, name = scope.partition("/")
    if scope_type != "destination":
        return QueueName.parse(name)
    for queue in queues:
        if queue.destination == name:
            return replace(queue, account_id=0)
    return QueueName(0, name) if name in DESTINATION_LABELS else QueueName(0, CALLBACK, name)


def _affects_account(session: Session, queue_name: QueueName, account: Account) -> bool:
    if queue_name.account_id:
        return queue_name.account_id == account.id
    own_queue = str(QueueName(account.id, queue_name.channel, queue_name.host))
    waiting = select(Message.id).where(is_waiting(Message), Message.queue == own_queue).limit(1)
    return session.scalar(waiting) is not None


def _pause_view(row: Pause, queue_name: QueueName, account: Account | None) -> PauseView:
    scope_type = {"destination": HOST, "account": ACCOUNT}.get(row.scope.partition("/")[0], QUEUE)
    name, public_id = (account.name, account.public_id) if account else ("", "")
    return PauseView(
        row.scope,
        scope_type,
        queue_name.channel,
        queue_name.host,
        name,
        public_id,
        row.reason,
        row.paused_at,
        row.retry_at,
    )


def _scope_condition(session: Session, scope: str) -> ColumnElement[bool]:
    """Return the condition that a pause of the scope stops a message's queue."""
    queues = list_queues(session)
    return Message.queue.in_(
        [queue for queue in queues if scope in QueueName.parse(queue).pause_scopes]
    )


def oldest_unpaused_due_at(session: Session, now: datetime) -> datetime | None:
    """Return since when the oldest message is due that no pause stops, or None.

    Messages of a paused queue do not count: their receiver causes the delay. They count once the
    pause expired more than `MAX_DUE_AGE` ago, for then no dispatcher probes it.
    """
    scopes_by_queue = {
        queue: QueueName.parse(queue).pause_scopes for queue in list_due_queues(session, now)
    }
    scopes = {scope for scopes in scopes_by_queue.values() for scope in scopes}
    stopped = {
        scope
        for scope, pause in active_pauses(session, scopes).items()
        if pause.retry_at > now - MAX_DUE_AGE
    }
    unpaused = [queue for queue, scopes in scopes_by_queue.items() if not stopped & set(scopes)]
    return oldest_due_at(session, unpaused, now)
