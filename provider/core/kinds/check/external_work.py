"""Work that referees and vendors do: it begins with the consent, and ends with the check."""

from datetime import datetime

from sqlalchemy import delete
from sqlalchemy.orm import Session

from provider.core.kinds.check.models import Check
from provider.core.kinds.check.packages.screening_types import CONNECTOR, REFEREE, STAFF
from provider.core.kinds.check.referees.referee_acts import ask_named_referees, end_requests
from provider.core.kinds.check.tables.referee_request import RefereeRequest, list_requests
from provider.core.kinds.check.tables.screening_task import ASKED, IN_PROGRESS, TO_DO, ScreeningTask
from provider.core.kinds.check.tables.vendor_order import VendorOrder, list_vendor_orders
from provider.core.kinds.check.vendors.vendor_acts import order_at_vendor, withdraw_orders
from provider.core.orders import CONSENTED, FINAL_STATUSES, StatusChange
from provider.errors import Conflict
from provider.outbox.encryption import secret_box_of
from provider.storage.secrets import SecretBox


def follow_status(session: Session, change: StatusChange) -> None:
    """Begin the work of others at the consent, and end it with the check.

    This is a subscriber of status changes, so that the work begins in the consent's transaction.
    """
    check = change.order
    if not isinstance(check, Check) or not change.is_new_status:
        return
    if change.new_status == CONSENTED:
        secret_box = secret_box_of(session)
        for task in check.tasks:
            start_task(session, secret_box, check, task, change.changed_at)
    elif change.new_status in FINAL_STATUSES:
        end_requests(session, check, change.changed_at)
        withdraw_orders(session, check)
    else:  # reopened: the candidate consents again, and the tasks are new ones
        for table in (RefereeRequest, VendorOrder):
            session.execute(delete(table).where(table.order_id == check.id))


def start_task(
    session: Session, secret_box: SecretBox, check: Check, task: ScreeningTask, now: datetime
) -> None:
    """Give a new task to the referees or to the vendor, if these do it."""
    if task.state != TO_DO:
        return
    if task.performer == REFEREE:
        ask_named_referees(session, secret_box, check, task, now)
    elif task.performer == CONNECTOR:
        order_at_vendor(session, check, task, "system", now)


def has_outside_work(session: Session, check: Check) -> bool:
    """Return whether others than staff do a screening, or did before staff took it over."""
    return (
        any(task.performer != STAFF for task in check.tasks)
        or bool(list_requests(session, check.id))
        or bool(list_vendor_orders(session, check.id))
    )


def do_by_hand(
    session: Session, check: Check, task: ScreeningTask, actor: str, now: datetime
) -> None:
    """Let staff do a screening that referees or a vendor had. Raises Conflict."""
    if check.status != CONSENTED or not task.is_open or task.performer == STAFF:
        raise Conflict("This screening is done, or staff do it already")
    end_requests(session, check, now, task.key)
    withdraw_orders(session, check, task.key)
    task.performer, task.started_at = STAFF, task.started_at or now
    if task.state != ASKED:
        task.state = IN_PROGRESS
    name = check.find_screening(task.key).name
    check.record_event(session, "screening done by hand", actor, now, name)
    check.update_progress(session)
