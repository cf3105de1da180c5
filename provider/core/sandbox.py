"""Scripted outcomes: in a sandbox the candidate's e-mail address decides what happens.

The scheduled work takes each such order through its steps by the functions that a candidate's pages
and the staff use. `docs/sandbox.md` has the table of the addresses.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from provider.core.accounts import Account
from provider.core.kinds import KINDS
from provider.core.kinds.base import ScriptedStep
from provider.core.orders import FINAL_STATUSES, Candidate, Order, OrderEvent
from provider.core.orders.batch import change_batch, require_no_failure
from provider.core.orders.states import INVITED
from provider.core.scheduled import ScheduledWork, WorkContext

BATCH_SIZE = 50  # orders in one transaction
STEP_DELAY, SLOW_STEP_DELAY = timedelta(seconds=5), timedelta(minutes=10)
DECLINE_REASON = "Scripted outcome of the sandbox"


@dataclass(frozen=True)
class Script:
    """The steps of an order; `step_delay` is the time from one step to the next.

    A script without steps leaves the order as it is.
    """

    step_delay: timedelta = STEP_DELAY
    is_good: bool = True
    declines: bool = False
    expires: bool = False
    bounces: bool = False


# The part of the e-mail address before `@`, or before `+`.
SCRIPTS: Mapping[str, Script] = {
    "pass": Script(),
    "fail": Script(is_good=False),
    "decline": Script(declines=True),
    "expire": Script(expires=True),
    "bounce": Script(bounces=True),
    "slow": Script(SLOW_STEP_DELAY),
}


def find_script(account: Account, email: str) -> Script | None:
    """Return the script of a candidate; None outside of a sandbox, and for other addresses."""
    name = email.partition("@")[0].partition("+")[0]
    return SCRIPTS.get(name.casefold()) if account.sandbox else None


def play_due_steps(
    session: Session, context: WorkContext, failed_order_ids: set[int] | None = None
) -> int:
    """Take one step with each order of a batch; return their number.

    `failed_order_ids` are left out, and get the ids of orders whose step fails.
    """
    failed_order_ids = set() if failed_order_ids is None else failed_order_ids
    now = context.now()
    query = select(Order).join(Candidate).where(*_due_conditions(session, now))
    return change_batch(
        session,
        query.order_by(Order.id).limit(BATCH_SIZE),
        lambda order: _play_step(session, context, order, now),
        failed_order_ids,
    )


def has_due_steps(session: Session, now: datetime) -> bool:
    if session.scalar(select(Account.id).where(Account.sandbox).limit(1)) is None:
        return False
    query = select(Order.id).join(Candidate).where(*_due_conditions(session, now)).limit(1)
    return session.scalar(query) is not None


def _play_step(session: Session, context: WorkContext, order: Order, now: datetime) -> None:
    script = find_script(order.account, order.candidate.email)
    assert script
    if script.expires:
        order.expire(session, now)
    elif order.progress == INVITED:
        order.mark_opened(session, now)
    elif script.declines:
        order.decline(session, DECLINE_REASON, now)
    elif play_step := KINDS[order.kind].play_step:
        step = ScriptedStep(context.secret_box, context.media, now, script.is_good)
        play_step(session, order, step)


def _due_conditions(session: Session, now: datetime) -> list[Any]:
    sandboxes = session.scalars(select(Account.id).where(Account.sandbox)).all()
    last_event_at = (
        select(func.max(OrderEvent.occurred_at))
        .where(OrderEvent.order_id == Order.id)
        .correlate(Order)
        .scalar_subquery()
    )
    return [
        Order.account_id.in_(sandboxes),
        Order.status.not_in(FINAL_STATUSES),
        or_(
            *(
                and_(_has_name(name), last_event_at <= now - script.step_delay)
                for name, script in SCRIPTS.items()
                if not script.bounces
            )
        ),
    ]


def _has_name(name: str) -> ColumnElement[bool]:
    email = func.lower(Candidate.email)
    return or_(email.startswith(f"{name}@"), email.startswith(f"{name}+"))


def _run(context: WorkContext) -> None:
    failed_order_ids: set[int] = set()
    with context.db.writing(separate_commit=True) as session:
        play_due_steps(session, context, failed_order_ids)
    require_no_failure(failed_order_ids)


PLAY_SANDBOX = ScheduledWork(
    "play_sandbox_orders", every=timedelta(seconds=5), run=_run, is_needed=has_due_steps
)
