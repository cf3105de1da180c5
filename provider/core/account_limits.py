"""The accounts that a member of staff is limited to, and the condition on every row that is read.

`limit_to_accounts` adds the condition to all ORM statements of a session. So a new page cannot
forget it: a row of another account does not exist for the session.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    Text,
    and_,
    cast,
    event,
    exists,
    false,
    func,
    or_,
    select,
    true,
)
from sqlalchemy.orm import ORMExecuteState, Session, with_loader_criteria
from sqlalchemy.sql.base import ExecutableOption

from provider.core.accounts import Account, AccountProduct
from provider.core.alerts import DeliveryAlert
from provider.core.audit import AuditEntry
from provider.core.marking import Mark, MarkingTask
from provider.core.orders import Order
from provider.core.orders.bulk_run import BulkRow, BulkRun
from provider.core.orders.erased_order import ErasedOrder
from provider.core.products import Product
from provider.core.staff import SavedView
from provider.errors import Invalid
from provider.outbox import Message
from provider.outbox.message import is_waiting
from provider.outbox.pause import Pause
from provider.storage.database import Base

AccountIds = tuple[int, ...]

# Tables instead of models: a condition must not get a condition itself.
_accounts, _orders = Account.__table__.c, Order.__table__.c
_erased_orders, _choices = ErasedOrder.__table__.c, AccountProduct.__table__.c
_messages = Message.__table__.c


def limit_to_accounts(session: Session, account_ids: Sequence[int]) -> None:
    """Hide the rows of other accounts from every ORM statement of a session."""
    options = _row_limits(tuple(account_ids))

    def add_limits(state: ORMExecuteState) -> None:
        if state.is_select or state.is_update or state.is_delete:
            state.statement = state.statement.options(*options)

    event.listen(session, "do_orm_execute", add_limits)


def read_account_ids(session: Session, public_ids: Iterable[str]) -> list[int]:
    """Return the ids of accounts by their public ids. Invalid for none, or an unknown one."""
    wanted = set(public_ids)
    rows = session.execute(
        select(Account.id, Account.public_id).where(Account.public_id.in_(wanted))
    ).all()
    if not wanted or len(rows) != len(wanted):
        raise Invalid("Choose at least one account of the list, or all accounts")
    return sorted(row.id for row in rows)


def list_accounts(session: Session) -> Sequence[Row[int, str, str]]:
    """Return (id, public_id, name) of all accounts, sorted by name."""
    query = select(Account.id, Account.public_id, Account.name)
    return session.execute(query.order_by(Account.name)).all()


def account_names(session: Session, account_ids: Sequence[int] | None) -> list[str] | None:
    """Return the sorted names of accounts; None, which means all accounts, for None."""
    if account_ids is None:
        return None
    query = select(Account.name).where(Account.id.in_(account_ids))
    return list(session.scalars(query.order_by(Account.name)))


@lru_cache(maxsize=100)
def _row_limits(account_ids: AccountIds) -> tuple[ExecutableOption, ...]:
    """Return the condition of each table that has rows of accounts."""
    return tuple(
        with_loader_criteria(
            mapper.class_, condition, include_aliases=True, propagate_to_loaders=False
        )
        for mapper in Base.registry.mappers
        if mapper.inherits is None
        and (condition := _row_limit(mapper.class_, account_ids)) is not None
    )


def _row_limit(model: Any, account_ids: AccountIds) -> ColumnElement[bool] | None:
    """Return the condition that a row belongs to one of the accounts; None for common rows."""
    if model in SPECIAL_LIMITS:
        limit: ColumnElement[bool] = SPECIAL_LIMITS[model](account_ids)
        return limit
    columns = model.__table__.c
    if "account_id" in columns:
        return model.account_id.in_(account_ids)  # type: ignore[no-any-return]
    if "order_id" in columns:
        return _is_own_order(_orders.id == model.order_id, account_ids)
    return None


def _is_own_order(condition: ColumnElement[bool], account_ids: AccountIds) -> ColumnElement[bool]:
    own = select(_orders.id).where(condition, _orders.account_id.in_(account_ids))
    return exists(own.correlate_except(Order.__table__))


def _account_limit(account_ids: AccountIds) -> ColumnElement[bool]:
    """Limit accounts; `coalesce` keeps SQLite from reading all orders of one account first."""
    return func.coalesce(Account.id, Account.id).in_(account_ids)


def _order_limit(account_ids: AccountIds) -> ColumnElement[bool]:
    """Limit orders; `coalesce` keeps the planner from the account's index, as in `OrderFilters`.

    It would read and sort all orders of an account. A list names the accounts in its partitions.
    """
    return func.coalesce(Order.account_id, Order.account_id).in_(account_ids)


def _product_limit(account_ids: AccountIds) -> ColumnElement[bool]:
    """Limit products to those that an account may order, or has ordered."""
    sees_all = select(_accounts.id).where(
        _accounts.id.in_(account_ids), _accounts.all_products == true()
    )
    chosen = select(_choices.product_id).where(_choices.account_id.in_(account_ids))
    return or_(
        exists(sees_all),
        Product.id.in_(chosen),
        _is_own_order(_orders.product_id == Product.id, account_ids),
    )


def _message_limit(account_ids: AccountIds) -> ColumnElement[bool]:
    return _begins_with_account(Message.queue, "{}/", account_ids)


def _pause_limit(account_ids: AccountIds) -> ColumnElement[bool]:
    """Limit pauses to those of an account, and those of a host that its messages wait for."""
    delayed = select(_messages.id).where(
        is_waiting(_messages),
        _begins_with_account(_messages.queue, "{}/", account_ids),
        _messages.queue.like("%/" + func.substr(Pause.scope, len("destination/") + 1)),
    )
    return or_(
        and_(Pause.scope.startswith("destination/"), exists(delayed)),
        _begins_with_account(Pause.scope, "account/{}/", account_ids),
        _begins_with_account(Pause.scope, "queue/{}/", account_ids),
    )


def _alert_limit(account_ids: AccountIds) -> ColumnElement[bool]:
    return _begins_with_account(DeliveryAlert.cause, "{}/", account_ids)


def _begins_with_account(column: Any, prefix: str, account_ids: AccountIds) -> ColumnElement[bool]:
    """Compare the beginnings by length: a LIKE for each account would slow every statement."""
    by_length: dict[int, list[str]] = {}
    for number in account_ids:
        beginning = prefix.format(number)
        by_length.setdefault(len(beginning), []).append(beginning)
    conditions = (
        func.substr(column, 1, length).in_(beginnings) for length, beginnings in by_length.items()
    )
    return or_(false(), *conditions)


def _audit_limit(account_ids: AccountIds) -> ColumnElement[bool]:
    """Limit entries to acts on an account, an order or a delivery."""
    own_account = select(_accounts.id).where(
        _has_subject("account", _accounts.public_id), _accounts.id.in_(account_ids)
    )
    own_erased_order = select(_erased_orders.id).where(
        _has_subject("order", _erased_orders.public_id),
        _erased_orders.account_id.in_(account_ids),
    )
    own_message = select(_messages.id).where(
        _has_subject("delivery", _messages.public_id),
        _begins_with_account(_messages.queue, "{}/", account_ids),
    )
    return or_(
        exists(own_account),
        _is_own_order(_has_subject("order", _orders.public_id), account_ids),
        exists(own_erased_order),
        exists(own_message),
    )


def _has_subject(subject_type: str, public_id: Any) -> ColumnElement[bool]:
    """Return the condition that an entry is about a row, for the index of the row's public id."""
    prefix = f"{subject_type}:"
    return and_(
        AuditEntry.subject.startswith(prefix),
        public_id == func.substr(AuditEntry.subject, len(prefix) + 1),
    )


