"""The answers that are no recordings: texts, choices and files. They are saved one by one."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, String, UniqueConstraint, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from provider.core.kinds.accepted_files import format_size
from provider.core.kinds.answer_files import AnswerFile, add_file, find_file
from provider.core.kinds.interview.questions import CHOICE, FILE, TEXT, Question
from provider.core.kinds.text_length import require_length
from provider.core.orders import GivenTime, TimedOrder
from provider.core.orders.given_time import to_milliseconds
from provider.errors import Conflict, Invalid, NotFound
from provider.storage.database import Base
from provider.storage.media import StoredFile


class StaleAnswer(Conflict):
    """A newer answer to the same question is saved, so this one was not saved."""


class GivenAnswer(Base):
    """The answer to one question.

    `value` is the text, the chosen option, or what `answer_files.add_file` returned. A removed
    answer keeps its row, with None and its number: an older save that arrives late must not bring
    it back. `number` is in milliseconds since 1970 (see GivenTime).
    """

    __tablename__ = "interview_answers"
    __table_args__ = (UniqueConstraint("order_id", "question"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    question: Mapped[str] = mapped_column(String(64))
    value: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)
    number: Mapped[int] = mapped_column(BigInteger)
    saved_at: Mapped[datetime]
    interview: Mapped[TimedOrder] = relationship("Interview", back_populates="given_answers")


def parse_answer(question: Question, values: Sequence[str]) -> str | None:
    """Return the text or the option that a form means; None for an empty one.

    Raises Invalid for what is no answer, and NotFound for a question that takes no such answer.
    """
    text = "\n".join(values).replace("\r\n", "\n").replace("\r", "\n").strip()
    if question.answer == CHOICE:
        if text and text not in question.options:
            raise Invalid("Choose one of the options")
    elif question.answer == TEXT:
        require_length(text, question.max_characters, question.max_words)
    else:
        raise NotFound("There is no such page")
    return text or None


def save_answer(
    session: Session,
    interview: TimedOrder,
    question: Question,
    value: Any,
    now: datetime,
    given: GivenTime,
) -> None:
    """Save an answer, None for a removed one.

    An equal number is the same save again, if the answer is the same one. Without a number the
    answer replaces any other. Raises Conflict for one that was given after the end or during a
    pause, and StaleAnswer where a newer answer is saved.
    """
    interview.require_in_time(given.given_at)
    is_this_answer = (
        GivenAnswer.order_id == interview.id,
        GivenAnswer.question == question.key,
    )
    columns = {
        "value": value,
        "number": to_milliseconds(now) if given.number is None else given.number,
        "saved_at": now,
    }
    change = update(GivenAnswer).where(*is_this_answer).values(columns)
    if given.number is not None:
        change = change.where(GivenAnswer.number < given.number)
    if not session.scalars(change.returning(GivenAnswer.id)).all():
        query = select(GivenAnswer.number, GivenAnswer.value).where(*is_this_answer)
        if (saved := session.execute(query).one_or_none()) is not None:
            if tuple(saved) != (given.number, value):
                raise StaleAnswer("A newer answer to this question is saved already")
            return
        session.add(GivenAnswer(order_id=interview.id, question=question.key, **columns))
        session.flush()
    session.expire(interview, ["given_answers"])


def save_file(
    session: Session,
    interview: TimedOrder,
    question: Question,
    public_id: str,
    name: str,
    content_type: str,
    stored_file: StoredFile,
    now: datetime,
    given: GivenTime,
) -> None:
    """Save a file, which is in media storage already, as the answer to a question.

    Raises Conflict as `save_answer` does, and after too many files. The caller then deletes it.
    """
    interview.require_in_time(given.given_at)
    value = add_file(
        session, interview, question.key, public_id, name, content_type, stored_file, now
    )
    save_answer(session, interview, question, value, now, given)


def find_answer_file(
    session: Session, interview: TimedOrder, answers: Sequence[GivenAnswer], public_id: str
) -> AnswerFile:
    """Return a file that is one of the answers, as `find_file` does. Others are NotFound."""
    if not any(
        isinstance(answer.value, dict) and answer.value["file"] == public_id for answer in answers
    ):
        raise NotFound("There is no such file")
    return find_file(session, interview, public_id)


def answer_text(question: Question, value: Any) -> str:
    """Return an answer for reports: the text, the option, or the name and size of the file."""
    if value is None:
        return ""
    if question.answer == FILE:
        return f"{value['name']} ({format_size(value['size'])})"
    return str(value)
