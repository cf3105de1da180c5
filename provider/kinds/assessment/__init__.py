"""Tests and assessments: a timed set of items, answered in a browser, scored at once."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import JSON, ForeignKey, String, UniqueConstraint, bindparam, delete, update
from sqlalchemy.orm import Mapped, Session, mapped_column, object_session, relationship

from provider import words
from provider.db import Base, insert
from provider.errors import NotFound
from provider.kinds.assessment import content, scoring
from provider.kinds.assessment.content import TestContent
from provider.kinds.assessment.items import Item
from provider.orders import Evidence, Product, Result, Sitting
from provider.statements import Ready
from provider.vault import Vault


class Test(Product):
    """A test that an ATS can order."""

    __mapper_args__ = {"polymorphic_identity": "assessment"}  # noqa: RUF012
    __test__ = False  # not one of pytest's

    @staticmethod
    def parse(document: dict[str, Any]) -> TestContent:
        """Read a version's content; Invalid names the field."""
        return content.parse(document)


class Assessment(Sitting):
    """A test ordered for a candidate."""

    __mapper_args__ = {"polymorphic_identity": "assessment"}  # noqa: RUF012

    over = "The time for this test is over"

    answers: Mapped[list["Answer"]] = relationship(
        back_populates="assessment", order_by="Answer.id", cascade="all, delete-orphan"
    )

    @property
    def content(self) -> TestContent:
        """The test as it was when it was ordered."""
        return self.version.read_by(Test.parse)

    @property
    def given(self) -> dict[str, Any]:
        """The saved answers by item key."""
        return {answer.item: answer.value for answer in self.answers}

    @property
    def limit(self) -> timedelta | None:
        """The test's time limit, None without one."""
        minutes = self.content.time_limit
        return timedelta(minutes=minutes) if minutes else None

    @property
    def blank(self) -> set[str]:
        """The keys of the items without a saved answer."""
        return {item.key for item in self.content.items} - set(self.given)

    @property
    def missing(self) -> set[str]:
        """The keys of the required items without a saved answer: they hold up handing in."""
        return {item.key for item in self.content.missing(self.given)}

    @property
    def lasts(self) -> int | None:
        """The test's time limit in seconds, None without one."""
        return int(self.limit.total_seconds()) if self.limit else None

    def evidence(self) -> Evidence:
        """Return every question with its answer and points, beside the figures of the result."""
        items = scoring.marked(self.content, self.given)
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

    def close(self, session: Session, keeper: Vault, at: datetime) -> None:
        """Score what was saved until the time was over."""
        self.submit(session, keeper, at, actor="system")

    def save(self, key: str, raw: Mapping[str, Any], at: datetime) -> Any:
        """Save the answer to one item, as given in a form; return it, None for blank.

        Raises Conflict after the deadline, NotFound for an unknown item, Invalid for a value
        that cannot be an answer; what was saved before then still stands.
        """
        self.must_be_running(at)
        value = self._item(key).parse_answer(raw)
        Answer.put(self, key, value, at)
        return value

    def submit(
        self, session: Session, keeper: Vault, at: datetime, actor: str = "candidate"
    ) -> None:
        """Close the attempt: score what was saved and complete the order."""
        seconds = self.taken(at)
        scored = scoring.score(self.content, self.given)
        result = Result(
            score=None if scored.percent is None else float(scored.percent),
            grade=scored.grade,
            summary=scored.summary,
            details=scored.details,
            figures=scored.figures(),
            duration=seconds,
        )
        self.tell(session, "submitted", actor, at)
        self.complete(session, keeper, result, actor, at)

    def _item(self, key: str) -> Item:
        for section in self.content.sections:
            for item in section.items:
                if item.key == key:
                    return item
        raise NotFound("There is no such question in this test")


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

    @classmethod
    def put(cls, assessment: Assessment, item: str, value: Any, at: datetime) -> None:
        """Write one answer, or take it away for None; no other is loaded for that."""
        session = object_session(assessment)
        assert session, "an answer is saved in an open transaction"
        told = {"order_id": assessment.id, "item": item}
        if value is None:
            _BLANKED.rows(session, told)
        elif not _CHANGED.rows(session, {**told, "new": value, "at": at}):
            insert(session, cls, **told, value=value, saved_at=at)
        session.expire(assessment, ["answers"])


_THIS = (Answer.order_id == bindparam("order_id"), Answer.item == bindparam("item"))
_BLANKED = Ready(delete(Answer).where(*_THIS).returning(Answer.id))
_CHANGED = Ready(
    update(Answer)
    .where(*_THIS)
    .values(value=bindparam("new"), saved_at=bindparam("at"))
    .returning(Answer.id)
)
