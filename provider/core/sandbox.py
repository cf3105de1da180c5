"""Scripted outcomes: in a sandbox the candidate's e-mail address decides what happens.

Where the address does not decide, the account's setting `sandbox_outcomes` may, by product.

The scheduled work takes each such order through its steps by the functions that a candidate's pages
and the staff use. `docs/sandbox.md` has the table of the addresses.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select, tuple_
from sqlalchemy.orm import Session

from provider.core.accounts import Account
from provider.core.accounts.sandbox_outcomes import (
    SETTING,
    outcomes_by_product,
    store_outcomes,
)
from provider.core.kinds import KINDS
from provider.core.kinds.base import ScriptedStep
from provider.core.orders import FINAL_STATUSES, Candidate, Order, OrderEvent
from provider.core.orders.batch import change_batch, require_no_failure
from provider.core.orders.states import INVITED
from provider.core.products import Product
from provider.core.products.choice import find_by_key
from provider.core.scheduled import ScheduledWork, WorkContext
from provider.errors import Conflict, Invalid, NotFound

BATCH_SIZE = 50  # orders in one transaction
IdPair = tuple[int, int]  # of an account and a product
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


# By the outcome: the part of the e-mail address before `@`, or before `+`; or of a product.
SCRIPTS: Mapping[str, Script] = {
    "pass": Script(),
    "fail": Script(is_good=False),
    "decline": Script(declines=True),
    "expire": Script(expires=True),
    "bounce": Script(bounces=True),
    "slow": Script(SLOW_STEP_DELAY),
}


def find_script(order: Order) -> Script | None:
    """Return the script of an order: of the candidate's address, or else of the product.

    None outside of a sandbox, and where neither has an outcome.
    """
    if not order.account.sandbox:
        return None
    name = order.candidate.email.partition("@")[0].partition("+")[0].casefold()
    if name not in SCRIPTS:
        name = outcomes_by_product(order.account.options).get(_full_key(order.product), "")
    return SCRIPTS.get(name)


def name_products(session: Session, account: Account) -> None:
    """Store the setting's products with their kinds, or two kinds may share a key later.

    Raises Invalid for an unknown product, and for an account that is no sandbox.
    """
    outcomes = outcomes_by_product(account.options)
    if outcomes and not account.sandbox:
        raise Invalid(f"{SETTING} is for a sandbox: switch the account's setting sandbox on first")
    named: dict[str, str] = {}
    for key, outcome in outcomes.items():
        try:
            product = _full_key(find_by_key(session, key))
        except (NotFound, Conflict) as error:
            raise Invalid(f"{SETTING}: {error}") from error
        if product in named:
            raise Invalid(f"{SETTING} names “{product}” twice: leave one of them out")
        named[product] = outcome
    store_outcomes(account, named)


def _full_key(product: Any) -> str:
    return f"{product.kind}/{product.key}"


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
    script = find_script(order)
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
    sandboxes = session.execute(select(Account.id, Account.options).where(Account.sandbox)).all()
    last_event_at = (
        select(func.max(OrderEvent.occurred_at))
        .where(OrderEvent.order_id == Order.id)
        .correlate(Order)
        .scalar_subquery()
    )
    products = _list_products(session, sandboxes)
    has_no_name = ~or_(*map(_has_name, SCRIPTS))
    has_product = tuple_(Order.account_id, Order.product_id).in_
    return [
        Order.account_id.in_([row.id for row in sandboxes]),
        Order.status.not_in(FINAL_STATUSES),
        or_(
            *(
                and_(
                    or_(_has_name(name), and_(has_no_name, has_product(products[name]))),
                    last_event_at <= now - script.step_delay,
                )
                for name, script in SCRIPTS.items()
                if not script.bounces
            )
        ),
    ]


def _list_products(session: Session, sandboxes: Iterable[Any]) -> Mapping[str, list[IdPair]]:
    """Return the ids of accounts and products of which an outcome is set, by the outcome."""
    outcomes = {row.id: outcomes_by_product(row.options) for row in sandboxes}
    keys = {product.rpartition("/")[2] for named in outcomes.values() for product in named}
    pairs: defaultdict[str, list[IdPair]] = defaultdict(list)
    if not keys:
        return pairs
    query = select(Product.id, Product.kind, Product.key).where(Product.key.in_(keys))
    product_ids = {_full_key(row): row.id for row in session.execute(query)}
    for account_id, named in outcomes.items():
        for product, outcome in named.items():
            if product in product_ids:
                pairs[outcome].append((account_id, product_ids[product]))
    return pairs


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
