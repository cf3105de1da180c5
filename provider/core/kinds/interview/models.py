"""Interview templates and interviews: questions answered on video, rated by the staff."""

from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from typing import Any

from sqlalchemy import ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from provider import outbox
from provider.core.kinds import grading
from provider.core.kinds.interview import content
from provider.core.kinds.interview.content import InterviewContent, Question
from provider.core.markdown import markdown_to_text
from provider.core.orders import Evidence, Result, TimedOrder, VideoAnswer
from provider.core.orders.order import SUBMITTED
from provider.core.products import Product
from provider.errors import Conflict, Invalid, NotFound
from provider.storage import secrets
from provider.storage.database import Base
from provider.storage.media import StoredFile
from provider.storage.secrets import SecretBox

SENT, READY, BROKEN = "sent", "ready", "broken"


class Recording(Base):
    """One take of one answer: its bytes as the browser sent them, and a copy that seeks at once.

    `mime` is what the recorder said it wrote; `seconds` is known once the copy is made.
    """

    __tablename__ = "recordings"
    __table_args__ = (UniqueConstraint("order_id", "question", "sha256"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(
        String(22), unique=True, default=secrets.generate_public_id
    )
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    question: Mapped[str] = mapped_column(String(64))
    take: Mapped[int]
    mime: Mapped[str] = mapped_column(String(100))
    size: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(10), default=SENT)
    seconds: Mapped[float | None]
    is_selected: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime]
    interview: Mapped["Interview"] = relationship(back_populates="recordings")

    @property
    def original_key(self) -> str:
        """The media key of the bytes as they came."""
        return f"recordings/{self.public_id}/original"

    @property
    def playable_key(self) -> str:
        """The media key of what is watched: the copy, or the original until there is one."""
        return f"recordings/{self.public_id}/playable" if self.state == READY else self.original_key

    @property
    def copy_key(self) -> str:
        """The media key of the copy that seeks at once."""
        return f"recordings/{self.public_id}/playable"

    @property
    def poster_key(self) -> str:
        """The media key of a still picture."""
        return f"recordings/{self.public_id}/poster.jpg"


