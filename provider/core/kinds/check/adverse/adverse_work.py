"""The scheduled work on adverse actions: the ends of clocks, and notices that came back."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from provider.core.kinds.check.adverse.adverse_acts import update_clock
from provider.core.kinds.check.models import Check
from provider.core.kinds.check.tables.adverse_action import WAITING, AdverseAction, AdverseNotice
from provider.core.orders import Order
from provider.core.scheduled import ScheduledWork, WorkContext

UNDELIVERABLE_NOTICE, RENEWAL = "undeliverable-notice", "renewal"  # the causes of alerts
MAX_REPORTED_NOTICES = 1000
MAX_CLOCKS_PER_RUN = 100


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


def _update_due_clocks(context: WorkContext) -> None:
    """Update the clocks that are over, each check in a transaction of its own.

    Several locks in one transaction would deadlock with a dispatcher. An error of one check is
    raised after the others are done, or it would stop them at every run.
    """
    errors = []
    with context.db.reading() as session:
        query = _select_due_checks(context.now()).limit(MAX_CLOCKS_PER_RUN)
        order_ids = session.scalars(query).all()
    for order_id in order_ids:
        try:
            with context.db.writing() as session:
                check = session.get_one(Check, order_id, with_for_update=True)
                if action := check.open_action:
                    update_clock(session, check, action, context.now())
        except Exception as error:
            errors.append(error)
    if errors:
        raise errors[0]


def _is_any_clock_over(session: Session, now: datetime) -> bool:
    return session.scalar(_select_due_checks(now).limit(1)) is not None


def _select_due_checks(now: datetime) -> Select[int]:
    query = select(AdverseAction.order_id).where(
        AdverseAction.state == WAITING, AdverseAction.ends_at <= now
    )
    return query.order_by(AdverseAction.ends_at)


END_NOTICE_CLOCKS = ScheduledWork(
    "end_notice_clocks",
    every=timedelta(minutes=5),
    run=_update_due_clocks,
    is_needed=_is_any_clock_over,
)
