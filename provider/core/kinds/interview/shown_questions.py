"""The questions that a candidate has opened: the time to think runs once, also after a reload."""

from datetime import datetime

from sqlalchemy import ForeignKey, String, UniqueConstraint, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.core.kinds.interview.models import Interview
from provider.core.kinds.interview.questions import Question
from provider.storage.database import Base


class ShownQuestion(Base):
    """The time at which a candidate first saw a question of an attempt."""

    __tablename__ = "shown_questions"
    __table_args__ = (UniqueConstraint("order_id", "question"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    question: Mapped[str] = mapped_column(String(64))
    shown_at: Mapped[datetime]


def show_question(
    session: Session, interview: Interview, question: Question, now: datetime
) -> float | None:
    """Begin the time to think, unless it has begun; return the seconds that are left of it.

    None where the time to think is not limited. Raises Conflict when the interview is not running.
    """
    interview.require_clock_running(now)
    shown = _find(session, interview, question)
    if shown is None:
        shown = ShownQuestion(order_id=interview.id, question=question.key, shown_at=now)
        session.add(shown)
    elif not _is_of_this_attempt(shown, interview):
        shown.shown_at = now
    return _seconds_left(shown, question, now)


def think_seconds_left(
    session: Session, interview: Interview, question: Question, now: datetime
) -> float | None:
    """Return the rest of the time to think.

    None for a question that was not shown yet, and where the time is not limited: `was_shown`
    tells which.
    """
    shown = _find(session, interview, question)
    if shown is None or not _is_of_this_attempt(shown, interview):
        return None
    return _seconds_left(shown, question, now)


def was_shown(session: Session, interview: Interview, question: Question) -> bool:
    """Return whether the candidate has opened the question in this attempt."""
    shown = _find(session, interview, question)
    return shown is not None and _is_of_this_attempt(shown, interview)


def _find(session: Session, interview: Interview, question: Question) -> ShownQuestion | None:
    return session.scalar(
        select(ShownQuestion).where(
            ShownQuestion.order_id == interview.id, ShownQuestion.question == question.key
        )
    )


def _is_of_this_attempt(shown: ShownQuestion, interview: Interview) -> bool:
    return interview.started_at is not None and shown.shown_at >= interview.started_at


def _seconds_left(shown: ShownQuestion, question: Question, now: datetime) -> float | None:
    if question.think_seconds is None:
        return None
    return max(0.0, question.think_seconds - (now - shown.shown_at).total_seconds())
