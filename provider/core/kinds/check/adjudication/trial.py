"""Tries a matrix over past checks: what it would have proposed, and what people decided."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload, selectinload

from provider.core.kinds.check.adjudication.matrix import propose_outcomes
from provider.core.kinds.check.adjudication.rules import DISPOSITIONS, ESCALATE, Rule, heaviest
from provider.core.kinds.check.evidence import CLEAR, CONSIDER
from provider.core.kinds.check.models import Check
from provider.core.orders.states import COMPLETED
from provider.storage.secrets import SecretBox

MAX_TRIED_CHECKS = 500  # the newest ones


@dataclass(frozen=True)
class TriedCheck:
    """A completed check, what the rules propose for it, and what a person decided."""

    check: Check
    proposed: str  # of DISPOSITIONS
    decided: str  # clear or consider

    @property
    def differs(self) -> bool:
        return self.proposed not in (ESCALATE, self.decided)


@dataclass(frozen=True)
class Trial:
    """The newest checks of an account, newest first; `is_complete` if there are no others."""

    checks: tuple[TriedCheck, ...]
    is_complete: bool

    def count(self, proposed: str, decided: str) -> int:
        return self._counts[proposed, decided]

    @property
    def rows(self) -> list[tuple[str, int, int]]:
        """Return (disposition, decided clear, decided to consider) of each disposition."""
        return [
            (name, self.count(name, CLEAR), self.count(name, CONSIDER)) for name in DISPOSITIONS
        ]

    @property
    def different(self) -> list[TriedCheck]:
        """The checks of which people decided otherwise than the rules propose."""
        return [tried for tried in self.checks if tried.differs]

    @property
    def _counts(self) -> Counter[tuple[str, str]]:
        return Counter((tried.proposed, tried.decided) for tried in self.checks)


def try_over_past_checks(
    session: Session,
    secret_box: SecretBox,
    account_id: int,
    rules: Sequence[Rule],
    limit: int = MAX_TRIED_CHECKS,
) -> Trial:
    """Apply rules to the newest completed checks of an account, and change nothing.

    The age of a record counts to the day on which the check was completed.
    """
    query = (
        select(Check)
        .where(Check.account_id == account_id, Check.status == COMPLETED)
        .options(
            joinedload(Check.candidate),
            joinedload(Check.account),
            joinedload(Check.version),
            selectinload(Check.records),
            selectinload(Check.findings),
            selectinload(Check.tasks),
        )
        .order_by(Check.id.desc())
        .limit(limit + 1)
    )
    checks = session.scalars(query).all()
    tried = tuple(_try(secret_box, check, rules) for check in checks[:limit])
    return Trial(tried, len(checks) <= limit)


def _try(secret_box: SecretBox, check: Check, rules: Sequence[Rule]) -> TriedCheck:
    assert check.finished_at
    proposals = propose_outcomes(secret_box, check, rules, check.finished_at).values()
    proposed = heaviest(proposal.disposition for proposal in proposals)
    return TriedCheck(check, proposed, check.overall_status)
