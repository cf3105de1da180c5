"""The types of actions on an order, and the functions that perform and undo them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from provider.core import audit
from provider.core.audit import Action, Fields
from provider.core.orders.edit_conflict import require_as_seen
from provider.core.orders.order import Order
from provider.core.scheduled import WorkContext
from provider.core.staff import Permission
from provider.errors import Conflict
from provider.storage.secrets import SecretBox

Form = Mapping[str, str]
Guard = Callable[[Session, Order, datetime], None]
Changes = tuple[Fields, Fields]


@dataclass(frozen=True)
class Act:
    """The circumstances of one action: the transaction, the order, the actor and the time.

    The timeline names the `actor`, and the audit log, too, unless it has its own `audit_actor`.
    `bulk_run` is the public id of the run that it is part of, for the audit log.
    """

    session: Session
    secret_box: SecretBox
    order: Order
    actor: str
    now: datetime
    bulk_run: str = ""
    audit_actor: str = ""


@dataclass(frozen=True)
class Undo:
    """How a run of an action is undone.

    `perform` gets the fields before the action and its arguments. It returns the fields that
    changed, before and after.
    """

    audit_action: Action
    perform: Callable[[Act, Fields, Mapping[str, Any]], Changes]


@dataclass(frozen=True)
class AnyAction:
    """The part that both kinds of actions have in common, for the pages that offer them.

    `guard` raises Conflict for an order that does not allow it. `read_form` returns the arguments
    of the action, and raises Invalid.
    """

    audit_action: Action
    guard: Guard
    read_form: Callable[[Form], dict[str, Any]]
    permission: Permission = field(default=Permission.MANAGE_ORDERS, kw_only=True)

    @property
    def can_undo(self) -> bool:
        return False


@dataclass(frozen=True)
class OrderAction(AnyAction):
    """An action in a transaction of its caller, who has locked the order.

    `perform` returns the fields that changed, before and after, for the audit log. An action that
    depends on nothing that a page shows does not compare digests.
    """

    perform: Callable[..., Changes | None]
    undo: Undo | None = None
    compares_digest: bool = field(default=True, kw_only=True)

    @property
    def can_undo(self) -> bool:
        return self.undo is not None


@dataclass(frozen=True)
class SeparateAction(AnyAction):
    """An action that opens its own transactions, and writes its own entry in the audit log.

    `perform` gets the public id of the order and the actor. A scheduled work calls it.
    """

    perform: Callable[[WorkContext, str, str], object]


def perform_action(
    act: Act, action: OrderAction, values: Mapping[str, Any], *, seen: str
) -> Changes:
    """Perform an action on an order that the caller has locked, with its entry in the audit log.

    Raises OrderChanged when the order is not as it was `seen`, and what the action raises. Returns
    the fields before and after.
    """
    if action.compares_digest:
        require_as_seen(act.session, act.order, seen)
    action.guard(act.session, act.order, act.now)
    return perform_unseen(act, action, values)


def perform_unseen(act: Act, action: OrderAction, values: Mapping[str, Any]) -> Changes:
    """Perform an action on a locked order that no page has shown, with its entry in the audit log.

    Raises what the action raises. Returns the fields before and after.
    """
    before, after = action.perform(act, **values) or ({}, {})
    _record(act, action.audit_action, before, after)
    return before, after


def undo_action(
    act: Act, action: OrderAction, values: Mapping[str, Any], before: Fields, *, seen: str
) -> None:
    """Undo an action on a locked order. Raises OrderChanged if anything happened since."""
    if action.undo is None:
        raise Conflict("This cannot be undone")
    require_as_seen(act.session, act.order, seen)
    changes = action.undo.perform(act, before, values)
    _record(act, action.undo.audit_action, *changes)


def _record(act: Act, action: Action, before: Fields, after: Fields) -> None:
    if act.bulk_run:
        after = {**after, "bulk": act.bulk_run}
    subject = f"order:{act.order.public_id}"
    actor = act.audit_actor or act.actor
    audit.record(act.session, actor, action, subject, now=act.now, before=before, after=after)


def find_refusal(session: Session, order: Order, action: AnyAction, now: datetime) -> str:
    """Return why an order does not allow an action; empty if it does."""
    try:
        action.guard(session, order, now)
    except Conflict as error:
        return str(error)
    return ""
