"""What waits for the people who decide checks, beside the checks at work, for the overview."""

from collections.abc import Iterator

from flask import url_for
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from provider.core.kinds.check.adverse_action import READY, AdverseAction, AdverseNotice
from provider.core.kinds.check.decision_proposal import DecisionProposal
from provider.core.kinds.check.renewal import list_due_renewals
from provider.core.orders import Order
from provider.services import current_services
from provider.web.console.authentication import MAX_DISPLAYED_COUNT

# Count, singular, plural, and the page where it is done.
CheckTask = tuple[int, str, str, str]


def list_check_tasks(session: Session) -> Iterator[CheckTask]:
    """Yield the tasks; one that concerns a single check leads to its page."""
    yield _order_task(
        session,
        AdverseAction.order_id,
        AdverseAction.state == READY,
        "Candidate’s time after a notice that is over",
        "Candidates’ times after a notice that are over",
    )
    yield _order_task(
        session,
        AdverseNotice.order_id,
        AdverseNotice.undeliverable_at.is_not(None),
        "Notice to a candidate that came back",
        "Notices to candidates that came back",
    )
    yield _order_task(
        session,
        DecisionProposal.order_id,
        DecisionProposal.answer == "",
        "Decision that waits for a second person",
        "Decisions that wait for a second person",
        page="console.checks.detail",
    )
    renewals = list_due_renewals(session, current_services().now(), MAX_DISPLAYED_COUNT)
    url = url_for("console.renewals.listing")
    yield len(renewals), "Check to renew", "Checks to renew", url


def _order_task(
    session: Session,
    column: InstrumentedAttribute[int],
    condition: ColumnElement[bool],
    singular: str,
    plural: str,
    page: str = "console.checks.adverse.detail",
) -> CheckTask:
    query = select(column).where(condition).order_by(column).limit(MAX_DISPLAYED_COUNT)
    order_ids = session.scalars(query).all()
    if not order_ids:
        return 0, singular, plural, ""
    first = session.scalar(select(Order.public_id).where(Order.id == order_ids[0]))
    return len(order_ids), singular, plural, url_for(page, order_id=first)
