"""A state machine over adverse actions: no final notice before the candidate's time is over.

The notices tell the ATS nothing. A correction does, as a new revision of the result.
"""

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy.orm import Session

from provider.core.formats import load_time_zone
from provider.core.kinds.check import Check
from provider.core.kinds.check.adverse import adverse_acts as acts
from provider.core.kinds.check.adverse.adverse_work import END_NOTICE_CLOCKS
from provider.core.kinds.check.decisions import RevisionForm, revise
from provider.core.kinds.check.disputes import answer_dispute, open_dispute
from provider.core.kinds.check.tables.adverse_action import (
    FINAL,
    READY,
    STOPPED,
    TRANSITIONS,
    WITHDRAWN_ACTION,
)
from provider.core.orders import COMPLETED, CONSENTED, PENDING
from provider.core.working_days import WorkingDays
from provider.errors import Conflict, Invalid
from provider.storage.secrets import SecretBox
from tests import check_decision_factories, check_factories
from tests.check_wire import Wire
from tests.factories import ManualClock, build_services, make_settings
from tests.fake_ats import FakeAts

STAFF = "ann@provider.test"
PLACES = st.sampled_from(["us", "us-ca", "us-ca-lac", "us-pa-phl", "gb", "other"])
WAITS = st.sampled_from([1, 9, 25, 24 * 3, 24 * 9, 24 * 40]).map(lambda h: timedelta(hours=h))
TIMEZONES = st.sampled_from(["UTC", "America/Los_Angeles", "Pacific/Kiritimati", "Europe/London"])


class AdverseActions(RuleBasedStateMachine):
    """Rules are what staff, the candidate and the mail server do with one completed check."""

    database: ClassVar[Path]

    def __init__(self) -> None:
        super().__init__()
        self.parts = ExitStack()
        path = Path(self.parts.enter_context(TemporaryDirectory()))
        shutil.copy(self.database, path / "provider.db")
        self.clock = ManualClock(datetime(2026, 12, 21, 23, 30, tzinfo=UTC))
        options = replace(make_settings(path), private_callbacks=True)
        self.services = build_services(options, self.clock)
        self.parts.callback(self.services.db.close)
        ats = self.parts.enter_context(FakeAts())
        self.check_id = check_decision_factories.place_sandbox_order(
            self.services, callback_url=f"{ats.url}/checks/1"
        )
        self.wire = Wire(self.services, ats, self.check_id)
        self.parts.callback(self.wire.close)
        self.states: dict[int, str] = {}
        self.complete()

    def teardown(self) -> None:
        self.parts.close()

    def complete(self) -> None:
        """Complete the check as one that is to consider."""
        check_factories.give_consent(self.services, self.check_id)
        self.wire.publish(CONSENTED)
        check_decision_factories.set_country(self.services, self.check_id, "US")
        check_factories.record_findings(self.services, self.check_id)
        check_factories.complete_check(self.services, self.check_id)
        self.outcomes = dict(check_factories.OUTCOMES)
        self.publish_outcomes()

    def publish_outcomes(self) -> None:
        names = {row["key"]: row["name"] for row in check_factories.PACKAGE_CONTENT["screenings"]}
        self.wire.publish(COMPLETED, [(names[key], self.outcomes[key]) for key in names])

    @initialize(progress=st.sampled_from(["disputed", "final", "noticed", "completed"]))
    def begin_late(self, progress: str) -> None:
        """Let most examples begin with a notice, or few would come to what follows it."""
        if progress != "completed":
            self.begin("us", 5, "UTC")
        if progress == "disputed":
            self.dispute()
        if progress == "final":
            self.send_final(40)

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

    @rule(days=st.sampled_from([40, 0]))
    def send_final(self, days: int) -> None:
        self.advance_clock(timedelta(days=days))
        self._try(lambda session, check: acts.send_final(session, self.box, check, STAFF, self.now))

    @rule()
    def withdraw(self) -> None:
        self._try(
            lambda session, check: acts.withdraw(session, self.box, check, "x", STAFF, self.now)
        )

    @rule()
    def dispute(self) -> None:
        self._try(
            lambda session, check: open_dispute(
                session, self.box, check, "jobs", "wrong", "It is wrong", self.now
            )
        )

    @rule()
    def answer_disputes(self) -> None:
        def act(session: Session, check: Check) -> None:
            for dispute in check.disputes:
                if dispute.is_open:
                    answer_dispute(
                        session, self.box, check, dispute, "upheld", "It stays", STAFF, self.now
                    )

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
        if self._try(
            lambda session, check: revise(session, self.box, check, form, STAFF, self.now)
        ):
            self.outcomes["jobs"] = status
            self.publish_outcomes()

    @rule()
    def reopen_and_complete(self) -> None:
        if self._try(
            lambda session, check: check.reopen(session, self.box, STAFF, "Again", self.now)
        ):
            self.wire.publish(PENDING)
            self.complete()

    @rule()
    def fail_callback(self) -> None:
        self.wire.fail_next()

    @rule(wait=WAITS)
    def advance_clock(self, wait: timedelta) -> None:
        self.clock.advance(wait)
        END_NOTICE_CLOCKS.run(self.services)

    @invariant()
    def ats_receives_what_was_published(self) -> None:
        self.wire.deliver()
        self.wire.require_consistent()

    @invariant()
    def states_follow_the_table(self) -> None:
        with self.services.db.reading() as session:
            check = Check.find(session, self.check_id)
            assert sum(action.is_open for action in check.adverse_actions) <= 1
            has_open_dispute = any(dispute.is_open for dispute in check.disputes)
            for action in check.adverse_actions:
                if action.is_open:  # a dispute stops the clock, and its answer starts it again
                    assert (action.state == STOPPED) == acts.is_stopped(check, action)
                    assert action.state == STOPPED or not has_open_dispute
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

    def _try(self, act: Callable[[Session, Check], object]) -> bool:
        """Do an act as the console does; return whether it was allowed."""
        try:
            with self.services.db.writing() as session:
                act(session, Check.find(session, self.check_id, lock=True))
        except (Conflict, Invalid):
            return False
        return True

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


def test_final_notice_never_comes_before_the_candidates_time_is_over(
    fresh_database: Path,
) -> None:
    AdverseActions.database = fresh_database
    run_state_machine_as_test(
        AdverseActions,
        settings=settings(
            max_examples=10,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
