"""The subscriber of status changes that sends an ATS its callbacks."""

from sqlalchemy.orm import Session

from provider import outbox
from provider.ats import ADAPTERS
from provider.core.orders import StatusChange, StatusSubscriber


def enqueue_callback(session: Session, change: StatusChange) -> None:
    """Append the callback that tells the ATS a new status.

    Each callback repeats all that earlier ones say: after it, an earlier one is never sent.
    """
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


STATUS_SUBSCRIBERS: tuple[StatusSubscriber, ...] = (enqueue_callback,)
