"""Retention: what an account stores no longer is deleted, recordings first, then the candidate.

An account sets how long both are stored after an order has ended. An order on hold, or one whose
ATS has not got every message, waits.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from provider.core import audit
from provider.core.accounts import Account
from provider.core.kinds import KINDS
from provider.core.orders import FINAL_STATUSES, Order
from provider.core.scheduled import ScheduledWork, WorkContext
from provider.errors import Conflict, NotFound, ProviderError
from provider.maintenance.erasure import delete_recordings, erase_order, require_erasable

MAX_ORDERS_PER_RUN = 200  # of each account, for recordings and for candidates


@dataclass(frozen=True)
class RetentionPreview:
    """The orders of an account whose time is over now; at most `MAX_ORDERS_PER_RUN` of a kind."""

    account: str
    recordings: Sequence[str]  # public ids of orders whose recordings go
    candidates: Sequence[str]  # public ids of orders that are erased
    waiting: Sequence[str]  # of these, the ones that cannot be erased yet
    parts: Sequence[str] = ()  # public ids of orders of which a kind deletes a part


def preview(session: Session, now: datetime) -> list[RetentionPreview]:
    """Return what the next run would delete, without deleting it."""
    previews = []
    parts = _list_expired_parts(session, now)
    for account in _accounts_with_policy(session, parts):
        candidates = list(_due_candidates(session, account, now))
        previews.append(
            RetentionPreview(
                account.name,
                [
                    order_id
                    for order_id in _due_recordings(session, account, now)
                    if order_id not in candidates
                ],
                candidates,
                [order_id for order_id in candidates if not _is_erasable(session, order_id, now)],
                [id_ for id_ in parts.get(account.name, ()) if id_ not in candidates],
            )
        )
    return previews


def _run(context: WorkContext) -> None:
    now = context.now()
    with context.db.reading() as session:
        plans = preview(session, now)
    for plan in plans:
        for order_id in plan.candidates:
            if order_id not in plan.waiting:
                _erase(context, order_id, now)
        for order_id in plan.recordings:
            _delete_recordings(context, order_id, now)


def _erase(context: WorkContext, order_id: str, now: datetime) -> None:
    # Conflict, NotFound: somebody changed or erased the order meanwhile.
    try:
        erase_order(
            context.db, context.media, context.secret_box, order_id, actor=audit.SYSTEM, now=now
        )
    except (Conflict, NotFound) as error:
        _log_postponed(order_id, error)


def _delete_recordings(context: WorkContext, order_id: str, now: datetime) -> None:
    try:
        delete_recordings(context.db, context.media, order_id, actor=audit.SYSTEM, now=now)
    except (Conflict, NotFound) as error:
        _log_postponed(order_id, error)


def _log_postponed(order_id: str, error: ProviderError) -> None:
    from structlog import get_logger  # late: see `logging_config`

    get_logger().info("retention_postponed", order=order_id, reason=str(error))


def _has_work(session: Session, now: datetime) -> bool:
    """Return whether some order is due; a cheap read where no account has a policy."""
    return any(
        next(_due_candidates(session, account, now), None)
        or next(_due_recordings(session, account, now), None)
        for account in _accounts_with_policy(session)
    )


def _list_expired_parts(session: Session, now: datetime) -> dict[str, list[str]]:
    """Return the orders of which kinds delete a part, by account name."""
    parts: dict[str, list[str]] = {}
    for kind in KINDS.values():
        for account, order_ids in kind.list_expired(session, now).items():
            parts.setdefault(account, []).extend(order_ids)
    return parts


def _accounts_with_policy(session: Session, names: Iterable[str] = ()) -> Sequence[Account]:
    """Return the accounts that have a policy, and those with `names`."""
    query = select(Account).where(
        or_(
            Account.keep_recordings_seconds.is_not(None),
            Account.keep_candidates_seconds.is_not(None),
            Account.name.in_(names),
        )
    )
    return session.scalars(query.order_by(Account.name)).all()


def _due_candidates(session: Session, account: Account, now: datetime) -> Iterator[str]:
    if account.keep_candidates_seconds is not None:
        yield from _due_orders(session, account, now, account.keep_candidates_seconds)


def _due_recordings(session: Session, account: Account, now: datetime) -> Iterator[str]:
    if account.keep_recordings_seconds is None:
        return
    for kind in KINDS.values():
        if kind.media:
            conditions = (Order.kind == kind.name, kind.media.is_stored)
            yield from _due_orders(
                session, account, now, account.keep_recordings_seconds, *conditions
            )


def _due_orders(
    session: Session,
    account: Account,
    now: datetime,
    keep_seconds: int,
    *conditions: ColumnElement[bool],
) -> Iterator[str]:
    """Yield the public ids of ended orders whose time is over, the oldest first."""
    ended_before = now - timedelta(seconds=keep_seconds)
    query = (
        select(Order.public_id)
        .where(
            Order.placed_at <= ended_before,  # for the index: an order ends after its placing
            Order.account_id == account.id,
            Order.status.in_(FINAL_STATUSES),
            Order.finished_at <= ended_before,
            Order.hold_reason.is_(None),
            *conditions,
        )
        .order_by(Order.placed_at, Order.id)
        .limit(MAX_ORDERS_PER_RUN)
    )
    yield from session.scalars(query)


def _is_erasable(session: Session, order_id: str, now: datetime) -> bool:
    try:
        require_erasable(session, Order.find(session, order_id), now)
    except Conflict:
        return False
    return True


RETENTION = ScheduledWork(
    "delete_what_is_stored_too_long",
    every=timedelta(hours=1),
    run=_run,
    is_needed=_has_work,
    lease=timedelta(minutes=30),
)
