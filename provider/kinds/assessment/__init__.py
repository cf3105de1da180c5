"""Tests and assessments: a timed set of items, answered in a browser, scored at once."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import JSON, ForeignKey, String, UniqueConstraint, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from provider import words
from provider.db import Base
from provider.errors import Conflict, NotFound
from provider.kinds.assessment import content, scoring
from provider.kinds.assessment.content import TestContent
from provider.kinds.assessment.items import Item
from provider.orders import Evidence, Order, Product, Result, Version
from provider.orders.order import STARTED
from provider.vault import Vault

BATCH = 50  # attempts that are closed in one transaction
UNTIMED = timedelta(hours=24)  # the least that a test without a time limit leaves open once begun


class Test(Product):
    """A test that an ATS can order."""

    __mapper_args__ = {"polymorphic_identity": "assessment"}  # noqa: RUF012
    __test__ = False  # not one of pytest's

    @staticmethod
    def parse(document: dict[str, Any]) -> TestContent:
        """Read a version's content; Invalid names the field."""
        return content.parse(document)


class Assessment(Order):
    """A test ordered for a candidate."""

    __mapper_args__ = {"polymorphic_identity": "assessment"}  # noqa: RUF012

    answers: Mapped[list["Answer"]] = relationship(
        back_populates="assessment", order_by="Answer.id", cascade="all, delete-orphan"
    )

    @property
    def content(self) -> TestContent:
        """The test as it was when it was ordered."""
        return _content(self.version)

    @property
    def given(self) -> dict[str, Any]:
        """The saved answers by item key."""
        return {answer.item: answer.value for answer in self.answers}

    @property
    def lasts(self) -> int | None:
        """The test's time limit in seconds, None without one."""
        limit = self.content.time_limit
        return limit * 60 if limit else None

    def evidence(self) -> Evidence:
        """Return every question with its answer and points, beside the figures of the result."""
        items = scoring.evidence(self.content, self.given)
        answered = f"{sum(item.answer is not None for item in items)} of {len(items)}"
        allowed = [("Time allowed", words.duration(self.lasts))] if self.lasts else []
        return replace(
            super().evidence(),
            sentence=f"{answered} questions answered.",
            facts=(*allowed, ("Questions answered", answered)),
            items=tuple(
                (item.section, item.prompt, item.answer or "No answer", item.worth)
                for item in items
            ),
        )

    def running(self, at: datetime) -> bool:
        """Whether the candidate may answer now."""
        return (
            self.status == "pending"
            and self.progress == STARTED
            and self.attempt_ends_at is not None
            and at < self.attempt_ends_at
        )

    def must_be_running(self, at: datetime) -> None:
        """Raise Conflict unless the candidate may answer now."""
        if not self.running(at):
            raise Conflict("The time for this test is over")

    def time_is_over(self, at: datetime) -> bool:
        """Whether the attempt should have been closed by now."""
        begun = self.status == "pending" and self.progress == STARTED
        return begun and not self.running(at)

    def behind(self, at: datetime) -> bool:
        """Whether the order should have expired or its attempt been closed by now."""
        return super().behind(at) or self.time_is_over(at)

    def catch_up(self, session: Session, keeper: Vault, at: datetime) -> None:
        """Expire, or close the attempt, at once."""
        super().catch_up(session, keeper, at)
        if self.time_is_over(at):
            self.submit(session, keeper, at, actor="system")

    def start(self, session: Session, at: datetime) -> None:
        """Begin the attempt: from here the time runs. Beginning twice changes nothing."""
        if self.running(at):
            return
        self.must_be_open(at)
        if self.progress == STARTED:
            raise Conflict("The time for this test is over")
        limit = self.content.time_limit
        self.started_at = at
        self.attempt_ends_at = (
            at + timedelta(minutes=limit) if limit else max(self.expires_at, at + UNTIMED)
        )
        self.progress = STARTED
        self.tell(session, "started", "candidate", at)

    def save(self, key: str, raw: Mapping[str, Any], at: datetime) -> Any:
        """Save the answer to one item, as given in a form; return it, None for blank.

        Raises Conflict after the deadline, NotFound for an unknown item, Invalid for a value
        that cannot be an answer; what was saved before then still stands.
        """
        self.must_be_running(at)
        value = self._item(key).parse_answer(raw)
        answer = next((answer for answer in self.answers if answer.item == key), None)
        if value is None:
            if answer:
                self.answers.remove(answer)
        elif answer:
            answer.value, answer.saved_at = value, at
        else:
            self.answers.append(Answer(item=key, value=value, saved_at=at))
        return value

    def submit(
        self, session: Session, keeper: Vault, at: datetime, actor: str = "candidate"
    ) -> None:
        """Close the attempt: score what was saved and complete the order."""
        if self.progress != STARTED or self.started_at is None or self.attempt_ends_at is None:
            raise Conflict("This test is not under way")
        scored = scoring.score(self.content, self.given)
        seconds = (min(at, self.attempt_ends_at) - self.started_at).total_seconds()
        result = Result(
            score=None if scored.percent is None else float(scored.percent),
            grade=scored.grade,
            summary=scored.summary,
            details=scored.details,
            figures=scored.figures(),
            duration=int(seconds),
        )
        self.tell(session, "submitted", actor, at)
        self.complete(session, keeper, result, actor, at)

    def _item(self, key: str) -> Item:
        for section in self.content.sections:
            for item in section.items:
                if item.key == key:
                    return item
        raise NotFound("There is no such question in this test")

    @classmethod
    def attempts_due(cls, session: Session, at: datetime) -> bool:
        """Say whether an attempt should have been closed by now."""
        return session.scalar(select(cls.id).where(*_overdue(at)).limit(1)) is not None

    @classmethod
    def close_due(cls, session: Session, keeper: Vault, at: datetime) -> int:
        """Submit a batch of attempts whose time is over; return how many."""
        overdue = session.scalars(
            select(cls).where(*_overdue(at)).order_by(cls.attempt_ends_at).limit(BATCH)
        ).all()
        for assessment in overdue:
            assessment.submit(session, keeper, at, actor="system")
        return len(overdue)


def _overdue(at: datetime) -> list[Any]:
    return [
        # A literal, not a parameter: only so can the planner use the partial index.
        Assessment.progress == text("'started'"),
        Assessment.status == "pending",
        Assessment.attempt_ends_at <= at,
    ]


class Answer(Base):
    """What a candidate answered to one item; saved as it is given."""

    __tablename__ = "answers"
    __table_args__ = (UniqueConstraint("order_id", "item"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    item: Mapped[str] = mapped_column(String(100))
    value: Mapped[Any] = mapped_column(JSON)
    saved_at: Mapped[datetime]
    assessment: Mapped[Assessment] = relationship(back_populates="answers")


_PARSED: dict[str, TestContent] = {}  # by the content's digest, so it can never be stale


def _content(version: Version) -> TestContent:
    parsed = _PARSED.get(version.digest)
    if parsed is None:
        if len(_PARSED) > 500:
            _PARSED.clear()
        parsed = _PARSED[version.digest] = Test.parse(version.content)
    return parsed
