"""Interview templates, and interviews: their course until the candidate has submitted."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

from sqlalchemy.orm import Mapped, Session, relationship

from provider import outbox
from provider.core.accounts.email_policy import COMPLETION
from provider.core.kinds.interview import content
from provider.core.kinds.interview.answers import SENT, Recording
from provider.core.kinds.interview.content import InterviewContent
from provider.core.kinds.interview.given_answers import GivenAnswer
from provider.core.kinds.interview.preferences import apply_preferences
from provider.core.kinds.interview.questions import VIDEO, Question
from provider.core.kinds.interview.reviews import ReviewedInterview
from provider.core.kinds.interview.scorecards import Rating, Scorecard
from provider.core.marking import WHOLE_ORDER, open_tasks
from provider.core.orders import (
    ProgressTable,
    progress_state,
)
from provider.core.orders.states import SUBMITTED
from provider.core.products import Product, ProductVersion
from provider.errors import Conflict, NotFound
from provider.storage.media import StoredFile
from provider.storage.secrets import SecretBox
from provider.texts import LazyText, gettext_noop, lazy_gettext

MAX_REPLACED_TAKES = 2  # of a question: broken recordings that use up no take


class InterviewTemplate(Product):
    """A set of questions that an ATS can order as a video interview."""

    __mapper_args__ = {"polymorphic_identity": "interview"}  # noqa: RUF012
    can_be_timed = True

    @staticmethod
    def parse(document: dict[str, Any]) -> InterviewContent:
        return content.parse(document)


class Interview(ReviewedInterview):
    """A video interview ordered for a candidate."""

    __mapper_args__ = {"polymorphic_identity": "interview"}  # noqa: RUF012

    progress_table: ClassVar[ProgressTable] = {
        "invited": progress_state("candidate", "opened", "started"),
        "opened": progress_state("candidate", "started"),
        "started": progress_state("candidate clock", "submitted"),
        "submitted": progress_state("staff"),
    }
    time_over_message = gettext_noop("The time for this interview is over")
    is_receipt_sent_at_submission = True
    other_ways: ClassVar[Mapping[str, LazyText]] = {
        "writing": lazy_gettext("in writing"),
        "telephone": lazy_gettext("by telephone"),
        "live": lazy_gettext("live, with a person"),
    }

    recordings: Mapped[list[Recording]] = relationship(
        back_populates="interview", order_by=Recording.id
    )
    given_answers: Mapped[list[GivenAnswer]] = relationship(
        back_populates="interview", order_by=GivenAnswer.id
    )
    ratings: Mapped[list[Rating]] = relationship(back_populates="interview", order_by=Rating.id)
    scorecards: Mapped[list[Scorecard]] = relationship(
        back_populates="interview", order_by=Scorecard.id
    )

    def kind_context(self, secret_box: SecretBox) -> dict[str, Any]:
        return {"content": self.content}  # with the order's preferences

    @classmethod
    def unused_preferences(
        cls, version: ProductVersion, preferences: Mapping[str, Any]
    ) -> tuple[str, ...]:
        return apply_preferences(version.parsed(InterviewTemplate.parse), preferences)[1]

    @property
    def answer_places(self) -> frozenset[str]:
        return self.content.report.answers

    @property
    def time_limit(self) -> timedelta | None:
        limit = self.content.time_limit
        return timedelta(minutes=limit) if limit else None

    @property
    def usual_seconds(self) -> int:
        content = self.content
        return content.time_limit * 60 if content.time_limit else content.max_duration_seconds

    @property
    def questions(self) -> tuple[Question, ...]:
        """The questions with the candidate's times to think and to answer."""
        return tuple(self._with_own_times(question) for question in self.content.questions)

    @property
    def practice(self) -> Question | None:
        """The question for practice with the candidate's times."""
        question = self.content.practice
        return self._with_own_times(question) if question else None

    def _with_own_times(self, question: Question) -> Question:
        think_seconds = question.think_seconds
        return replace(
            question,
            think_seconds=None if think_seconds is None else self.with_extra_time(think_seconds),
            answer_seconds=self.with_extra_time(question.answer_seconds),
        )

    def require_open(self, given_at: datetime) -> None:
        super().require_open(given_at)
        if self.progress == SUBMITTED:
            raise Conflict("This interview has already been submitted")

    def recordings_for(self, question: str) -> list[Recording]:
        return [recording for recording in self.recordings if recording.question == question]

    @property
    def has_answers(self) -> bool:
        """Whether anything was answered, a broken recording included."""
        return any(recording.is_selected for recording in self.recordings) or any(
            answer.value is not None for answer in self.given_answers
        )

    def pause_left(self, now: datetime) -> timedelta:
        """Return how much longer the candidate may pause.

        A template that may be paused allows it until the deadline of the invitation.
        """
        left = super().pause_left(now)
        if self.content.time_limit and self.content.may_be_paused:
            return max(left, self.expires_at - now)
        return left

    def replace_broken_answer(self, public_id: str) -> None:
        """Select the newest intact recording of the same question, if a broken one is selected."""
        broken = self.find_recording(public_id)
        intact = [take for take in self.recordings_for(broken.question) if not take.is_broken]
        if broken.is_broken and broken.is_selected and intact:
            self._select(max(intact, key=lambda take: take.take))

    def find_take(self, question: str, sha256: str) -> Recording | None:
        """Return the recording with these bytes, if it was saved before."""
        return next((take for take in self.recordings_for(question) if take.sha256 == sha256), None)

    def takes_left(self, question: Question) -> int:
        """Return the number of recordings that a candidate may still make of an answer.

        Recordings from before a reopening do not count, nor do the first broken ones.
        """
        start = self.started_at
        used_takes = [
            take for take in self.recordings_for(question.key) if start and take.created_at >= start
        ]
        broken_count = sum(take.is_broken for take in used_takes)
        replaced_count = min(broken_count, MAX_REPLACED_TAKES)
        return max(0, question.takes - len(used_takes) + replaced_count)

    def accepts_sound(self, question: str) -> bool:
        """Return whether a question may be answered by a recording without a picture."""
        return self.content.sound_only or self.find_question(question).answer != VIDEO

    def add_recording(
        self,
        session: Session,
        question: str,
        public_id: str,
        mime: str,
        stored_file: StoredFile,
        now: datetime,
        given_at: datetime | None = None,
    ) -> Recording:
        """Add a recording of a stored file. The same file again returns the same recording.

        `given_at` is the time at which the upload began, if it is not `now`. A browser may upload a
        file twice, so a repeated file is accepted after the end too. Raises Conflict when the
        upload began after the end, or no take is left.
        """
        question_content = self.find_question(question)
        if saved_take := self.find_take(question, stored_file.sha256):
            return saved_take
        self.require_in_time(given_at or now)
        if not self.takes_left(question_content):
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
        """Make a recording the answer to its question."""
        self.require_clock_running(now)
        recording = self.find_recording(public_id)
        self._select(recording)
        return recording

    def submit(
        self,
        session: Session,
        now: datetime,
        actor: str = "candidate",
        given_at: datetime | None = None,
    ) -> None:
        """Submit the interview. A repeated call changes nothing.

        `given_at` is the time at which the candidate did it, if it is not `now`. Raises Conflict
        for a candidate whose time is over or who has unanswered questions.
        """
        if self.progress == SUBMITTED:
            return
        if actor == "candidate":
            self.require_in_time(given_at or now)
            if missing := self.unanswered_questions():
                raise Conflict("%(count)d of the questions have no answer yet", count=len(missing))
        self.change_progress(session, SUBMITTED)
        open_tasks(session, self, [("", Decimal(0))], now, purpose=WHOLE_ORDER)
        self.record_event(session, "submitted", actor, now, self.late_note(actor, now))
        self.tell_candidate(session, COMPLETION, now)

    def close_at_deadline(self, session: Session, secret_box: SecretBox, now: datetime) -> None:
        """Submit the answers; expire an interview without any."""
        if self.has_answers:
            self.submit(session, now, actor="system")
        else:
            self.expire(session, now)

    def require_attempt(self) -> None:
        super().require_attempt()
        if not self.has_answers:
            raise Conflict("Nothing has been recorded: cancel the order instead")

    def end_attempt(
        self, session: Session, secret_box: SecretBox, actor: str, now: datetime
    ) -> None:
        """Submit the answers, so that staff can rate them."""
        self.submit(session, now, actor)

    def unanswered_questions(self) -> list[Question]:
        """Return the questions without an answer, or with a broken one that can be replaced."""
        answered = {question.key for question in self.answered_questions()}
        return [
            question
            for question in self.content.questions
            if question.key not in answered
            and (self.takes_left(question) or not self.selected_recording(question.key))
        ]

    def find_recording(self, public_id: str) -> Recording:
        """Return a recording of this interview. Raises NotFound for one of another order."""
        for recording in self.recordings:
            if recording.public_id == public_id:
                return recording
        raise NotFound("There is no such recording")

    def _select(self, recording: Recording) -> None:
        for take in self.recordings_for(recording.question):
            take.is_selected = take is recording
