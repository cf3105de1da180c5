"""The audit log of who read the findings of a check: one entry for each person, part and day (UTC).

An entry names the part that a page showed, and has nothing of its content.
"""

from datetime import UTC

from sqlalchemy import select
from sqlalchemy.orm import Session
from structlog import get_logger

from provider.core.audit import Action, AuditEntry
from provider.core.orders import Order
from provider.errors import Unavailable
from provider.services import current_services
from provider.web.console.authentication import current_staff, record_act

log = get_logger()


def record_reading(order_id: str, part: str, **ids: str) -> None:
    """Record that the member of staff behind the request reads a part of a check.

    A database that cannot be written keeps nobody from reading.
    """
    services, shown = current_services(), {"part": part, **ids}
    with services.db.reading() as session:
        if _is_recorded(session, order_id, shown):
            return
    try:
        with services.db.writing() as session:
            # The lock keeps a second tab from writing the same entry.
            Order.find(session, order_id, lock=True)
            if not _is_recorded(session, order_id, shown):
                subject = f"order:{order_id}"
                record_act(session, Action.CHECK_FINDINGS_SHOWN, subject, after=shown)
    except Unavailable as error:
        log.warning("check_reading_not_recorded", order=order_id, error=str(error))


def _is_recorded(session: Session, order_id: str, shown: dict[str, str]) -> bool:
    today = current_services().now().astimezone(UTC).replace(hour=0, minute=0, second=0)
    query = select(AuditEntry.after).where(
        AuditEntry.subject == f"order:{order_id}",
        AuditEntry.action == Action.CHECK_FINDINGS_SHOWN,
        AuditEntry.actor == current_staff().email,
        AuditEntry.at >= today.replace(microsecond=0),
    )
    return any(after == shown for after in session.scalars(query))
