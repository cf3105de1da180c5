"""The vendor of sandboxes: it plays a script by the candidate's last name, without a network.

`docs/sandbox.md` has the table of the names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.core.kinds.check.evidence import CLEAR, CONSIDER
from provider.core.kinds.check.models import Check
from provider.core.kinds.check.tables.vendor_order import VendorOrder
from provider.core.kinds.check.vendors.vendor_acts import FIRST_STEP_DELAY, apply_answer
from provider.core.kinds.check.vendors.vendor_answer import (
    ERROR,
    IN_PROGRESS,
    SUBMITTED,
    VendorAnswer,
    VendorRecord,
)
from provider.core.scheduled import ScheduledWork, WorkContext

MAX_STEPS_PER_RUN = 200
SLOW_DELAY = timedelta(minutes=10)
_REPORT = "Scripted answer of the vendor simulator"
_RECORDS = (
    VendorRecord(
        "conviction", "medium", "Theft, fined. Invented by the simulator", date(2019, 5, 14)
    ),
    VendorRecord("driving", "low", "Speeding. Invented by the simulator", date(2021, 2, 3)),
)


@dataclass(frozen=True)
class Step:
    """An answer, and how long after the order it comes."""

    delay: timedelta
    answer: VendorAnswer


def _after(number: int, meaning: str, **fields: Any) -> Step:
    return Step(number * FIRST_STEP_DELAY, VendorAnswer(meaning, **fields))


_ACCEPTED = _after(1, SUBMITTED, reference="SIM-1")
_AT_WORK = _after(2, IN_PROGRESS)
_CLEAR = _after(3, CLEAR, text=_REPORT)
_CONSIDER = _after(3, CONSIDER, text=_REPORT, records=_RECORDS)
# By the candidate's last name in small letters. Any other name is clear.
SCRIPTS: Mapping[str, tuple[Step, ...]] = {
    "clear": (_ACCEPTED, _AT_WORK, _CLEAR),
    "consider": (_ACCEPTED, _AT_WORK, _CONSIDER),
    "error": (_ACCEPTED, _after(2, ERROR, text="The simulator could not find the register")),
    "slow": (
        Step(SLOW_DELAY, VendorAnswer(SUBMITTED, reference="SIM-1")),
        Step(2 * SLOW_DELAY, VendorAnswer(IN_PROGRESS)),
        Step(3 * SLOW_DELAY, VendorAnswer(CLEAR, text=_REPORT)),
    ),
    "silent": (),
    "duplicate": (_ACCEPTED, _AT_WORK, _AT_WORK, _CONSIDER, _CONSIDER, _CONSIDER),
    "reordered": (_CONSIDER, _AT_WORK, _ACCEPTED),
}
USUAL_SCRIPT = "clear"


def find_steps(check: Check) -> tuple[Step, ...]:
    name = check.candidate.last_name.strip().casefold()
    return SCRIPTS.get(name, SCRIPTS[USUAL_SCRIPT])


def play_vendors(context: WorkContext) -> None:
    """Take the steps of simulated orders that are due, one transaction for each check."""
    with context.db.reading() as session:
        query = select(VendorOrder.order_id).where(*_due_conditions(context.now())).distinct()
        order_ids = session.scalars(query.limit(MAX_STEPS_PER_RUN)).all()
    for order_id in order_ids:
        with context.db.writing() as session:
            check = session.scalar(select(Check).where(Check.id == order_id).with_for_update())
            if check:
                _play_check(session, context, check)


def has_due_steps(session: Session, now: datetime) -> bool:
    query = select(VendorOrder.id).where(*_due_conditions(now))
    return session.scalar(query.limit(1)) is not None


def _play_check(session: Session, context: WorkContext, check: Check) -> None:
    now = context.now()
    query = select(VendorOrder).where(VendorOrder.order_id == check.id, *_due_conditions(now))
    for vendor_order in session.scalars(query).all():
        _play_order(session, context, check, vendor_order, now)


def _play_order(
    session: Session, context: WorkContext, check: Check, vendor_order: VendorOrder, now: datetime
) -> None:
    steps = find_steps(check)
    sent_at = vendor_order.sent_at or now
    while vendor_order.polls < len(steps) and sent_at + steps[vendor_order.polls].delay <= now:
        answer = steps[vendor_order.polls].answer
        vendor_order.polls += 1
        apply_answer(session, context.secret_box, check, vendor_order, answer, now)
    is_over = vendor_order.polls >= len(steps) or not vendor_order.is_open
    vendor_order.next_poll_at = None if is_over else sent_at + steps[vendor_order.polls].delay


def _due_conditions(now: datetime) -> tuple[Any, ...]:
    return (
        VendorOrder.connector_id.is_(None),
        VendorOrder.next_poll_at.is_not(None),
        VendorOrder.next_poll_at <= now,
    )


PLAY_VENDORS = ScheduledWork(
    "play_simulated_vendors", every=timedelta(seconds=5), run=play_vendors, is_needed=has_due_steps
)
