"""Scheduled work: the sweep finds messages that became due without a commit."""

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from provider import outbox
from provider.core.scheduled import ScheduledWork, WorkContext
from provider.outbox import QueueName

# Short, because the messages of a worker that died wait for the sweep.
SWEEP_LEASE = timedelta(seconds=5)


def list_sendable_queues(session: Session, now: datetime) -> list[str]:
    """Return the queues with a due message that no pause stops."""
    scopes_by_queue = {
        queue: set(QueueName.parse(queue).pause_scopes)
        for queue in outbox.list_due_queues(session, now)
    }
    pauses = outbox.active_pauses(session, set().union(*scopes_by_queue.values()))
    paused_scopes = {scope for scope, pause in pauses.items() if pause.retry_at > now}
    return [queue for queue, scopes in scopes_by_queue.items() if not scopes & paused_scopes]


def _is_needed(session: Session, now: datetime) -> bool:
    return bool(list_sendable_queues(session, now))


def _run(context: WorkContext) -> None:
    with context.db.reading() as session:
        queues = set(list_sendable_queues(session, context.now()))
    context.db.signal_queues(queues)


SEND_DUE_MESSAGES = ScheduledWork(
    "send_due_messages",
    every=timedelta(seconds=2),
    run=_run,
    is_needed=_is_needed,
    lease=SWEEP_LEASE,
)
