"""A state machine over adverse actions: no final notice before the candidate's time is over."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy.orm import Session

from provider.core.kinds.check import Check
from provider.core.kinds.check.adverse import adverse_acts as acts
from provider.core.kinds.check.adverse.adverse_work import END_NOTICE_CLOCKS
from provider.core.kinds.check.decisions import RevisionForm, revise
from provider.core.kinds.check.tables.adverse_action import (
    FINAL,
    READY,
    TRANSITIONS,
    WITHDRAWN_ACTION,
)
from provider.core.kinds.check.tables.dispute import Dispute
from provider.core.labels import load_time_zone
from provider.core.working_days import WorkingDays
from provider.errors import Conflict, Invalid
from provider.maintenance import schema_version
from provider.storage.secrets import SecretBox
from tests import check_decision_factories
from tests.factories import ManualClock, build_services, make_settings

STAFF = "ann@provider.test"
PLACES = st.sampled_from(["us", "us-ca", "us-ca-lac", "us-pa-phl", "gb", "other"])
WAITS = st.sampled_from([1, 9, 25, 24 * 3, 24 * 9, 24 * 40]).map(lambda h: timedelta(hours=h))
TIMEZONES = st.sampled_from(["UTC", "America/Los_Angeles", "Pacific/Kiritimati", "Europe/London"])


class AdverseActions(RuleBasedStateMachine):
    """Rules are what staff, the candidate and the mail server do with one completed check."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.clock = ManualClock(datetime(2026, 12, 21, 23, 30, tzinfo=UTC))
        self.services = build_services(make_settings(Path(self.folder.name)), self.clock)
        schema_version.upgrade(self.services.db, secret_box=self.services.secret_box)
        self.check_id = check_decision_factories.consider_check(self.services)
        self.states: dict[int, str] = {}
        self.revision = 0

    def teardown(self) -> None:
        self.services.db.close()
        self.folder.cleanup()

    @rule(place=PLACES, days=st.integers(5, 12), timezone=TIMEZONES)
    def begin(self, place: str, days: int, timezone: str) -> None:
        def act(session: Session, check: Check) -> None:
            check.candidate.timezone = timezone
            acts.begin(session, self.box, check, place, days, "", STAFF, self.now)

        self._try(act)

    @rule()
    def suspend(self) -> None:
        self._try(lambda session, check: acts.suspend(session, check, STAFF, self.now))

    @rule()
    def resume(self) -> None:
        self._try(lambda session, check: acts.resume(session, check, STAFF, self.now))

    @rule()
    def send_final(self) -> None:
        self._try(lambda session, check: acts.send_final(session, self.box, check, STAFF, self.now))

    @rule()
    def withdraw(self) -> None:
        self._try(
            lambda session, check: acts.withdraw(session, self.box, check, "x", STAFF, self.now)
        )

    @rule()
    def dispute(self) -> None:
        def act(session: Session, check: Check) -> None:
            check.disputes.append(
                Dispute(screening="jobs", text=b"", reason_encrypted=b"", opened_at=self.now)
            )
            session.flush()
            self._update_clock(session, check)

        self._try(act)

    @rule()
    def answer_disputes(self) -> None:
        def act(session: Session, check: Check) -> None:
            for dispute in check.disputes:
                if dispute.is_open:
                    dispute.outcome, dispute.answered_at = "upheld", self.now
            self._update_clock(session, check)

        self._try(act)

    @rule()
    def bounce(self) -> None:
        self._try(
            lambda session, check: check.record_bounce(session, "x", "pre_adverse", "", self.now)
        )

    @rule()
    def send_again(self) -> None:
        def act(session: Session, check: Check) -> None:
            for notice in [row for action in check.adverse_actions for row in action.notices]:
                if notice.undeliverable_at:
                    acts.send_again(session, check, notice.public_id, STAFF, self.now)

        self._try(act)

    @rule(status=st.sampled_from(["clear", "consider"]))
    def correct(self, status: str) -> None:
        form = RevisionForm("jobs", status, "A text", "", "A correction")
        self._try(lambda session, check: revise(session, self.box, check, form, STAFF, self.now))

    @rule()
    def reopen(self) -> None:
        self._try(lambda session, check: check.reopen(session, self.box, STAFF, "Again", self.now))

    @rule(wait=WAITS)
    def advance_clock(self, wait: timedelta) -> None:
        self.clock.advance(wait)
        END_NOTICE_CLOCKS.run(self.services)

    @invariant()
    def states_follow_the_table(self) -> None:
        with self.services.db.reading() as session:
            check = Check.find(session, self.check_id)
            assert sum(action.is_open for action in check.adverse_actions) <= 1
            assert check.revision >= self.revision, "the wire goes forwards only"
            self.revision = check.revision
            revisions = [result.revision for result in check.results]
            assert revisions == sorted(set(revisions))
            for action in check.adverse_actions:
                if action.state == WITHDRAWN_ACTION:
                    assert not action.is_first_notice_undeliverable
                before = self.states.get(action.id, action.state)
                assert action.state == before or _is_reachable(before, action.state)
                self.states[action.id] = action.state
                if action.state == READY:
                    self._require_time_is_over(check, action.id, self.now)
                if action.state == FINAL and action.ended_at:
                    self._require_time_is_over(check, action.id, action.ended_at)

    def _require_time_is_over(self, check: Check, action_id: int, moment: datetime) -> None:
        """Count the business days in the candidate's zone by themselves."""
        (action,) = [row for row in check.adverse_actions if row.id == action_id]
        zone = load_time_zone(action.timezone)
        first = action.clock_started_at.astimezone(zone).date()
        last = moment.astimezone(zone).date()
        days = [first + timedelta(days=number) for number in range(1, (last - first).days)]
        is_business_day = WorkingDays("").is_working_day
        assert sum(map(is_business_day, days)) >= action.waiting_days

    def _update_clock(self, session: Session, check: Check) -> None:
        if action := check.open_action:
            acts.update_clock(session, check, action, self.now)

    def _try(self, act: Callable[[Session, Check], object]) -> None:
        """Do an act as the console does: a refused one changes nothing."""
        with suppress(Conflict, Invalid), self.services.db.writing() as session:
            act(session, Check.find(session, self.check_id, lock=True))

    @property
    def now(self) -> datetime:
        return self.clock.now()

    @property
    def box(self) -> SecretBox:
        return self.services.secret_box


def _is_reachable(before: str, after: str) -> bool:
    """Return whether a state follows from another one, in one act or several."""
    reached, waiting = {before}, [before]
    while waiting:
        for state in TRANSITIONS[waiting.pop()] - reached:
            reached.add(state)
            waiting.append(state)
    return after in reached


def test_final_notice_never_comes_before_the_candidates_time_is_over() -> None:
    run_state_machine_as_test(
        AdverseActions,
        settings=settings(
            max_examples=8,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
