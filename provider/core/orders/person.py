"""A person: whoever has the same normalised e-mail address within an account.

A person has no table. What concerns a person, such as an export of the data, concerns all orders
that `orders_of_person` returns.
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session

from provider.core.orders.candidate import Candidate, has_email
from provider.core.orders.order import Order
from provider.storage.secrets import SecretBox


def orders_of_person(
    session: Session, secret_box: SecretBox, account_id: int, email: str
) -> Sequence[Order]:
    """Return all orders of a person in an account, oldest first."""
    is_persons = is_order_of_person(secret_box, account_id, email)
    return session.scalars(select(Order).where(is_persons).order_by(Order.id)).all()


def is_order_of_person(secret_box: SecretBox, account_id: int, email: str) -> ColumnElement[bool]:
    """Return the condition that an order is one of a person's in an account."""
    candidates = select(Candidate.id).where(has_email(secret_box, email))
    # The sum keeps SQLite's planner from the index on accounts: an account may have a million
    # orders, a person has few.
    return and_(Order.candidate_id.in_(candidates), Order.account_id + 0 == account_id)
