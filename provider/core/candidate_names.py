"""The name of a candidate that a member of staff sees.

An account may hide names from reviewers, so that a rating depends on the answers alone. A reviewer
then sees a label such as "Candidate 4F2K", until the own scorecard is in or the order is completed.
Reviewers are those who may rate and may not manage orders: whoever manages orders needs the names.
Every place that shows a candidate to staff asks `CandidateNames`.
"""

import re
from collections.abc import Collection, Sequence, Set

from sqlalchemy import ColumnElement, and_, false, func, literal, not_, or_, select
from sqlalchemy.orm import Session, object_session

from provider.core.accounts import Account
from provider.core.kinds import KINDS
from provider.core.orders import COMPLETED, Order
from provider.core.orders.search import read_query
from provider.core.staff import Permission

LABEL_LENGTH = 4  # characters of the order's id
LABEL_PREFIX = "Candidate "
_PUNCTUATION = "-_/.,:;()&'"


class CandidateNames:
    """The names that one member of staff sees. `email` and `permissions` are the person's."""

    def __init__(self, email: str, permissions: Set[Permission]) -> None:
        self._email = email
        self.is_reviewer = (
            Permission.RATE_INTERVIEWS in permissions
            and Permission.MANAGE_ORDERS not in permissions
        )

    def name_of(self, order: Order) -> str:
        """Return the candidate's name, or the label that hides it."""
        return label_of(order.public_id) if self.is_hidden(order) else order.candidate.name

    def is_hidden(self, order: Order) -> bool:
        """Return whether name, address and telephone number of a candidate must not be shown."""
        if not self.is_reviewer or not order.account.hides_names_from_reviewers:
            return False
        session = object_session(order)
        return session is None or order.id in self.list_hidden(session, [order.id])

    def list_hidden(self, session: Session, order_ids: Collection[int]) -> Set[int]:
        """Return those of some orders (by id) whose candidate's name is hidden."""
        if not self.is_reviewer or not order_ids:
            return frozenset()
        query = select(Order.id).where(Order.id.in_(order_ids), self._hidden_condition())
        return frozenset(session.scalars(query))

    def read_query(self, text: str) -> tuple[str, ...]:
        """Return the words of a search; of a label the part that is in the order's id."""
        label = re.fullmatch(rf"\s*{LABEL_PREFIX}(\w{{{LABEL_LENGTH}}})\s*", text, re.IGNORECASE)
        return read_query(label[1] if label and self.is_reviewer else text)

    def search_conditions(self, words: Sequence[str]) -> list[ColumnElement[bool]]:
        """Return the condition that a search by these words says nothing about a hidden name.

        An order whose candidate is hidden is found by its id and its job alone. The words of the
        search are folded, so a job with an accent is found by the words without one.
        """
        if not self.is_reviewer or not words:
            return []
        text = func.lower(Order.public_id + " " + Order.job_title + " " + Order.job_reference)
        for character in _PUNCTUATION:
            text = func.replace(text, character, " ")
        is_open_match = and_(*((literal(" ") + text).like(f"% {word}%") for word in words))
        return [or_(not_(self._hidden_condition()), is_open_match)]

    def _hidden_condition(self) -> ColumnElement[bool]:
        hiding = select(Account.id).where(Account.options["hide_names"].as_boolean())
        rated = (kind.has_rated(self._email) for kind in KINDS.values() if kind.has_rated)
        return and_(
            Order.account_id.in_(hiding), Order.status != COMPLETED, not_(or_(false(), *rated))
        )


def label_of(public_id: str) -> str:
    """Return the label of an order's candidate: always the same, and nothing of the name.

    It is the beginning of a word of the id, so that the search finds the order by it.
    """
    words = re.findall(r"[^\W_]+", public_id)
    word = next((word for word in words if len(word) >= LABEL_LENGTH), "".join(words))
    return f"{LABEL_PREFIX}{word[:LABEL_LENGTH].upper()}"
