"""Tests and assessments. A submitted assessment is scored at once, unless staff mark answers."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

from sqlalchemy.orm import Mapped, Session, relationship

from provider.core import formats
from provider.core.kinds.assessment import content, scoring
from provider.core.kinds.assessment.answers import Answer, SavedAnswer, UnreadText
from provider.core.kinds.assessment.content import TestContent
from provider.core.kinds.assessment.evidence import AssessmentEvidence, EvidenceItem
from provider.core.kinds.assessment.form import StoredForm, apply_form
from provider.core.kinds.assessment.integrity_signals import attempt_of
from provider.core.kinds.assessment.items import Item
from provider.core.kinds.assessment.marked_test import MarkedTest
from provider.core.kinds.assessment.navigated_order import ClosedItem
from provider.core.kinds.assessment.results import (
    ANSWERS_FIGURE,
    POINTS_FIGURE,
    SAME_RESULT_MESSAGE,
    build_result,
    find_scored_version,
    is_same_result,
)
from provider.core.kinds.assessment.scale_profile import build_profiles, cut_score_facts
from provider.core.orders import (
    COMPLETED,
    Evidence,
    GivenTime,
    ProgressTable,
    Result,
    progress_state,
)
from provider.core.orders.corrected_result import publish_corrected_result
from provider.core.orders.evidence import (
    late_answers_facts,
    questions_answered_fact,
    questions_answered_sentence,
)
from provider.core.products import Product, ProductVersion
from provider.errors import Conflict, Invalid, NotFound
from provider.storage.secrets import SecretBox
from provider.texts import gettext, gettext_noop

ATTEMPT_FIGURE = "attempt"  # of an earlier result: the attempt of its signals


class Test(Product):
    """A test that an ATS can order."""

    __mapper_args__ = {"polymorphic_identity": "assessment"}  # noqa: RUF012
    __test__ = False  # pytest would collect a class whose name begins with Test
    can_be_timed = True

    @staticmethod
    def parse(document: dict[str, Any]) -> TestContent:
        return content.parse(document)


class Assessment(MarkedTest):
    """A test ordered for a candidate."""

    __mapper_args__ = {"polymorphic_identity": "assessment"}  # noqa: RUF012

    progress_table: ClassVar[ProgressTable] = {
        "invited": progress_state("candidate", "opened", "started"),
        "opened": progress_state("candidate", "started"),
        "started": progress_state("candidate clock", "marking", "submitted"),
        "marking": progress_state("staff", "submitted"),
        "submitted": progress_state("nobody"),
    }
    has_clock_to_pause = True
    time_over_message = gettext_noop("The time for this test is over")

    answers: Mapped[list[Answer]] = relationship(
        back_populates="assessment", order_by=Answer.id, cascade="all, delete-orphan"
    )

    @property
    def full_content(self) -> TestContent:
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
        """The number of answered questions, without those for practice."""
        counted_keys = {item.key for item in self.content.without_practice().items}
        return len(counted_keys - self.unanswered_keys)

    @property
    def open_blank_keys(self) -> set[str]:
        """The keys of the questions without an answer that the candidate can still answer."""
        if not self.is_part_open or self.part.is_forward:
            return set()
        return self.unanswered_keys & {item.key for item in self.part.items}

    @property
    def unread_keys(self) -> set[str]:
        """The keys of the items whose typed text could not be read."""
        typed_texts = self.typed_texts
        return {
            item.key for item in self.content.items if item.find_problem(typed_texts.get(item.key))
        }

    @property
    def incomplete_keys(self) -> set[str]:
        """The keys of the items with an answer that is not complete."""
        return self.unanswered_keys & set(self.saved_answers)

    @property
    def unanswered_required_keys(self) -> set[str]:
        """The keys of the required items without an answer. These items prevent submitting.

        An item that the candidate has left for good prevents nothing.
        """
        missing = {item.key for item in self.content.unanswered_required(self.saved_answers)}
        return missing & self.open_blank_keys

    @property
    def answer_places(self) -> frozenset[str]:
        return self.content.report.answers

    @property
    def usual_seconds(self) -> int | None:
        return self.content.limited_seconds or None

    def evidence(self, secret_box: SecretBox) -> AssessmentEvidence:
        """Return the figures of the result, and every question with its answer and points."""
        late_seconds = [self.late_seconds(answer.saved_at) for answer in self.answers]
        evidence = self._evidence(
            self._form, self.result_figures, self.saved_answers, self.typed_texts, late_seconds
        )
        attempt = attempt_of(self.started_at) if self.started_at else None
        facts = (*evidence.facts, *self.retake_facts(secret_box))
        return replace(evidence, facts=facts, integrity=self.summarise_signals(attempt))

    def earlier_evidence(self, result: Result) -> Evidence:
        """Return the figures of an earlier result, with its answers, if they are kept."""
        kept_answers = result.figures.get(ANSWERS_FIGURE)
        if kept_answers is None:  # the order was reopened by an earlier program
            return super().earlier_evidence(result)
        form, values, typed_texts = (kept_answers.get(name) for name in ("form", "values", "typed"))
        evidence = self._evidence(form, result.figures, values, typed_texts, [])
        attempt = result.figures.get(ATTEMPT_FIGURE)
        return replace(evidence, integrity=self.summarise_signals(attempt))

    def _evidence(
        self,
        form: StoredForm | None,
        figures: Mapping[str, Any],
        answers: Mapping[str, Any],
        typed_texts: Mapping[str, str],
        late_seconds: list[int | None],
    ) -> AssessmentEvidence:
        points = {key: Decimal(text) for key, text in figures.get(POINTS_FIGURE, {}).items()}
        scored_version = find_scored_version(self.version, figures)
        scored_content = counted_content(scored_version, form)
        items = scoring.score_items(scored_content, answers, typed_texts, points)
        answered_count = sum(item.is_answered for item in items)
        # A report does not tell that a candidate had extra time or pauses.
        time_facts = (
            [(gettext("Time allowed"), formats.format_duration(self.time_limit.total_seconds()))]
            if self.time_limit and not self.extra_time_seconds and not self.pause_limit_seconds
            else []
        )
        return AssessmentEvidence.from_figures(
            figures,
            cut_scores=scored_content.grades.cut_scores if scored_content.grades else (),
            sentence=questions_answered_sentence(answered_count, len(items)),
            facts=(
                *time_facts,
                *cut_score_facts(figures),
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
                    item.file_id,
                    item.prompt_parts,
                )
                for item in items
            ),
            profiles=build_profiles(figures),
        )

    def reopen(
        self, session: Session, secret_box: SecretBox, actor: str, reason: str, now: datetime
    ) -> None:
        """Reopen the test. The candidate goes on with the saved answers.

        The answers of a result are kept with it, because the candidate may change them now.
        """
        if self.result is not None:
            self._keep_answers(self.result)
        # A reopened order lets the candidate go on, whatever the rule on retakes says.
        self.retake_allowed_at = now
        super().reopen(session, secret_box, actor, reason, now)

    def _keep_answers(self, result: Result) -> None:
        answers = {"values": self.saved_answers, "typed": self.typed_texts, "form": self._form}
        kept: dict[str, Any] = {ANSWERS_FIGURE: answers}
        if self.started_at:
            kept[ATTEMPT_FIGURE] = attempt_of(self.started_at)
        result.figures = {**result.figures, **kept}

    def rescore(
        self, session: Session, secret_box: SecretBox, actor: str, reason: str, now: datetime
    ) -> None:
        """Score a completed test by the version that corrects its own, and tell the ATS.

        The result before is kept, as after a reopening.
        """
        result = self.result
        if result is None:
            raise Conflict("Only a completed test can be scored again")
        corrected = self._score_by(session, secret_box, self.version.scoring_version)
        if is_same_result(result, corrected):
            raise Conflict(SAME_RESULT_MESSAGE)
        self._keep_answers(result)
        corrected.duration = result.duration
        publish_corrected_result(session, self, corrected, actor, reason, now)

    def _score_by(self, session: Session, secret_box: SecretBox, version: ProductVersion) -> Result:
        """Return the result of the saved answers by the keys of a version."""
        content = counted_content(version, self._form)
        result = build_result(version, content, self.saved_answers, self.load_marks())
        result.details |= self.retake_details(session, secret_box, result.score)
        return result

    @property
    def _form(self) -> StoredForm | None:
        """The form of the attempt; None for an attempt of an earlier program."""
        return self.attempt.form if self.attempt else None

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
        self.attempt = None  # the next start draws another form
        session.flush()
        self.record_event(session, "new attempt", actor, now)

    def close_at_deadline(self, session: Session, secret_box: SecretBox, now: datetime) -> None:
        """Submit the answers that were saved before the deadline.

        A break that began at the end of a part makes the deadline later.
        """
        self.close_overdue_part(session, now)
        if not self.is_past_deadline(now):
            return
        self.submit(session, secret_box, now, actor="system")

    def end_attempt(
        self, session: Session, secret_box: SecretBox, actor: str, now: datetime
    ) -> None:
        """Score the answers that were saved so far, and complete the order."""
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
        number, item = self.find_item(key)
        try:
            self.require_open_item(number, given.given_at)
        except ClosedItem:
            if not self._is_saved(item, raw, given.number):
                raise
            return self.saved_answers.get(key)  # the same save again, after a lost reply
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

    def _is_saved(self, item: Item, raw: Mapping[str, Any], number: int | None) -> bool:
        """Whether this very answer is saved. Another device may have given one with its number."""
        saved = next((answer for answer in self.answers if answer.item_key == item.key), None)
        if saved is None or saved.number != number or saved.typed != item.typed_text(raw):
            return False
        try:
            return bool(saved.value == item.parse_answer(raw))
        except Invalid:
            return saved.typed is not None  # a text that cannot be read is kept

    def find_answer(self, key: str) -> SavedAnswer:
        """Return the saved answer to one item. The page of a question needs no other one."""
        return Answer.find(self, key)

    def submit(
        self, session: Session, secret_box: SecretBox, now: datetime, actor: str = "candidate"
    ) -> None:
        """Score the saved answers and complete the order, at once or after the last mark."""
        seconds = self.elapsed_seconds(now)
        self.go_on(session, now, actor)
        self.record_event(session, "submitted", actor, now, self.late_note(actor, now))
        if not self.wait_for_marks(session, now):
            self._complete_scored(session, secret_box, seconds, actor, now)

    def finish_marking(
        self, session: Session, secret_box: SecretBox, actor: str, now: datetime
    ) -> None:
        session.refresh(self, ["events"])
        seconds = self.attempt_seconds(self.submitted_at or now)
        self._complete_scored(session, secret_box, seconds, actor, now)

    def _complete_scored(
        self, session: Session, secret_box: SecretBox, seconds: int, actor: str, now: datetime
    ) -> None:
        result = self._score_by(session, secret_box, self.version.scoring_version)
        result.duration = None if self._is_duration_telling(seconds) else seconds
        self.complete(session, secret_box, result, actor, now)

    def _is_duration_telling(self, seconds: int) -> bool:
        # A duration above the test's limit would tell the ATS of the extra time. After a pause, one
        # without it would differ from the report's times, and one with it would be wrong.
        limit = self.time_limit
        used_extra_time = limit is not None and seconds > limit.total_seconds()
        has_longer_parts = limit is None and self.extra_time_seconds > 0
        return used_extra_time or has_longer_parts or self.has_paused

    def find_item(self, key: str) -> tuple[int, Item]:
        """Return the number and the item of a key. Raises NotFound."""
        for number, item in enumerate(self.content.items, 1):
            if item.key == key:
                return number, item
        raise NotFound("There is no such question in this test")


def counted_content(version: ProductVersion, form: StoredForm | None) -> TestContent:
    """Return what counts of a version: the questions of a form, without those for practice."""
    content: TestContent = version.parsed(Test.parse)
    return (apply_form(content, form) if form else content).without_practice()
