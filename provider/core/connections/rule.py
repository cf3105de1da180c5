"""Rules: which product to order when a candidate of an ATS reaches a stage or carries a tag."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, select
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from provider.core.accounts import Account
from provider.core.connections.record import Record
from provider.core.products import Product
from provider.errors import NotFound
from provider.storage.database import Base


class Rule(Base):
    """An account's rule. `match` maps each fact to the value that it must have.

    A rule concerns what happens after `created_at`. `baseline_at` is the time at which every record
    that had matched before was known; until then a record without a time of arrival may be an old
    one. With `backfills` those are ordered, too. With `once` False each entry orders again.
    """

    __tablename__ = "rules"

    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id"))
    match: Mapped[dict[str, str]] = mapped_column(JSON)
    once: Mapped[bool] = mapped_column(default=True)
    backfills: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]
    baseline_at: Mapped[datetime | None]
    removed_at: Mapped[datetime | None]

    account: Mapped[Account] = relationship()
    product: Mapped[Product] = relationship()

    def matches(self, record: Record) -> bool:
        """Return whether the record has each fact; spaces around it and case do not matter."""
        return matches(self.match, record)

    def record_key(self, record: Record) -> str:
        """Return the key under which the rule orders for a record at most once."""
        return record.key if self.once or not record.entry else f"{record.key}/{record.entry}"

    def is_old(self, record: Record) -> bool:
        """Return whether a record matched before the rule was created, as far as is known."""
        if record.reached_at is not None:
            return record.reached_at < self.created_at
        if self.baseline_at is not None:
            return False
        return record.changed_at is None or record.changed_at < self.created_at

    def describe(self) -> str:
        """Return the condition in one line: `job = Engineer, stage = Assessment`."""
        return ", ".join(f"{name} = {value}" for name, value in self.match.items())

    def audit_fields(self) -> dict[str, Any]:
        return {
            "match": self.match,
            "product": self.product.public_id,
            "once": self.once,
            "backfills": self.backfills,
        }


def matches(match: Mapping[str, str], record: Record) -> bool:
    """Return whether a record is open and has every fact of a rule's condition."""
    return not record.is_closed and all(
        _fold(value) in {_fold(text) for text in record.facts.get(name, ())}
        for name, value in match.items()
    )


def open_rules(session: Session, account_id: int) -> Sequence[Rule]:
    """Return the rules of an account that are not removed, oldest first."""
    query = select(Rule).where(Rule.account_id == account_id, Rule.removed_at.is_(None))
    return session.scalars(query.order_by(Rule.id)).all()


def find_rule(session: Session, account: Account, number: int) -> Rule:
    """Return an open rule of an account by its number; NotFound names the command."""
    rule = session.get(Rule, number)
    if rule is None or rule.account_id != account.id or rule.removed_at:
        raise NotFound(
            f"Account {account.name} has no rule {number}: see `provider rule list {account.name}`"
        )
    return rule


def _fold(text: str) -> str:
    return " ".join(text.casefold().split())
