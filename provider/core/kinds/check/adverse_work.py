"""The scheduled work on adverse actions: the ends of clocks, and notices that came back."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.core.kinds.check.adverse_action import AdverseNotice
from provider.core.kinds.check.adverse_acts import is_any_clock_over, update_due_clocks
from provider.core.orders import Order
from provider.core.scheduled import ScheduledWork, WorkContext

UNDELIVERABLE_NOTICE, RENEWAL = "undeliverable-notice", "renewal"  # the causes of alerts
MAX_REPORTED_NOTICES = 1000


def find_undeliverable_notices(session: Session) -> Mapping[int, Sequence[str]]:
    """Return the checks whose notice came back, by account id, as public ids."""
    query = (
        select(Order.account_id, Order.public_id)
        .join(AdverseNotice, AdverseNotice.order_id == Order.id)
        .where(AdverseNotice.undeliverable_at.is_not(None))
        .order_by(AdverseNotice.id)
        .limit(MAX_REPORTED_NOTICES)
    )
    checks: dict[int, list[str]] = {}
    for account_id, public_id in session.execute(query):
        checks.setdefault(account_id, []).append(public_id)
    return checks


def _run(context: WorkContext) -> None:
    with context.db.writing() as session:
        update_due_clocks(session, context.now())


END_NOTICE_CLOCKS = ScheduledWork(
    "end_notice_clocks", every=timedelta(minutes=5), run=_run, is_needed=is_any_clock_over
)