def _view_limit(account_ids: AccountIds) -> ColumnElement[bool]:
    """Limit saved views to those that name no other account."""
    filters = cast(SavedView.filters, Text)  # JSON, as `json.dumps` writes it
    named_account = '"account": "' + _accounts.public_id + '"'
    own_account = select(_accounts.id).where(
        _accounts.id.in_(account_ids), func.replace(filters, named_account, "") != filters
    )
    return or_(~filters.contains('"account": '), exists(own_account))


def _bulk_row_limit(account_ids: AccountIds) -> ColumnElement[bool]:
    return _is_own_bulk_row(BulkRow, account_ids)


def _bulk_run_limit(account_ids: AccountIds) -> ColumnElement[bool]:
    """Limit runs to those with an order of the accounts."""
    rows = BulkRow.__table__.alias().c
    return exists(
        select(rows.id).where(rows.run_id == BulkRun.id, _is_own_bulk_row(rows, account_ids))
    )


def _is_own_bulk_row(row: Any, account_ids: AccountIds) -> ColumnElement[bool]:
    own_erased_order = select(_erased_orders.id).where(
        _erased_orders.public_id == row.order_public_id,
        _erased_orders.account_id.in_(account_ids),
    )
    return or_(
        _is_own_order(_orders.public_id == row.order_public_id, account_ids),
        exists(own_erased_order),
    )


def _mark_limit(account_ids: AccountIds) -> ColumnElement[bool]:
    tasks = MarkingTask.__table__.c
    own = _is_own_order(_orders.id == tasks.order_id, account_ids)
    return exists(select(tasks.id).where(tasks.id == Mark.task_id, own))


SPECIAL_LIMITS: dict[Any, Callable[[AccountIds], ColumnElement[bool]]] = {
    Account: _account_limit,
    Order: _order_limit,
    Product: _product_limit,
    Message: _message_limit,
    DeliveryAlert: _alert_limit,
    Pause: _pause_limit,
    AuditEntry: _audit_limit,
    SavedView: _view_limit,
    BulkRun: _bulk_run_limit,
    Mark: _mark_limit,
    BulkRow: _bulk_row_limit,
}
