"""Scores the completed attempts at a test again, by a version that corrects its keys.

A version is fixed once it is published, so a wrong key is corrected by another version. From then
on, that version also scores the answers to the ones that it corrects.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Self

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session, joinedload

from provider.core import audit
from provider.core.audit import Action
from provider.core.kinds.assessment.answers import Answer
from provider.core.kinds.assessment.attempt import TestAttempt
from provider.core.kinds.assessment.corrections import (
    ScoringChange,
    has_same_items,
    list_scoring_changes,
)
from provider.core.kinds.assessment.form import StoredForm
from provider.core.kinds.assessment.models import Assessment, Test, counted_content
from provider.core.kinds.assessment.results import build_result, is_same_result
from provider.core.marking import load_shares
from provider.core.orders import COMPLETED, OPEN_STATUSES, Result
from provider.core.orders.actions import RESCORE, RUN_ACTIONS
from provider.core.orders.bulk_run import BulkRun
from provider.core.products import ProductVersion
from provider.errors import Conflict

# The newest attempts that a preview scores: a thousand take a second or two.
MAX_PREVIEWED_ATTEMPTS = 1000
MAX_COUNT = 100_000  # more attempts are not counted


class ChangedAttempt(NamedTuple):
    """An attempt that gets another result. `order` is loaded with its candidate and account."""

    order: Assessment
    before: Result
    after: Result

    @property
    def has_other_score(self) -> bool:
        return self.before.score != self.after.score

    @property
    def has_other_grade(self) -> bool:
        return self.before.grade != self.after.grade


@dataclass(frozen=True)
class Preview:
    """The attempts that scoring again changes, among the newest ones: `scored_count` of them."""

    changed: tuple[ChangedAttempt, ...]
    scored_count: int
    is_complete: bool

    @property
    def other_score_count(self) -> int:
        return sum(attempt.has_other_score for attempt in self.changed)

    @property
    def other_grade_count(self) -> int:
        return sum(attempt.has_other_grade for attempt in self.changed)


@dataclass(frozen=True)
class Rescoring:
    """A version whose keys are right, and the other published versions with the same items."""

    product: Test
    target: ProductVersion
    others: tuple[ProductVersion, ...]

    @classmethod
    def plan(cls, product: Test, target: ProductVersion) -> Self:
        """Raises Conflict for a draft. Other drafts are left out: they may get right keys yet."""
        if target.published_at is None:
            raise Conflict("Publish this version first: a draft may still change")
        content = target.parsed(Test.parse)
        others = [
            version
            for version in product.versions
            if version is not target
            and version.published_at is not None
            and has_same_items(version.parsed(Test.parse), content)
        ]
        return cls(product, target, tuple(others))

    @property
    def changes(self) -> list[tuple[ProductVersion, list[ScoringChange]]]:
        """The other versions that score differently, each with the differences."""
        content = self.target.parsed(Test.parse)
        changes = [
            (version, list(list_scoring_changes(version.parsed(Test.parse), content)))
            for version in self.others
        ]
        return [(version, differences) for version, differences in changes if differences]

    def count_attempts(self, session: Session) -> int:
        """Return the number of completed attempts, at most MAX_COUNT."""
        return _count(session, self._completed(Assessment.id))

    def count_open(self, session: Session) -> int:
        """Return the number of other versions' orders that are not completed, at most MAX_COUNT."""
        version_ids = [version.id for version in self.others]
        orders = select(Assessment.id).where(
            Assessment.product_id == self.product.id,
            Assessment.status.in_(OPEN_STATUSES),
            Assessment.version_id.in_(version_ids),
        )
        return _count(session, orders)

    def preview(self, session: Session, limit: int = MAX_PREVIEWED_ATTEMPTS) -> Preview:
        """Score the newest attempts by the target, and change nothing."""
        related = (joinedload(Assessment.candidate), joinedload(Assessment.account))
        query = self._completed(Assessment).options(*related)
        orders = session.scalars(query.order_by(Assessment.id.desc()).limit(limit + 1)).all()
        is_complete, orders = len(orders) <= limit, orders[:limit]
        changed = tuple(self._find_changed(session, orders))
        return Preview(changed, len(orders), is_complete)

    def start(self, session: Session, reason: str, actor: str, now: datetime) -> BulkRun:
        """Let the target score all other versions, and store a run for the completed attempts.

        Raises Invalid for a reason that is too short, and Conflict while a run goes on.
        """
        reason = RUN_ACTIONS[RESCORE].read_form({"reason": reason})["reason"]
        if (run := self.find_run(session)) and run.finished_at is None:
            raise Conflict("These attempts are being scored again already")
        self.target.scored_with_id = None
        for version in self.others:
            version.scored_with_id = self.target.id
        arguments = {
            "reason": reason,
            "product": self.product.public_id,
            "version": self.target.number,
        }
        order_ids = self._completed(Assessment.public_id).order_by(Assessment.id)
        run = BulkRun.create_for_query(session, RESCORE, arguments, order_ids, actor, now)
        after = {
            "version": self.target.number,
            "versions": [version.number for version in self.others],
            "orders": run.progress(session).total,
            "bulk": run.public_id,
        }
        subject = f"product:{self.product.public_id}"
        audit.record(session, actor, Action.PRODUCT_RESCORED, subject, now=now, after=after)
        return run

    def find_run(self, session: Session) -> BulkRun | None:
        """Return the newest run by this target of the last thirty days."""
        runs = session.scalars(
            select(BulkRun).where(BulkRun.action == RESCORE).order_by(BulkRun.id.desc()).limit(100)
        )
        wanted = {"product": self.product.public_id, "version": self.target.number}
        return next((run for run in runs if run.arguments.items() >= wanted.items()), None)

    def _completed(self, *columns: Any) -> Select[Any]:
        versions = [self.target.id, *(version.id for version in self.others)]
        return select(*columns).where(
            Assessment.product_id == self.product.id,
            Assessment.status == COMPLETED,
            Assessment.version_id.in_(versions),
        )

    def _find_changed(
        self, session: Session, orders: Sequence[Assessment]
    ) -> Iterator[ChangedAttempt]:
        answers, results = _load_answers(session, orders), _load_results(session, orders)
        forms, marks = _load_forms(session, orders), load_shares(session, _ids(orders))
        for order in orders:
            before = results[order.id]
            content = counted_content(self.target, forms.get(order.id))
            after = build_result(
                self.target, content, answers.get(order.id, {}), marks.get(order.id, {})
            )
            if not is_same_result(before, after):
                yield ChangedAttempt(order, before, after)