class Rating(Base):
    """What one member of staff gave for one answer; the last word on each question counts."""

    __tablename__ = "ratings"
    __table_args__ = (UniqueConstraint("order_id", "question"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    question: Mapped[str] = mapped_column(String(64))
    value: Mapped[int]
    note: Mapped[str] = mapped_column(Text, default="")
    actor: Mapped[str] = mapped_column(String(254))
    rated_at: Mapped[datetime]
    interview: Mapped["Interview"] = relationship(back_populates="ratings")


class InterviewTemplate(Product):
    """A set of questions that an ATS can order as a video interview."""

    __mapper_args__ = {"polymorphic_identity": "interview"}  # noqa: RUF012

    @staticmethod
    def parse(document: dict[str, Any]) -> InterviewContent:
        """Read a version's content; Invalid names the field."""
        return content.parse(document)


class Interview(TimedOrder):
    """A video interview ordered for a candidate."""

    __mapper_args__ = {"polymorphic_identity": "interview"}  # noqa: RUF012

    time_over_message = "The time for this interview is over"

    recordings: Mapped[list[Recording]] = relationship(
        back_populates="interview", order_by=Recording.id
    )
    ratings: Mapped[list[Rating]] = relationship(back_populates="interview", order_by=Rating.id)

    @property
    def content(self) -> InterviewContent:
        """The template as it was when it was ordered."""
        return self.version.parsed(InterviewTemplate.parse)

    @property
    def duration_seconds(self) -> int | None:
        """The seconds that thinking and answering take at most, each answer recorded once."""
        return self.content.max_duration_seconds

    def require_open(self, now: datetime) -> None:
        """Raise Conflict unless the candidate may still act: not after handing in."""
        super().require_open(now)
        if self.progress == SUBMITTED:
            raise Conflict("This interview has been handed in")

    def recordings_for(self, question: str) -> list[Recording]:
        """Return the recordings of a question, oldest first."""
        return [recording for recording in self.recordings if recording.question == question]

    def selected_recording(self, question: str) -> Recording | None:
        """Return the take that stands for a question."""
        return next((take for take in self.recordings_for(question) if take.is_selected), None)

    def takes_left(self, question: Question) -> int:
        """Return how often a question may still be recorded; a reopening gives every take anew."""
        since = self.started_at
        used = [
            take for take in self.recordings_for(question.key) if since and take.created_at >= since
        ]
        return max(0, question.takes - len(used))

    def add_recording(
        self,
        session: Session,
        question: str,
        public_id: str,
        mime: str,
        stored_file: StoredFile,
        now: datetime,
    ) -> Recording:
        """Keep a take whose bytes are saved; the same bytes again are the same take, at any time.

        Raises Conflict when the time is over or no take is left.
        """
        asked = self.find_question(question)
        for take in self.recordings_for(question):
            if take.sha256 == stored_file.sha256:
                return take
        self.require_running(now)
        if not self.takes_left(asked):
            raise Conflict("This answer cannot be recorded again")
        recording = Recording(
            public_id=public_id,
            question=question,
            take=len(self.recordings_for(question)) + 1,
            mime=mime,
            size=stored_file.size,
            sha256=stored_file.sha256,
            state=SENT,
            created_at=now,
        )
        self.recordings.append(recording)
        self._select(recording)
        outbox.append(
            session,
            queue=self.queue_name(outbox.MEDIA),
            ordering_key=self.public_id,
            sequence=0,
            topic="remux",
            payload={"recording": public_id},
            now=now,
        )
        return recording

    def select_recording(self, public_id: str, now: datetime) -> Recording:
        """Let one take stand for its question."""
        self.require_running(now)
        recording = self.find_recording(public_id)
        self._select(recording)
        return recording

    def submit(self, session: Session, now: datetime, actor: str = "candidate") -> None:
        """Hand the interview in; Conflict while a question has no answer. Twice is once."""
        if self.progress == SUBMITTED:
            return
        if actor == "candidate":
            self.require_running(now)
            if missing := self.unanswered_questions():
                raise Conflict(f"{len(missing)} of the questions have no answer yet")
        self.progress = SUBMITTED
        self.record_event(session, "submitted", actor, now)

    def close_at_deadline(self, session: Session, secret_box: SecretBox, now: datetime) -> None:
        """Hand in what was recorded until the time was over; where nothing was, expire."""
        if any(recording.is_selected for recording in self.recordings):
            self.submit(session, now, actor="system")
        else:
            self.expire(session, now)

    def unanswered_questions(self) -> list[Question]:
        """Return the questions without an answer."""
        return [each for each in self.content.questions if not self.selected_recording(each.key)]

    def rate(self, question: str, value: int, note: str, actor: str, now: datetime) -> Rating:
        """Give an answer its rating, in place of the one it had; Invalid outside the scale."""
        self._require_submitted()
        scale = self.content.scale
        self.find_question(question)
        if not scale.min <= value <= scale.max:
            raise Invalid(f"The rating should be from {scale.min} to {scale.max}")
        rating = next((each for each in self.ratings if each.question == question), None)
        if rating is None:
            rating = Rating(question=question)
            self.ratings.append(rating)
        rating.value, rating.note = value, note.strip()[:2000]
        rating.actor, rating.rated_at = actor, now
        return rating

    def conclude(
        self, session: Session, secret_box: SecretBox, summary: str, actor: str, now: datetime
    ) -> None:
        """Complete the interview with its ratings; Conflict while an answer is not rated."""
        self._require_submitted()
        if unrated := self.unrated_questions():
            raise Conflict(f"{len(unrated)} of the answers have no rating yet")
        self.complete(session, secret_box, self.build_result(summary.strip()[:5000]), actor, now)

    def unrated_questions(self) -> list[Question]:
        """Return the questions whose answer has no rating yet."""
        rated = self.ratings_by_question()
        return [each for each in self.answered_questions() if each.key not in rated]

    def answered_questions(self) -> list[Question]:
        """Return the questions with an answer."""
        return [each for each in self.content.questions if self.selected_recording(each.key)]

    def find_question(self, key: str) -> Question:
        """Return a question by its key; NotFound."""
        for question in self.content.questions:
            if question.key == key:
                return question
        raise NotFound("There is no such question in this interview")

    def find_recording(self, public_id: str) -> Recording:
        """Return a recording of this interview; NotFound for anybody else's."""
        for recording in self.recordings:
            if recording.public_id == public_id:
                return recording
        raise NotFound("There is no such recording")

    def evidence(self) -> Evidence:
        """Return every question with its rating, beside the figures of the result."""
        content, rated = self.content, self.ratings_by_question()
        recorded = [
            take for each in content.questions if (take := self.selected_recording(each.key))
        ]
        answered = f"{len(recorded)} of {len(content.questions)}"
        return replace(
            super().evidence(),
            sentence=f"{answered} questions answered.",
            facts=(("Questions answered", answered),),
            video_answers=tuple(
                self._video_answer(each, rated.get(each.key)) for each in content.questions
            ),
        )

    def _video_answer(self, question: Question, rating: Rating | None) -> VideoAnswer:
        recording = self.selected_recording(question.key)
        if recording is None:
            return VideoAnswer(question_text(question), "No answer")
        return VideoAnswer(
            question_text(question),
            self.content.scale.rating_text(rating.value) if rating else "",
            rating.note if rating else "",
            recording.seconds,
            recording.public_id,
            recording.poster_key if recording.state == READY else "",
        )

    def ratings_by_question(self) -> dict[str, Rating]:
        """Return the ratings by question; those of a sitting before a reopening do not count."""
        since = self.started_at
        return {each.question: each for each in self.ratings if since and each.rated_at >= since}

    def _select(self, recording: Recording) -> None:
        for take in self.recordings_for(recording.question):
            take.is_selected = take is recording

    def _require_submitted(self) -> None:
        if self.status != "pending" or self.progress != SUBMITTED:
            raise Conflict("Only an interview that was handed in can be rated")

    def build_result(self, summary: str = "") -> Result:
        """Score the ratings: the scale's lowest is 0 %, its highest 100 %; no answer is 0 %."""
        content, rated = self.content, self.ratings_by_question()
        span = content.scale.max - content.scale.min
        shares = {
            each.key: Fraction(rated[each.key].value - content.scale.min, span)
            if each.key in rated
            else Fraction(0)
            for each in content.questions
        }
        percent = grading.to_percent(sum(shares.values(), Fraction(0)) / len(shares))
        grade = content.grades.grade_for(percent) if content.grades else None
        bars = [
            {
                "label": f"Question {number}",
                "percent": float(grading.to_percent(shares[each.key])),
                "note": f"{rated[each.key].value} of {content.scale.max}"
                if each.key in rated
                else "no answer",
            }
            for number, each in enumerate(content.questions, 1)
        ]
        return Result(
            score=float(percent),
            grade=grade,
            summary=summary or (content.summaries or {}).get(grade or "") or "",
            details={
                "Ratings": {
                    f"{number}. {question_text(each)}"[:80]: rated[each.key].value
                    for number, each in enumerate(content.questions, 1)
                    if each.key in rated
                }
            },
            figures={"bars": bars},
            duration=self.answer_seconds(),
        )

    def answer_seconds(self) -> int | None:
        """Return the seconds of all answers; None while the length of one is not known."""
        lengths = [take.seconds for take in self.recordings if take.is_selected]
        known = [length for length in lengths if length is not None]
        return round(sum(known)) or None if len(known) == len(lengths) else None


def question_text(question: Question) -> str:
    """Return a question as one line of plain text."""
    return markdown_to_text(question.text)
