"""Arrivals: the records that matched a rule, and what became of each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, select
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from provider.core.accounts import Account, Caller
from provider.core.connections.record import Record
from provider.core.connections.rule import Rule
from provider.core.orders import RULE_KEY_PREFIX, Placement, is_erased, place
from provider.errors import ProviderError
from provider.storage.database import Base
from provider.storage.secrets import SecretBox

ORDERED, EXISTING, REFUSED = "ordered", "existing", "refused"
UNREADABLE_ERROR = "The order could not be placed; the server's log has the details"


class Arrival(Base):
    """A record that matched a rule.

    `outcome` is ordered, existing (the record matched before the rule was created) or refused. A
    refused record is tried again whenever it is read.
    """

    __tablename__ = "arrivals"
    __table_args__ = (
        UniqueConstraint("rule_id", "record_key"),
        Index("ix_arrivals_account", "account_id", "outcome", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    rule_id: Mapped[int] = mapped_column(ForeignKey("rules.id"))
    record_key: Mapped[str] = mapped_column(String(500))
    outcome: Mapped[str] = mapped_column(String(10))
    reason: Mapped[str] = mapped_column(Text, default="")  # why it was refused
    order_public_id: Mapped[str | None] = mapped_column(String(22))
    seen_at: Mapped[datetime]

    rule: Mapped[Rule] = relationship()


@dataclass(frozen=True)
class Arrived:
    """The effects of a record: the orders that it caused now, and why others were refused."""

    order_ids: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()


@dataclass(frozen=True)
class RuleContext:
    """The objects that placing the orders of rules needs besides the records."""

    session: Session
    secret_box: SecretBox
    account: Account
    kinds: tuple[str, ...]
    now: datetime


def apply_rules(context: RuleContext, rules: Iterable[Rule], record: Record) -> Arrived:
    """Order what the rules say for a record. The same record and rule order once.

    An error of one record is its refusal: it stops no other record.
    """
    order_ids, refusals = [], []
    for rule in rules:
        if not rule.matches(record):
            continue
        arrival = _apply(context, rule, record)
        if arrival is None:
            continue
        if arrival.outcome == ORDERED and arrival.order_public_id:
            order_ids.append(arrival.order_public_id)
        elif arrival.outcome == REFUSED:
            refusals.append(arrival.reason)
    return Arrived(tuple(order_ids), tuple(refusals))


def list_arrivals(
    session: Session, account_id: int, *outcomes: str, limit: int = 50
) -> Sequence[Arrival]:
    """Return the newest arrivals of an account with one of these outcomes."""
    query = select(Arrival).where(Arrival.account_id == account_id)
    if outcomes:
        query = query.where(Arrival.outcome.in_(outcomes))
    return session.scalars(query.order_by(Arrival.id.desc()).limit(limit)).all()


def _apply(context: RuleContext, rule: Rule, record: Record) -> Arrival | None:
    """Return the arrival that is new or was refused before; None for one that is settled.

    An order that was erased is settled, too. Its candidate leaves no arrival again.
    """
    key = rule.record_key(record)
    arrival = context.session.scalar(
        select(Arrival).where(Arrival.rule_id == rule.id, Arrival.record_key == key)
    )
    if arrival is not None and arrival.outcome != REFUSED:
        return None
    order_key = f"{RULE_KEY_PREFIX}{rule.id}:{key}"
    if is_erased(context.session, context.secret_box, context.account.id, order_key):
        return None
    outcome, reason, order_id = EXISTING, "", None
    if rule.backfills or not rule.is_old(record):
        outcome, reason, order_id = _place(context, rule, record, order_key)
    if arrival is None:
        arrival = Arrival(account_id=context.account.id, rule_id=rule.id, record_key=key)
        context.session.add(arrival)
    arrival.outcome, arrival.reason, arrival.order_public_id = outcome, reason, order_id
    arrival.seen_at = context.now
    context.session.flush()
    return arrival


def _place(
    context: RuleContext, rule: Rule, record: Record, order_key: str
) -> tuple[str, str, str | None]:
    """Place the order; return the outcome, the reason and the order's id."""
    if reason := record.refusal():
        return REFUSED, reason, None
    placement = Placement(
        product=rule.product.public_id,
        external_key=order_key,
        reply_context={**record.reply_context, "match": rule.match},
        is_strict=False,
        **record.contact(),
    )
    caller = Caller.from_account(context.account)
    try:
        order_id = place(
            context.session, context.secret_box, context.kinds, placement, caller, context.now
        )
    except ProviderError as error:
        return REFUSED, str(error), None
    if order_id is None:
        return REFUSED, "The product is archived, or not open to this account", None
    return ORDERED, "", order_id
