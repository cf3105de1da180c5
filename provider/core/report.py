"""The report of a result. The report page and its PDF show the same figures."""

from collections.abc import Set
from dataclasses import dataclass
from datetime import datetime

from provider.core.colours import DEFAULT_FILL, fill_colour
from provider.core.formats import format_duration, format_percent
from provider.core.labels import label_for
from provider.core.orders import CONSENTED, Evidence, Order, Result
from provider.core.orders.corrected_result import RESCORED, REVISED
from provider.core.orders.states import SUBMITTED
from provider.errors import Conflict
from provider.storage.secrets import SecretBox
from provider.texts import gettext, gettext_noop

NO_RESULT_MESSAGE = gettext_noop("This result is being redone, so there is no report at the moment")


@dataclass(frozen=True)
class Report:
    """The report of one order. Its values are text to show, except for enums and times."""

    title: str
    kind: str
    candidate: str
    account: str
    status: str
    sentence: str
    finished_at: datetime
    timezone: str
    reference: str
    evidence: Evidence
    job_title: str | None = None
    grade: str | None = None
    percent: float | None = None  # the score
    facts: tuple[tuple[str, str], ...] = ()
    invited_at: datetime | None = None
    started_at: datetime | None = None  # None for a kind without a start
    candidate_act: tuple[str, datetime] | None = None  # the label and time of a submission
    rescored_at: datetime | None = None  # when the scoring was corrected
    revised_at: datetime | None = None  # when a finding was corrected
    language: str = ""  # of the product's texts; empty if the document names none
    accent: str = DEFAULT_FILL

    @property
    def dates(self) -> tuple[tuple[str, datetime], ...]:
        """The times of the candidate, and of the result where others made it later."""
        first_dates = ((gettext("Invited"), self.invited_at), (gettext("Started"), self.started_at))
        dates = [(label, moment) for label, moment in first_dates if moment]
        if self.candidate_act is None or self.candidate_act[1] == self.finished_at:
            dates.append((gettext("Finished"), self.finished_at))
        else:
            dates += [self.candidate_act, (gettext("Result ready"), self.finished_at)]
        if self.rescored_at:
            dates.append((gettext("Scored again, with corrected scoring"), self.rescored_at))
        if self.revised_at:
            dates.append((gettext("Corrected"), self.revised_at))
        return tuple(dates)

    @property
    def score(self) -> str | None:
        return None if self.percent is None else format_percent(self.percent)

    @property
    def cut_scores(self) -> tuple[tuple[str, float], ...]:
        """The labels of the cut scores on the scale of the score, each with its percentage."""
        return tuple(
            (
                gettext(
                    "%(grade)s from %(percent)s",
                    grade=label_for("grade", grade),
                    percent=format_percent(percent),
                ),
                percent,
            )
            for grade, percent in self.evidence.cut_scores
        )

    @property
    def scale_description(self) -> str:
        """The alternative text of the scale, for screen readers."""
        score = gettext("Score %(score)s on a scale from 0 to 100%%", score=self.score)
        return "; ".join((score, *(label for label, _ in self.cut_scores))) + "."

    @property
    def overall_result(self) -> tuple[str, str]:
        """The headline as (label family, value): the grade, else the kind's, else the status."""
        if self.grade:
            return "grade", self.grade
        return self.evidence.overall_result or ("status", self.status)

    @property
    def chart_description(self) -> str:
        """The alternative text of the chart, for screen readers."""
        bars = "; ".join(
            f"{bar.section}, {bar.label} {format_percent(bar.percent)}"
            if bar.section
            else f"{bar.label} {format_percent(bar.percent)}"
            for bar in self.evidence.bars
        )
        return gettext("Bar chart from 0 to 100%%: %(bars)s.", bars=bars)


def build_report(order: Order, secret_box: SecretBox, places: Set[str]) -> Report:
    """Build the report of a completed order. Raises Conflict for an order without a result.

    `places` are those that the reader sees: of REPORT, PDF and SHARED. The product decides which
    of them show questions and answers; each of `places` must.
    """
    result = order.result
    if result is None or order.finished_at is None:
        raise Conflict(NO_RESULT_MESSAGE)
    evidence = order.evidence(secret_box)
    if not places <= order.answer_places:
        evidence = evidence.without_answers()
    evidence = evidence.shown_at(places)
    time_facts: list[tuple[str, str]] = []
    if result.duration is not None:
        time_facts.append((gettext("Time taken"), format_duration(result.duration)))
    return Report(
        title=str(order.version.content.get("name") or order.product.name),
        kind=order.kind,
        candidate=order.candidate.name,
        account=order.account.display_name,
        status=order.status,
        sentence=(result.summary if evidence.shows_score else "") or evidence.sentence,
        finished_at=order.finished_at,
        timezone=order.account.timezone,
        reference=order.public_id,
        job_title=order.job_title or None,
        grade=result.grade if evidence.shows_score else None,
        percent=result.score if evidence.shows_score else None,
        facts=(*time_facts, *evidence.facts),
        evidence=evidence,
        invited_at=_find_invitation(order),
        started_at=order.started_at,
        candidate_act=_find_candidate_act(order),
        rescored_at=_find_correction(order, result, RESCORED),
        revised_at=_find_correction(order, result, REVISED),
        language=str(order.version.content.get("language") or ""),
        accent=fill_colour(order.account.branding.get("colour")),
    )


def _find_invitation(order: Order) -> datetime:
    """Return when the candidate was invited: a reopened order has a new invitation."""
    reopenings = [event.occurred_at for event in order.events if event.type == "reopened"]
    return max([order.placed_at, *reopenings])


def _find_correction(order: Order, result: Result, event_type: str) -> datetime | None:
    """Return when a result replaced another one by such an event; None for a first result."""
    is_corrected = any(
        event.type == event_type and event.revision == result.revision for event in order.events
    )
    return result.created_at if is_corrected else None


def _find_candidate_act(order: Order) -> tuple[str, datetime] | None:
    """Return the last submission or consent; None for a kind that has neither."""
    acts = [event for event in order.events if event.type in (SUBMITTED, CONSENTED)]
    if not acts:
        return None
    act = max(acts, key=lambda event: event.occurred_at)
    if act.type == CONSENTED:
        return gettext("Consent given"), act.occurred_at
    submitted_at = act.occurred_at
    if act.actor == "system" and order.attempt_ends_at:
        # The scheduled work runs after the end, much later after an outage.
        submitted_at = min(submitted_at, order.attempt_ends_at)
    return gettext("Submitted"), submitted_at
