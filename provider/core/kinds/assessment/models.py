"""Tests and assessments: a timed set of items, answered in a browser, scored at once."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import JSON, ForeignKey, String, UniqueConstraint, bindparam, delete, update
from sqlalchemy.orm import Mapped, Session, mapped_column, object_session, relationship

from provider.core import labels
from provider.core.kinds.assessment import content, scoring
from provider.core.kinds.assessment.content import TestContent
from provider.core.kinds.assessment.items import Item
from provider.core.orders import Evidence, Result, TimedOrder
from provider.core.products import Product
from provider.errors import NotFound
from provider.storage.compiled import CompiledQuery
from provider.storage.database import Base, insert_row
from provider.storage.secrets import SecretBox


class Test(Product):
    """A test that an ATS can order."""

    __mapper_args__ = {"polymorphic_identity": "assessment"}  # noqa: RUF012
    __test__ = False  # not one of pytest's

    @staticmethod
    def parse(document: dict[str, Any]) -> TestContent:
        """Read a version's content; Invalid names the field."""
        return content.parse(document)


class Assessment(TimedOrder):
    """A test ordered for a candidate."""

    __mapper_args__ = {"polymorphic_identity": "assessment"}  # noqa: RUF012

    time_over_message = "The time for this test is over"

    answers: Mapped[list["Answer"]] = relationship(
        back_populates="assessment", order_by="Answer.id", cascade="all, delete-orphan"
    )

    @property
    def content(self) -> TestContent:
        """The test as it was when it was ordered."""
        return self.version.parsed(Test.parse)

    @property
    def saved_answers(self) -> dict[str, Any]:
        """The saved answers by item key."""
        return {answer.item_key: answer.value for answer in self.answers}

    @property
    def time_limit(self) -> timedelta | None:
        """The test's time limit, None without one."""
        minutes = self.content.time_limit
        return timedelta(minutes=minutes) if minutes else None

    @property
    def unanswered_keys(self) -> set[str]:
        """The keys of the items without a saved answer."""
        return {item.key for item in self.content.items} - set(self.saved_answers)

    @property
    def unanswered_required_keys(self) -> set[str]:
        """The keys of the required items without a saved answer: they hold up handing in."""
        return {item.key for item in self.content.unanswered_required(self.saved_answers)}

    @property
    def duration_seconds(self) -> int | None:
        """The test's time limit in seconds, None without one."""
        return int(self.time_limit.total_seconds()) if self.time_limit else None

    def evidence(self) -> Evidence:
        """Return every question with its answer and points, beside the figures of the result."""
        items = scoring.score_items(self.content, self.saved_answers)
        answered = f"{sum(item.answer is not None for item in items)} of {len(items)}"
        allowed = (
            [("Time allowed", labels.format_duration(self.duration_seconds))]
            if self.duration_seconds
            else []
        )
        return replace(
            super().evidence(),
            sentence=f"{answered} questions answered.",
            facts=(*allowed, ("Questions answered", answered)),
            items=tuple(
                (item.section, item.prompt, item.answer or "No answer", item.points_text)
                for item in items
            ),
        )

    def close_at_deadline(self, session: Session, secret_box: SecretBox, now: datetime) -> None:
        """Score what was saved until the time was over."""
        self.submit(session, secret_box, now, actor="system")

    def save(self, key: str, raw: Mapping[str, Any], now: datetime) -> Any:
        """Save the answer to one item, as given in a form; return it, None for blank.

        Raises Conflict after the deadline, NotFound for an unknown item, Invalid for a value
        that cannot be an answer; what was saved before then still stands.
        """
        self.require_running(now)
        value = self._find_item(key).parse_answer(raw)
        Answer.put(self, key, value, now)
        return value

    def submit(
        self, session: Session, secret_box: SecretBox, now: datetime, actor: str = "candidate"
    ) -> None:
        """Close the attempt: score what was saved and complete the order."""
        seconds = self.elapsed_seconds(now)
        scored = scoring.score(self.content, self.saved_answers)
        result = Result(
            score=None if scored.percent is None else float(scored.percent),
            grade=scored.grade,
            summary=scored.summary,
            details=scored.details,
            figures=scored.figures(),
            duration=seconds,
        )
        self.record_event(session, "submitted", actor, now)
        self.complete(session, secret_box, result, actor, now)

    def _find_item(self, key: str) -> Item:
        for section in self.content.sections:
            for item in section.items:
                if item.key == key:
                    return item
        raise NotFound("There is no such question in this test")


class Answer(Base):
    """What a candidate answered to one item; saved as it is given."""

    __tablename__ = "answers"
    __table_args__ = (UniqueConstraint("order_id", "item_key"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    item_key: Mapped[str] = mapped_column(String(100))
    value: Mapped[Any] = mapped_column(JSON)
    saved_at: Mapped[datetime]
    assessment: Mapped[Assessment] = relationship(back_populates="answers")

    @classmethod
    def put(cls, assessment: Assessment, item_key: str, value: Any, now: datetime) -> None:
        """Write one answer, or take it away for None; no other is loaded for that."""
        session = object_session(assessment)
        assert session, "an answer is saved in an open transaction"
        told = {"order_id": assessment.id, "item_key": item_key}
        if value is None:
            _DELETE_ANSWER.fetch_all(session, told)
        elif not _UPDATE_ANSWER.fetch_all(session, {**told, "new": value, "now": now}):
            insert_row(session, cls, **told, value=value, saved_at=now)
        session.expire(assessment, ["answers"])


_ANSWER_CONDITIONS = (
    Answer.order_id == bindparam("order_id"),
    Answer.item_key == bindparam("item_key"),
)
_DELETE_ANSWER = CompiledQuery(delete(Answer).where(*_ANSWER_CONDITIONS).returning(Answer.id))
_UPDATE_ANSWER = CompiledQuery(
    update(Answer)
    .where(*_ANSWER_CONDITIONS)
    .values(value=bindparam("new"), saved_at=bindparam("now"))
    .returning(Answer.id)
)
