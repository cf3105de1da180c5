"""The part of an ordered test that concerns retakes, signals and the candidate's own report."""

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.orm import Mapped, Session, mapped_column, object_session

from provider.core.kinds.assessment import retakes
from provider.core.kinds.assessment.integrity_signals import list_signals
from provider.core.kinds.assessment.integrity_summary import IntegritySummary, summarise
from provider.core.kinds.assessment.navigated_order import NavigatedOrder
from provider.core.orders import Accommodation, Evidence
from provider.errors import Conflict
from provider.storage.secrets import SecretBox

RETAKE_ALLOWED = "retake allowed"  # the event


class Feedback(NamedTuple):
    """The candidate's own report: (section, percentage). Grade and summary if the test says so."""

    bars: tuple[tuple[str, float], ...]
    grade: str | None
    summary: str


class AttemptRules(NavigatedOrder):
    """An order whose test may limit retakes and record signals."""

    __mapper_args__ = {"polymorphic_abstract": True}  # noqa: RUF012

    # When staff let the candidate start in spite of the test's rule on retakes.
    retake_allowed_at: Mapped[datetime | None] = mapped_column(default=None)

    def find_start_refusal(
        self, secret_box: SecretBox, now: datetime
    ) -> retakes.RetakeRefusal | None:
        session, options = object_session(self), self.content.retakes
        if not (session and options and self.is_waiting_for_candidate) or self.retake_allowed_at:
            return None
        return retakes.find_refusal(session, secret_box, self, options, now)

    def require_start_permitted(
        self, session: Session, secret_box: SecretBox, now: datetime
    ) -> None:
        """Raise Conflict where the test's rule on retakes does not let the candidate start."""
        if self.content.retakes and self.is_waiting_for_candidate and not self.retake_allowed_at:
            retakes.lock_person(session, secret_box, self)
            if self.find_start_refusal(secret_box, now):
                raise Conflict("You cannot start this test now: you have taken it before")

    def require_retake_refused(self) -> None:
        if self.content.retakes is None:
            raise Conflict("This test has no rule on retakes, so the candidate may start")
        if not self.is_waiting_for_candidate:
            raise Conflict("The candidate has started already, or the order has ended")
        if self.retake_allowed_at:
            raise Conflict("The candidate may start already")

    def allow_retake(
        self, session: Session, secret_box: SecretBox, actor: str, reason: str, now: datetime
    ) -> None:
        self.require_retake_refused()
        self.retake_allowed_at = now
        self.record_event(session, RETAKE_ALLOWED, actor, now, reason)
        self.invite(session, secret_box, now)

    @property
    def is_judged_by_speed(self) -> bool:
        """Whether fast answers are signals: not those of a candidate with an accommodation."""
        session = object_session(self)
        accommodation = Accommodation.of(session, self) if session else None
        is_granted = accommodation is not None and bool(accommodation.is_granted)
        return not (self.extra_time_seconds or self.pause_limit_seconds or is_granted)

    def kind_context(self, secret_box: SecretBox) -> dict[str, Any]:
        return {"feedback": self.feedback}

    @property
    def feedback(self) -> Feedback | None:
        """The candidate's own report; None before the result, and for a test without one."""
        result, options = self.result, self.content
        if result is None or not options.feedback:
            return None
        all_bars = Evidence.from_figures(result.figures).bars
        bars = tuple((bar.label, bar.percent) for bar in all_bars if not bar.section)
        grade, summary = result.grade, result.summary
        if not options.feedback_grade:
            grade, summary = None, ""
        return Feedback(bars, grade, summary) if bars or grade else None

    def retake_facts(self, secret_box: SecretBox) -> list[tuple[str, str]]:
        """Return what a report says about the person's other attempts; empty without any."""
        session, options = object_session(self), self.content.retakes
        if not (session and options):
            return []
        counted = retakes.count_attempts(session, secret_box, self, options)
        return counted.facts() if counted else []

    def retake_details(
        self, session: Session, secret_box: SecretBox, score: float | None
    ) -> dict[str, str]:
        """Return what the details of a new result say about earlier attempts."""
        options = self.content.retakes
        if options is None:
            return {}
        return retakes.describe_for_ats(session, secret_box, self, options, score)

    def summarise_signals(self, attempt: int | None) -> IntegritySummary | None:
        """Return the summary of an attempt; None for a test that records no signals."""
        session, options = object_session(self), self.content.integrity
        if not (session and options.record and attempt):
            return None
        return summarise(
            list_signals(session, self, attempt),
            sum(1 for _ in self.content.without_practice().items),
            judges_speed=self.is_judged_by_speed,
            is_shared=options.shared,
        )