def _count(session: Session, query: Select[Any]) -> int:
    rows = query.limit(MAX_COUNT).subquery()
    return session.scalar(select(func.count()).select_from(rows)) or 0


def _load_answers(
    session: Session, orders: Sequence[Assessment]
) -> Mapping[int, Mapping[str, Any]]:
    """Return the answers by order and item. One statement, without an object for each answer."""
    query = select(Answer.order_id, Answer.item_key, Answer.value)
    answers: dict[int, dict[str, Any]] = {}
    for order_id, key, value in session.execute(query.where(Answer.order_id.in_(_ids(orders)))):
        if value is not None:
            answers.setdefault(order_id, {})[key] = value
    return answers


def _load_forms(session: Session, orders: Sequence[Assessment]) -> Mapping[int, StoredForm]:
    query = select(TestAttempt.order_id, TestAttempt.form)
    rows = session.execute(query.where(TestAttempt.order_id.in_(_ids(orders))))
    return dict(iter(rows))


def _load_results(session: Session, orders: Sequence[Assessment]) -> Mapping[int, Result]:
    """Return the current result of each order."""
    newest = (
        select(func.max(Result.id))
        .where(Result.order_id.in_(_ids(orders)))
        .group_by(Result.order_id)
    )
    results = session.scalars(select(Result).where(Result.id.in_(newest)))
    return {result.order_id: result for result in results}


def _ids(orders: Sequence[Assessment]) -> list[int]:
    return [order.id for order in orders]
