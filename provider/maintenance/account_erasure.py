"""The erasure of an account: its orders one by one, then its texts, rules and secrets.

What an interrupted erasure has erased stays erased, and the next run goes on with the rest. The
account's row, its statistics and the audit log stay, because invoices rest on them.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, CursorResult, and_, delete, func, select
from sqlalchemy.orm import Session

from provider.core import audit
from provider.core.accounts import Account
from provider.core.accounts.offboarding import Offboarding
from provider.core.audit import Action, AuditEntry
from provider.core.orders import FINAL_STATUSES, ErasedOrder, Order
from provider.core.orders.batch import change_batch, run_in_batches
from provider.core.scheduled import WorkContext
from provider.errors import Conflict, NotFound
from provider.maintenance.dependent_rows import dependent_rows
from provider.maintenance.erasure import erase_order
from provider.outbox import Pause
from provider.storage.database import Base

BATCH_SIZE = 100
CANCEL_REASON = "The account is closed"
MAX_LISTED_ORDERS = 10
# Tables that refer to an account and keep their rows.
KEPT_TABLES = {"accounts", "erased_orders", "offboardings"}


def cancel_open_orders(context: WorkContext, account_id: int, actor: str) -> None:
    """Cancel the account's open orders in batches; the ATS gets each status."""
    query = select(Order).where(
        Order.account_id == account_id,
        Order.status.not_in(FINAL_STATUSES),
        Order.hold_reason.is_(None),
    )

    def cancel_batch(session: Session, now: datetime, failed_order_ids: set[int]) -> int:
        return change_batch(
            session,
            query.order_by(Order.id).limit(BATCH_SIZE),
            lambda order: order.cancel(session, actor, CANCEL_REASON, now),
            failed_order_ids,
        )

    run_in_batches(context, cancel_batch)


def list_held_orders(session: Session, account_id: int) -> Sequence[str]:
    """Return the public ids of the orders on hold; each prevents the erasure."""
    query = select(Order.public_id).where(
        Order.account_id == account_id, Order.hold_reason.is_not(None)
    )
    return session.scalars(query.order_by(Order.id)).all()


def describe_held_orders(order_ids: Sequence[str]) -> str:
    """Return the sentence that says what stops an erasure; empty without such orders."""
    if not order_ids:
        return ""
    listed = ", ".join(order_ids[:MAX_LISTED_ORDERS])
    more = f" and {len(order_ids) - MAX_LISTED_ORDERS} more" if len(order_ids) > 10 else ""
    return f"Release these orders first, which are on hold: {listed}{more}"


def require_no_held_orders(session: Session, account_id: int) -> None:
    if problem := describe_held_orders(list_held_orders(session, account_id)):
        raise Conflict(problem)


def erase_account(
    context: WorkContext, account_id: int, report_erased: Callable[[], None] = lambda: None
) -> None:
    """Erase every order of an account, and then what the account itself has stored.

    Messages that the ATS has not got are lost. Conflict while an order cannot be erased: one is on
    hold, or a message about it is on its way; another call goes on then.
    """
    with context.db.reading() as session:
        actor = session.get_one(Offboarding, account_id).erasure_requested_by
        require_no_held_orders(session, account_id)
    cancel_open_orders(context, account_id, actor)
    problem = ""
    for order_id in _list_order_ids(context, account_id):
        try:
            erase_order(
                context.db,
                context.media,
                context.secret_box,
                order_id,
                actor=actor,
                now=context.now(),
                give_up_deliveries=True,
            )
        except NotFound:  # another process erases the account, too
            continue
        except Conflict as error:
            problem = str(error)
        report_erased()
    if problem:
        raise Conflict(problem)
    _forget_account(context, account_id)


def is_erased_by(offboarding: Offboarding) -> ColumnElement[bool]:
    """Return the condition that the erasure of an account has erased an order."""
    return and_(
        ErasedOrder.account_id == offboarding.account_id,
        ErasedOrder.erased_at >= offboarding.erasure_requested_at,
    )


def count_erased(session: Session, offboarding: Offboarding) -> int:
    """Return how many orders the erasure has erased so far."""
    return session.scalar(select(func.count()).where(is_erased_by(offboarding))) or 0


def _list_order_ids(context: WorkContext, account_id: int) -> Iterator[str]:
    last_id = 0
    while True:
        with context.db.reading() as session:
            query = select(Order.id, Order.public_id).where(
                Order.account_id == account_id, Order.id > last_id
            )
            rows = session.execute(query.order_by(Order.id).limit(BATCH_SIZE)).all()
        if not rows:
            return
        yield from (row.public_id for row in rows)
        last_id = rows[-1].id


def _forget_account(context: WorkContext, account_id: int) -> None:
    """Delete what an account has stored beside its orders, and write the certificate."""
    with context.db.writing() as session:
        account = session.get_one(Account, account_id, with_for_update=True)
        offboarding = session.get_one(Offboarding, account_id, with_for_update=True)
        if offboarding.erased_at:
            return
        if session.scalar(select(Order.id).where(Order.account_id == account_id).limit(1)):
            raise Conflict("An order has arrived meanwhile: it is erased in the next run")
        if offboarding.export_key:
            context.media.delete(offboarding.export_key)
        account.branding, account.options, account.callback_hosts = {}, {}, []
        account.callback_token = None
        session.flush()
        session.expire(account)
        rows = _delete_rows(session, account_id)
        for scope in (f"account/{account_id}/", f"queue/{account_id}/"):
            session.execute(delete(Pause).where(Pause.scope.startswith(scope)))
        now = context.now()
        certificate = _certify(session, offboarding, rows)
        offboarding.certificate, offboarding.erased_at = certificate, now
        offboarding.export_key, offboarding.problem = "", ""
        audit.record(
            session,
            offboarding.erasure_requested_by,
            Action.ACCOUNT_ERASED,
            f"account:{account.public_id}",
            now=now,
            after=certificate,
        )
    context.db.truncate_wal()


def _delete_rows(session: Session, account_id: int) -> dict[str, int]:
    """Delete the rows that refer to the account; return their number by table."""
    table = Base.metadata.tables["accounts"]
    counts: Counter[str] = Counter()
    tables = list(dependent_rows(table, table.c.id == account_id))
    for dependent, condition in reversed(tables):
        if dependent.name not in KEPT_TABLES:
            result = session.execute(delete(dependent).where(condition))
            assert isinstance(result, CursorResult)
            counts[dependent.name] += result.rowcount
    return {name: count for name, count in sorted(counts.items()) if count}


def _certify(session: Session, offboarding: Offboarding, rows: dict[str, int]) -> dict[str, Any]:
    """Return the figures of an erasure: those of its orders are in the audit log."""
    orders: Counter[str] = Counter()
    all_rows, files = Counter(rows), 0
    query = (
        select(ErasedOrder.kind, AuditEntry.after)
        .join(AuditEntry, AuditEntry.subject == "order:" + ErasedOrder.public_id)
        .where(is_erased_by(offboarding), AuditEntry.action == Action.ORDER_ERASED)
    )
    for kind, figures in session.execute(query):
        orders[kind] += 1
        all_rows.update(figures["rows"])
        files += figures["files"]
    return {"orders": dict(orders), "rows": dict(sorted(all_rows.items())), "files": files}
