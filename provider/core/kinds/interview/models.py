"""Interview templates, and interviews: their course, and their results."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, ClassVar

from sqlalchemy.orm import Mapped, Session, relationship

from provider import outbox
from provider.core.accounts.email_policy import COMPLETION
from provider.core.kinds import grading
from provider.core.kinds.interview import content
from provider.core.kinds.interview.answers import READY, SENT, Rating, Recording
from provider.core.kinds.interview.content import InterviewContent
from provider.core.kinds.interview.evidence import InterviewEvidence, VideoAnswer
from provider.core.kinds.interview.preferences import apply_preferences
from provider.core.kinds.interview.questions import Question
from provider.core.labels import MAX_DETAIL_LABEL_LENGTH, cut_at_word
from provider.core.marking import WHOLE_ORDER, open_tasks, settle_whole_order
from provider.core.orders import (
    ProgressTable,
    Result,
    TimedOrder,
    progress_state,
)
from provider.core.orders.evidence import (
    late_answers_facts,
    questions_answered_fact,
    questions_answered_sentence,
)
from provider.core.orders.states import SUBMITTED
from provider.core.products import Product
from provider.errors import Conflict, Invalid, NotFound
from provider.storage.media import StoredFile
from provider.storage.secrets import SecretBox
from provider.texts import LazyText, gettext, gettext_noop, lazy_gettext

MAX_BAR_LABEL_LENGTH = 60  # characters of a question beside its bar in the report
MAX_REPLACED_TAKES = 2  # of a question: broken recordings that use up no take


class InterviewTemplate(Product):
    """A set of questions that an ATS can order as a video interview."""

    __mapper_args__ = {"polymorphic_identity": "interview"}  # noqa: RUF012
    can_be_timed = True

    @staticmethod
    def parse(document: dict[str, Any]) -> InterviewContent:
        return content.parse(document)


class Interview(TimedOrder):
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
    ratings: Mapped[list[Rating]] = relationship(back_populates="interview", order_by=Rating.id)

    @property
    def content(self) -> InterviewContent:
        """The content of the version that was ordered, with the preferences of the order."""
        content: InterviewContent = self.version.parsed(InterviewTemplate.parse)
        return apply_preferences(content, self.preferences)[0] if self.preferences else content

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

    def selected_recording(self, question: str) -> Recording | None:
        """Return the recording that counts as the answer to a question."""
        return next((take for take in self.recordings_for(question) if take.is_selected), None)

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
        self.require_running(now)
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
        """Submit the recorded answers; expire an interview without any."""
        if any(recording.is_selected for recording in self.recordings):
            self.submit(session, now, actor="system")
        else:
            self.expire(session, now)

    def require_attempt(self) -> None:
        super().require_attempt()
        if not any(recording.is_selected for recording in self.recordings):
            raise Conflict("Nothing has been recorded: cancel the order instead")

    def end_attempt(
        self, session: Session, secret_box: SecretBox, actor: str, now: datetime
    ) -> None:
        """Submit the recorded answers, so that staff can rate them."""
        self.submit(session, now, actor)

    def unanswered_questions(self) -> list[Question]:
        """Return the questions without an intact recording that can still be recorded."""
        answered = {question.key for question in self.answered_questions()}
        return [
            question
            for question in self.content.questions
            if question.key not in answered
            and (self.takes_left(question) or not self.selected_recording(question.key))
        ]

    def rate(self, question: str, value: int, note: str, actor: str, now: datetime) -> Rating:
        """Set the rating of an answer. Raises Invalid for a value outside the scale."""
        self._require_submitted()
        scale = self.content.scale
        self.find_question(question)
        if not scale.min <= value <= scale.max:
            raise Invalid(
                "The rating should be from %(lowest)d to %(highest)d",
                lowest=scale.min,
                highest=scale.max,
            )
        rating = next((rating for rating in self.ratings if rating.question == question), None)
        if rating is None:
            rating = Rating(question=question)
            self.ratings.append(rating)
        rating.value, rating.note = value, note.strip()[:2000]
        rating.actor, rating.rated_at = actor, now
        return rating

    def conclude(
        self, session: Session, secret_box: SecretBox, summary: str, actor: str, now: datetime
    ) -> None:
        """Complete the interview. Raises Conflict while an answer has no rating."""
        self._require_submitted()
        if unrated := self.unrated_questions():
            raise Conflict("%(count)d of the answers have no rating yet", count=len(unrated))
        settle_whole_order(session, self, now)
        self.complete(session, secret_box, self.build_result(summary.strip()[:5000]), actor, now)

    def unrated_questions(self) -> list[Question]:
        """Return the answered questions without a rating."""
        ratings = self.ratings_by_question()
        return [question for question in self.answered_questions() if question.key not in ratings]

    def answered_questions(self) -> list[Question]:
        """Return the questions whose selected recording is not broken."""
        return [
            question
            for question in self.content.questions
            if (take := self.selected_recording(question.key)) and not take.is_broken
        ]

    def find_question(self, key: str) -> Question:
        for question in self.content.questions:
            if question.key == key:
                return question
        raise NotFound("There is no such question in this interview")

    def find_recording(self, public_id: str) -> Recording:
        """Return a recording of this interview. Raises NotFound for one of another order."""
        for recording in self.recordings:
            if recording.public_id == public_id:
                return recording
        raise NotFound("There is no such recording")

    def evidence(self, secret_box: SecretBox) -> InterviewEvidence:
        """Return the figures of the result, and every question with its rating."""
        questions, ratings = self.content.questions, self.ratings_by_question()
        answered_count = len(self.answered_questions())
        return InterviewEvidence.from_figures(
            {"bars": self._bars_with_questions()},
            cut_scores=self.content.grades.cut_scores if self.content.grades else (),
            sentence=questions_answered_sentence(answered_count, len(questions)),
            facts=(
                questions_answered_fact(answered_count, len(questions)),
                *late_answers_facts(
                    [self.late_seconds(take.created_at) for take in self.recordings]
                ),
            ),
            video_answers=tuple(
                self._video_answer(question, ratings.get(question.key)) for question in questions
            ),
        )

    def _bars_with_questions(self) -> list[dict[str, Any]]:
        bars = self.result_figures.get("bars", ())
        return [
            bar | {"label": cut_at_word(question.numbered_text(number), MAX_BAR_LABEL_LENGTH)}
            for number, (bar, question) in enumerate(
                zip(bars, self.content.questions, strict=False), 1
            )
        ]

    def _video_answer(self, question: Question, rating: Rating | None) -> VideoAnswer:
        recording = self.selected_recording(question.key)
        if recording is None:
            return VideoAnswer(question.text_without_markup, gettext("No answer"))
        return VideoAnswer(
            question.text_without_markup,
            self.content.scale.rating_text(rating.value) if rating else "",
            rating.note if rating else "",
            recording.seconds,
            recording.public_id,
            recording.poster_key if recording.state == READY else "",
            recording.is_broken,
            recording.is_deleted,
        )

    def ratings_by_question(self) -> dict[str, Rating]:
        """Return the ratings by question, without those from before a reopening."""
        start = self.started_at
        return {
            rating.question: rating for rating in self.ratings if start and rating.rated_at >= start
        }

    def _select(self, recording: Recording) -> None:
        for take in self.recordings_for(recording.question):
            take.is_selected = take is recording

    def _require_submitted(self) -> None:
        if self.status != "pending" or self.progress != SUBMITTED:
            raise Conflict("Only a submitted interview can be rated")

    def build_result(self, summary: str = "") -> Result:
        """Score the ratings: the lowest is 0 %, the highest 100 %, a question without one 0 %."""
        content, ratings = self.content, self.ratings_by_question()
        scale_span = content.scale.max - content.scale.min
        shares = {
            question.key: Fraction(ratings[question.key].value - content.scale.min, scale_span)
            if question.key in ratings
            else Fraction(0)
            for question in content.questions
        }
        percent = grading.to_percent(sum(shares.values(), Fraction(0)) / len(shares))
        grade = content.grades.grade_for(percent) if content.grades else None
        bars = [
            {
                "label": lazy_gettext("Question %(number)d", number=number).to_json(),
                "percent": float(grading.to_percent(shares[question.key])),
                "note": content.scale.rating_note(ratings[question.key].value).to_json()
                if question.key in ratings
                else lazy_gettext("no answer").to_json(),
            }
            for number, question in enumerate(content.questions, 1)
        ]
        return Result(
            score=float(percent),
            grade=grade,
            summary=summary or (content.summaries or {}).get(grade or "") or "",
            details={
                "Ratings": {
                    cut_at_word(question.numbered_text(number), MAX_DETAIL_LABEL_LENGTH): ratings[
                        question.key
                    ].value
                    for number, question in enumerate(content.questions, 1)
                    if question.key in ratings
                }
            },
            figures={"bars": bars},
            duration=self.answer_seconds(),
        )

    def answer_seconds(self) -> int | None:
        """Return the total length of the answers; None until every length is known."""
        lengths = [take.seconds for take in self.recordings if take.is_selected]
        known_lengths = [length for length in lengths if length is not None]
        if len(known_lengths) < len(lengths):
            return None
        return round(sum(known_lengths)) or None
