"""Tests and assessments.

A submitted assessment is scored and completed at once, unless people mark some of its answers.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

from sqlalchemy.orm import Mapped, Session, relationship

from provider.core import labels
from provider.core.accounts.email_policy import COMPLETION
from provider.core.kinds.assessment import content, scoring
from provider.core.kinds.assessment.answers import Answer, UnreadText
from provider.core.kinds.assessment.content import TestContent
from provider.core.kinds.assessment.evidence import AssessmentEvidence, EvidenceItem
from provider.core.kinds.assessment.items import Item, MarkedItem
from provider.core.kinds.assessment.marks import Mark, find_agreed_points
from provider.core.orders import (
    COMPLETED,
    Evidence,
    GivenTime,
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
from provider.core.orders.states import PENDING, SUBMITTED
from provider.core.products import Product
from provider.errors import Conflict, Invalid, NotFound
from provider.storage.secrets import SecretBox
from provider.texts import gettext, gettext_noop

# Of the figures of a result from before a reopening: its answers and typed texts by item.
ANSWERS_FIGURE = "answers"
POINTS_FIGURE = "points"  # of a result's figures: the points of each scored item, by its key


class Test(Product):
    """A test that an ATS can order."""

    __mapper_args__ = {"polymorphic_identity": "assessment"}  # noqa: RUF012
    __test__ = False  # pytest would collect a class whose name begins with Test

    @staticmethod
    def parse(document: dict[str, Any]) -> TestContent:
        return content.parse(document)


class Assessment(TimedOrder):
    """A test ordered for a candidate."""

    __mapper_args__ = {"polymorphic_identity": "assessment"}  # noqa: RUF012

    progress_table: ClassVar[ProgressTable] = {
        "invited": progress_state("candidate", "opened", "started"),
        "opened": progress_state("candidate", "started"),
        "started": progress_state("candidate clock", "submitted"),
        "submitted": progress_state("staff"),  # until its answers are marked
    }
    has_clock_to_pause = True
    time_over_message = gettext_noop("The time for this test is over")

    answers: Mapped[list[Answer]] = relationship(
        back_populates="assessment", order_by=Answer.id, cascade="all, delete-orphan"
    )

    marks: Mapped[list[Mark]] = relationship(back_populates="assessment", order_by=Mark.id)

    @property
    def is_receipt_sent_at_submission(self) -> bool:
        return self.content.needs_marking

    @property
    def content(self) -> TestContent:
        """The content of the version that was ordered."""
        return self.version.parsed(Test.parse)

    @property
    def saved_answers(self) -> dict[str, Any]:
        """The answers by the key of their item."""
        return {
            answer.item_key: answer.value for answer in self.answers if answer.value is not None
        }

    @property
    def typed_texts(self) -> dict[str, str]:
        """The texts as the candidate typed them, by the key of their item."""
        return {answer.item_key: answer.typed for answer in self.answers if answer.typed}

    @property
    def time_limit(self) -> timedelta | None:
        minutes = self.content.time_limit
        return timedelta(minutes=minutes) if minutes else None

    @property
    def unanswered_keys(self) -> set[str]:
        answers = self.saved_answers
        return {
            item.key for item in self.content.items if not item.is_answered(answers.get(item.key))
        }

    @property
    def answered_count(self) -> int:
        return sum(1 for _ in self.content.items) - len(self.unanswered_keys)

    @property
    def unread_keys(self) -> set[str]:
        """The keys of the items whose typed text could not be read."""
        typed_texts = self.typed_texts
        return {
            item.key for item in self.content.items if item.find_problem(typed_texts.get(item.key))
        }

    @property
    def given_points(self) -> dict[str, Decimal]:
        """The points that markers gave in this attempt, by the key of the item."""
        start = self.started_at
        marks = [mark for mark in self.marks if start and mark.marked_at >= start]
        agreed = {
            item.key: find_agreed_points(
                [mark for mark in marks if mark.item_key == item.key], item.markers
            )
            for item in self.content.items
            if isinstance(item, MarkedItem)
        }
        return {key: points for key, points in agreed.items() if points is not None}

    @property
    def unmarked_items(self) -> list[Item]:
        """The answered items that need marking, and have no points on which the markers agree."""
        given, answers = self.given_points, self.saved_answers
        return [
            item
            for item in self.content.items
            if item.needs_marking and item.key in answers and item.key not in given
        ]

    @property
    def incomplete_keys(self) -> set[str]:
        """The keys of the items with an answer that is not complete."""
        return self.unanswered_keys & set(self.saved_answers)

    @property
    def unanswered_required_keys(self) -> set[str]:
        """The keys of the required items without an answer. These items prevent submitting."""
        return {item.key for item in self.content.unanswered_required(self.saved_answers)}

    @property
    def answer_places(self) -> frozenset[str]:
        return self.content.report.answers

    @property
    def usual_seconds(self) -> int | None:
        return int(self.time_limit.total_seconds()) if self.time_limit else None

    def evidence(self, secret_box: SecretBox) -> AssessmentEvidence:
        """Return the figures of the result, and every question with its answer and points."""
        late_seconds = [self.late_seconds(answer.saved_at) for answer in self.answers]
        return self._evidence(
            self.result_figures, self.saved_answers, self.typed_texts, late_seconds
        )

    def earlier_evidence(self, result: Result) -> Evidence:
        """Return the figures of an earlier result, with its answers."""
        kept_answers = result.figures.get(ANSWERS_FIGURE)
        if kept_answers is None:  # the order was reopened by an earlier program
            return super().earlier_evidence(result)
        return self._evidence(result.figures, kept_answers["values"], kept_answers["typed"], [])

    def _evidence(
        self,
        figures: Mapping[str, Any],
        answers: Mapping[str, Any],
        typed_texts: Mapping[str, str],
        late_seconds: list[int | None],
    ) -> AssessmentEvidence:
        stored_points = figures.get(POINTS_FIGURE)
        points = (
            self.given_points
            if stored_points is None
            else {key: Decimal(text) for key, text in stored_points.items()}
        )
        items = scoring.score_items(self.content, answers, typed_texts, points)
        answered_count = sum(item.is_answered for item in items)
        # A report does not tell that a candidate had extra time or pauses.
        time_facts = (
            [(gettext("Time allowed"), labels.format_duration(self.usual_seconds))]
            if self.usual_seconds and not self.extra_time_seconds and not self.pause_limit_seconds
            else []
        )
        return AssessmentEvidence.from_figures(
            figures,
            cut_scores=self.content.grades.cut_scores if self.content.grades else (),
            sentence=questions_answered_sentence(answered_count, len(items)),
            facts=(
                *time_facts,
                questions_answered_fact(answered_count, len(items)),
                *late_answers_facts(late_seconds),
            ),
            items=tuple(
                EvidenceItem(
                    item.section,
                    item.prompt,
                    item.answer or gettext("No answer"),
                    item.points_text,
                    item.mark,
                )
                for item in items
            ),
        )

    def reopen(
        self, session: Session, secret_box: SecretBox, actor: str, reason: str, now: datetime
    ) -> None:
        """Reopen the test. The candidate goes on with the saved answers.

        The answers of a result are kept with it, because the candidate may change them now.
        """
        if (result := self.result) is not None:
            answers = {"values": self.saved_answers, "typed": self.typed_texts}
            result.figures = {**result.figures, ANSWERS_FIGURE: answers}
        super().reopen(session, secret_box, actor, reason, now)

    def require_open(self, given_at: datetime) -> None:
        super().require_open(given_at)
        if self.progress == SUBMITTED:
            raise Conflict("This test has already been submitted")

    def require_retakable(self) -> None:
        if self.status != COMPLETED:
            raise Conflict("Only a completed test can be taken again")

    def retake(
        self, session: Session, secret_box: SecretBox, actor: str, reason: str, now: datetime
    ) -> None:
        super().retake(session, secret_box, actor, reason, now)
        self.reopen(session, secret_box, actor, reason, now)
        # No page of the first attempt can bring an answer back: `reopen` has ended its sessions.
        self.answers.clear()
        session.flush()
        self.record_event(session, "new attempt", actor, now)

    def close_at_deadline(self, session: Session, secret_box: SecretBox, now: datetime) -> None:
        """Submit the answers that were saved before the deadline."""
        self.submit(session, secret_box, now, actor="system")

    def end_attempt(
        self, session: Session, secret_box: SecretBox, actor: str, now: datetime
    ) -> None:
        """Submit the answers that were saved so far."""
        self.submit(session, secret_box, now, actor)

    def save(
        self, key: str, raw: Mapping[str, Any], now: datetime, given: GivenTime | None = None
    ) -> Any:
        """Save the answer to one item from a form. Returns the answer; None for a blank one.

        Raises Conflict for an answer that was given after the end, StaleSave after a newer answer,
        NotFound for an unknown item and Invalid for a value that is no answer. An earlier answer
        is kept then. UnreadText is raised when the typed text is kept beside it; the caller
        commits.
        """
        given = given or GivenTime(now)
        self.require_in_time(given.given_at)
        item = self._find_item(key)
        typed = item.typed_text(raw)
        try:
            value = item.parse_answer(raw)
        except Invalid as error:
            if typed is None:
                raise
            earlier_value = self.saved_answers.get(key)
            Answer.put(self, key, earlier_value, now, given.number, typed)
            raise UnreadText(error, item.format_typed(earlier_value, None)) from error
        Answer.put(self, key, value, now, given.number, typed)
        return value

    def answer_number(self, key: str) -> int:
        """Return the number of the saved answer to an item; 0 without one."""
        return next((answer.number for answer in self.answers if answer.item_key == key), 0)

    def submit(
        self, session: Session, secret_box: SecretBox, now: datetime, actor: str = "candidate"
    ) -> None:
        """Submit the saved answers, and complete the order, unless an answer needs marking."""
        seconds = self.elapsed_seconds(now)
        self.record_event(session, "submitted", actor, now, self.late_note(actor, now))
        if self.is_receipt_sent_at_submission:
            self.tell_candidate(session, COMPLETION, now)
        if self.unmarked_items:
            self.go_on(session, now, actor)
            self.change_progress(session, SUBMITTED)
        else:
            self._complete(session, secret_box, seconds, actor, now)

    def require_submitted(self) -> None:
        """Raise Conflict unless the answers wait for marks."""
        if self.status != PENDING or self.progress != SUBMITTED:
            raise Conflict("Only the answers of a submitted test are marked, until it is completed")

    def complete_with_marks(
        self, session: Session, secret_box: SecretBox, actor: str, now: datetime
    ) -> None:
        """Complete a submitted test. Raises Conflict while an answer has no points."""
        self.require_submitted()
        if unmarked := self.unmarked_items:
            raise Conflict("%(count)d of the answers are not marked yet", count=len(unmarked))
        times = (self.started_at, self.submitted_at, self.attempt_ends_at)
        started_at, *ends = [moment for moment in times if moment]
        seconds = int((min(ends) - started_at).total_seconds())
        self._complete(session, secret_box, seconds, actor, now)

    def _complete(
        self, session: Session, secret_box: SecretBox, seconds: int, actor: str, now: datetime
    ) -> None:
        """Score the saved answers and complete the order. `seconds` is how long it took."""
        scored = scoring.score(self.content, self.saved_answers, self.given_points)
        result = Result(
            score=None if scored.percent is None else float(scored.percent),
            grade=scored.grade,
            summary=scored.summary,
            details=scored.details,
            figures=scored.figures() | {POINTS_FIGURE: self._points_by_key()},
            duration=None if self._is_duration_telling(seconds) else seconds,
        )
        self.complete(session, secret_box, result, actor, now)

    def _is_duration_telling(self, seconds: int) -> bool:
        # A duration above the test's limit would tell the ATS of the extra time. After a pause, one
        # without it would differ from the report's times, and one with it would be wrong.
        used_extra_time = self.usual_seconds is not None and seconds > self.usual_seconds
        return used_extra_time or self.has_paused

    def _points_by_key(self) -> dict[str, str]:
        # A later rule of scoring must not change the points that a report shows.
        items = scoring.score_items(self.content, self.saved_answers, points=self.given_points)
        return {item.key: str(item.points) for item in items if item.points is not None}

    def _find_item(self, key: str) -> Item:
        for section in self.content.sections:
            for item in section.items:
                if item.key == key:
                    return item
        raise NotFound("There is no such question in this test")
