"""Retakes: a person who is invited again to a test that she has taken.

The ATS's order is always accepted. The rule of the test decides when the candidate may start it.
An attempt that was started counts, also if it was declined or never submitted: its questions were
seen. One that the company cancelled does not count.
The orders of one e-mail address within an account belong to one person. An erased order does not
count.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.core.formats import format_date
from provider.core.kinds.assessment.document_options import BEST, FIRST, RetakeOptions
from provider.core.orders import CANCELLED, PENDING, Order, compute_email_digest
from provider.core.orders.person import is_order_of_person
from provider.core.orders.states import STARTED
from provider.storage.database import acquire_advisory_lock
from provider.storage.secrets import SecretBox
from provider.texts import gettext

# Why a candidate may not start: another attempt runs, the time is not over, or it is the only one.
RUNNING, TOO_EARLY, ONCE = "running", "too early", "once"
ATTEMPT_LABEL = "Attempt"  # of the entry in the details of a result


@dataclass(frozen=True)
class RetakeRefusal:
    """Why a candidate may not start now, and when the last attempt was submitted."""

    reason: str
    taken_at: datetime | None = None  # None while the other attempt runs
    allowed_from: datetime | None = None  # None where no day will come


@dataclass(frozen=True)
class CountedAttempt:
    """The place of an order among the attempts of its person, and the attempt that counts."""

    number: int
    total: int
    rule: str  # first, best or last
    counted_number: int
    counted: Order

    def facts(self) -> list[tuple[str, str]]:
        """Return the labels and values for a report."""
        number = gettext("%(number)d of %(total)d", number=self.number, total=self.total)
        return [(gettext("Attempt"), number), (gettext("Which attempt counts"), self._counts())]

    def _counts(self) -> str:
        rules = {FIRST: gettext("The first one"), BEST: gettext("The best one")}
        rule = rules.get(self.rule) or gettext("The last one")
        if self.number == self.counted_number:
            return gettext("%(rule)s: this attempt", rule=rule)
        finished_at = self.counted.finished_at
        assert finished_at, "an order with a result has ended"
        date = format_date(finished_at, self.counted.account.timezone)
        return gettext(
            "%(rule)s: attempt %(number)d of %(date)s",
            rule=rule,
            number=self.counted_number,
            date=date,
        )


def find_refusal(
    session: Session,
    secret_box: SecretBox,
    order: Order,
    options: RetakeOptions,
    now: datetime,
) -> RetakeRefusal | None:
    """Return why the candidate of an order may not start it now; None if she may."""
    taken = []
    for other in _list_other_orders(session, secret_box, order):
        if other.status == PENDING and other.progress == STARTED:
            return RetakeRefusal(RUNNING)
        if taken_at := other.submitted_at or other.finished_at:
            taken.append(taken_at)
    if not taken:
        return None
    if not options.allowed:
        return RetakeRefusal(ONCE, max(taken))
    allowed_from = max(taken) + timedelta(days=options.after_days)
    return RetakeRefusal(TOO_EARLY, max(taken), allowed_from) if now < allowed_from else None


def lock_person(session: Session, secret_box: SecretBox, order: Order) -> None:
    """Let two invitations of a person start one after the other, until the transaction ends."""
    # Not the stored digest: while a secret key is replaced, two orders may have it of two keys.
    digest = compute_email_digest(secret_box, order.candidate.email)
    key = f"retake/{order.product_id}/{digest.hex()}"
    acquire_advisory_lock(session, key)


def count_attempts(
    session: Session, secret_box: SecretBox, order: Order, options: RetakeOptions
) -> CountedAttempt | None:
    """Return the place of a completed order among the attempts; None if it is the only one."""
    others = _list_completed(_list_other_orders(session, secret_box, order))
    if not others or order.result is None:
        return None
    attempts = _list_completed([*others, order])
    counted = _find_counted(attempts, options.counts)
    return CountedAttempt(
        number=attempts.index(order) + 1,
        total=len(attempts),
        rule=options.counts,
        counted_number=attempts.index(counted) + 1,
        counted=counted,
    )


def describe_for_ats(
    session: Session,
    secret_box: SecretBox,
    order: Order,
    options: RetakeOptions,
    score: float | None,
) -> dict[str, str]:
    """Return the entry of a new result's details, in English; empty for a first attempt.

    The order is not completed yet: `score` is that of its result.
    """
    others = _list_completed(_list_other_orders(session, secret_box, order))
    if not others:
        return {}
    number = len(others) + 1
    counted = _find_counted(others, options.counts)
    counts_now = options.counts not in (FIRST, BEST) or (
        options.counts == BEST and _is_better(score, _score(counted))
    )
    text = f"{number} of {number}; the {options.counts} attempt counts: "
    if counts_now:
        return {ATTEMPT_LABEL: text + "this one"}
    finished_at, counted_score = counted.finished_at, _score(counted)
    assert finished_at, "an order with a result has ended"
    score_text = "" if counted_score is None else f", {counted_score:g}%"
    return {ATTEMPT_LABEL: f"{text}{finished_at:%Y-%m-%d}{score_text}"}


def _list_other_orders(session: Session, secret_box: SecretBox, order: Order) -> Sequence[Order]:
    """Return the person's other orders of the same test that were started, oldest first."""
    is_persons = is_order_of_person(secret_box, order.account_id, order.candidate.email)
    query = select(Order).where(
        is_persons,
        Order.product_id == order.product_id,
        Order.id != order.id,
        Order.started_at.is_not(None),
        Order.status != CANCELLED,
    )
    return session.scalars(query.order_by(Order.id)).all()


def _list_completed(orders: Sequence[Order]) -> list[Order]:
    completed = [order for order in orders if order.result]
    return sorted(completed, key=lambda order: (order.finished_at or order.placed_at, order.id))


def _find_counted(attempts: Sequence[Order], rule: str) -> Order:
    if rule == FIRST:
        return attempts[0]
    if rule == BEST:
        best = attempts[0]
        for attempt in attempts[1:]:
            if _is_better(_score(attempt), _score(best)):
                best = attempt
        return best
    return attempts[-1]


def _is_better(score: float | None, other: float | None) -> bool:
    """Whether a score is higher. Of equal ones the earlier attempt counts."""
    return score is not None and (other is None or score > other)


def _score(order: Order) -> float | None:
    return order.result.score if order.result else None
