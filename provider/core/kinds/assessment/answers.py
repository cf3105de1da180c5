"""The table of the answers to a test's items, and the errors of saving one."""

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    JSON,
    BigInteger,
    ForeignKey,
    String,
    UniqueConstraint,
    bindparam,
    select,
    update,
)
from sqlalchemy.orm import Mapped, mapped_column, object_session, relationship

from provider.core.kinds.assessment.items import MAX_TEXT_LENGTH
from provider.core.orders import TimedOrder
from provider.core.orders.given_time import to_milliseconds
from provider.errors import Conflict, Invalid
from provider.storage.database import Base


class StaleSave(Conflict):
    """A newer answer to the same item is saved, so this one was not saved."""


class UnreadText(Invalid):
    """A typed text that is kept, although it cannot be read as an answer."""

    def __init__(self, problem: Invalid, earlier_answer: str) -> None:
        super().__init__(problem.text.message, **dict(problem.text.params))
        self.earlier_answer = earlier_answer


class SavedAnswer(NamedTuple):
    """The saved answer to one item; the defaults are those of an item without a row."""

    value: Any = None
    typed: str | None = None
    number: int = 0


class Answer(Base):
    """The answer to one item. It is saved while the attempt runs.

    `typed` is the text as it was typed last, for an item that reads it. `value` is None, or an
    earlier answer, when that text could not be read.

    A deleted answer keeps its row, with None and its number: an older save that arrives late must
    not bring it back. `number` is in milliseconds since 1970 (see GivenTime).
    """

    __tablename__ = "answers"
    __table_args__ = (UniqueConstraint("order_id", "item_key"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    item_key: Mapped[str] = mapped_column(String(100))
    value: Mapped[Any] = mapped_column(JSON)
    typed: Mapped[str | None] = mapped_column(String(MAX_TEXT_LENGTH))
    saved_at: Mapped[datetime]
    number: Mapped[int] = mapped_column(BigInteger, server_default="0")
    assessment: Mapped[TimedOrder] = relationship("Assessment", back_populates="answers")

    @classmethod
    def find(cls, assessment: TimedOrder, item_key: str) -> SavedAnswer:
        """Return the saved answer to one item. The other answers are not loaded."""
        session = object_session(assessment)
        assert session, "an answer is read in an open transaction"
        params = {"order_id": assessment.id, "item_key": item_key}
        row = session.execute(_ANSWER_QUERY, params).one_or_none()
        return SavedAnswer(row.value, row.typed or None, row.number) if row else SavedAnswer()

    @classmethod
    def put(
        cls,
        assessment: TimedOrder,
        item_key: str,
        value: Any,
        now: datetime,
        number: int | None,
        typed: str | None = None,
    ) -> None:
        """Write one answer, None for a deleted one. The other answers are not loaded.

        Raises StaleSave where a higher number is saved. An equal number is the same save again, if
        the answer is the same one; otherwise two devices gave it at the same moment, and the first
        that arrived stands. Without a number the answer replaces any other.
        """
        session = object_session(assessment)
        assert session, "an answer is saved in an open transaction"
        is_this_answer = (cls.order_id == assessment.id, cls.item_key == item_key)
        columns = {
            "value": value,
            "typed": typed,
            "saved_at": now,
            "number": to_milliseconds(now) if number is None else number,
        }
        change = update(cls).where(*is_this_answer).values(columns)
        if number is not None:
            change = change.where(cls.number < number)
        if not session.scalars(change.returning(cls.id)).all():
            query = select(cls.number, cls.value, cls.typed).where(*is_this_answer)
            if (saved := session.execute(query).one_or_none()) is not None:
                if tuple(saved) != (number, value, typed):
                    raise StaleSave("A newer answer to this question is saved already")
                return
            session.add(cls(order_id=assessment.id, item_key=item_key, **columns))
            session.flush()
        session.expire(assessment, ["answers"])


_ANSWER_QUERY = select(Answer.value, Answer.typed, Answer.number).where(
    Answer.order_id == bindparam("order_id"), Answer.item_key == bindparam("item_key")
)
