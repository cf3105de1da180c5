"""A state machine over the life of a check: what the ATS receives never goes backwards.

The rules are what the candidate and the staff do, in any order, also after the completion. Only a
reopening, which is a revision of its own, leads back to an earlier status. The ATS fails at times.
"""

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy.orm import Session

from provider.core.kinds.check import Check
from provider.core.kinds.check.adverse import adverse_acts
from provider.core.kinds.check.decisions import RevisionForm, revise
from provider.core.kinds.check.disputes import (
    answer_dispute,
    open_dispute,
    retract_dispute,
)
from provider.core.kinds.check.screening_retention import delete_expired
from provider.core.kinds.check.screening_status import list_statuses, may_read_report
from provider.core.kinds.check.tables.adverse_action import STOPPED
from provider.core.kinds.check.tables.screening_task import OPEN_STATES
from provider.core.orders import CANCELLED, COMPLETED, CONSENTED, DECLINED, EXPIRED, PENDING
from provider.errors import Conflict, Invalid, NotFound
from provider.storage.secrets import SecretBox
from tests import check_decision_factories, check_factories, factories
from tests.check_wire import Wire
from tests.factories import ManualClock
from tests.fake_ats import FakeAts

ACTOR = "sam@provider.test"
SCREENING_KEYS = st.sampled_from(["identity", "jobs", "record"])
OUTCOMES = st.sampled_from(["consider", "clear"])
NAMES = {row["key"]: row["name"] for row in check_factories.PACKAGE_CONTENT["screenings"]}


# Acts that are tried at any time, with these values; most are refused then.
ACTS: dict[str, dict[str, Any]] = {
    "consent": {},
    "decline": {},
    "record_outcome": {"screening": "jobs", "outcome": "consider"},
    "complete_all": {"outcome": "clear"},
    "complete": {},
    "cancel": {},
    "reopen": {},
    "correct": {"screening": "jobs", "outcome": "clear"},
    "dispute": {"screening": "jobs"},
    "begin_adverse_action": {},
    "send_final_notice": {"days": 0},
    "withdraw_notice": {},
}


def is_pending(life: "CheckLife") -> bool:
    return life.wire.status == PENDING


def is_consented(life: "CheckLife") -> bool:
    return life.wire.status == CONSENTED


def is_completed(life: "CheckLife") -> bool:
    return life.wire.status == COMPLETED


def has_notice(life: "CheckLife") -> bool:
    return life.has_notice


class CheckLife(RuleBasedStateMachine):
    """One check of a sandbox, which has samples of the notices. `outcomes` is by screening."""

    database: ClassVar[Path]

    def __init__(self) -> None:
        super().__init__()
        self.parts = ExitStack()
        path = Path(self.parts.enter_context(TemporaryDirectory()))
        shutil.copy(self.database, path / "provider.db")
        options = factories.make_settings(
            path, PROVIDER_DATABASE_URL=f"sqlite:///{path / 'provider.db'}"
        )
        self.clock, self.ats = ManualClock(), self.parts.enter_context(FakeAts())
        options = replace(options, private_callbacks=True)
        self.services = factories.build_services(options, self.clock)
        self.parts.callback(self.services.db.close)
        self.order_id = check_decision_factories.place_sandbox_order(
            self.services, callback_url=f"{self.ats.url}/checks/1"
        )
        self.wire = Wire(self.services, self.ats, self.order_id)
        self.parts.callback(self.wire.close)
        self.outcomes: dict[str, str] = {}
        self.has_notice = False

    def teardown(self) -> None:
        self.parts.close()

    def attempt(self, act: Callable[[Session, Check], object]) -> bool:
        """Do something in a transaction; return whether it was allowed."""
        self.clock.advance(timedelta(minutes=1))
        try:
            with self.services.db.writing() as session:
                act(session, Check.find(session, self.order_id, lock=True))
        except (Conflict, Invalid, NotFound):
            return False
        return True

    def attempt_to_publish(self, status: str, act: Callable[[Session, Check], object]) -> bool:
        """Do something after which the ATS gets this status. A refused act tells it nothing."""
        is_done = self.attempt(act)
        if is_done:
            names = [(name, self.outcomes.get(key, "")) for key, name in NAMES.items()]
            self.wire.publish(status, names if status == COMPLETED else ())
        return is_done

    @initialize(progress=st.sampled_from(["noticed", "completed", "pending"]))
    def begin(self, progress: str) -> None:
        """Let most checks begin late, or few would come to a correction and a final notice."""
        if progress != "pending":
            self.consent()
            self.complete_all("consider")
        if progress == "noticed":
            self.correct("identity", "clear")
            self.begin_adverse_action()

    @precondition(is_pending)
    @rule()
    def consent(self) -> None:
        def act(session: Session, check: Check) -> None:
            check.give_consent(
                session,
                self.box,
                "Lakita",
                check_factories.FORM_VALUES,
                ip_address="",
                user_agent="",
                now=self.clock.now(),
            )
            check.own_case.country = "US"

        self.attempt_to_publish(CONSENTED, act)

    @precondition(is_pending)
    @rule()
    def decline(self) -> None:
        self.attempt_to_publish(
            DECLINED, lambda session, check: check.decline(session, "No", self.clock.now())
        )

    @precondition(is_consented)
    @rule(screening=SCREENING_KEYS, outcome=OUTCOMES)
    def record_outcome(self, screening: str, outcome: str) -> None:
        if self.attempt(lambda session, check: self.enter(session, check, screening, outcome)):
            self.outcomes[screening] = outcome

    def enter(self, session: Session, check: Check, screening: str, outcome: str) -> None:
        now, text = self.clock.now(), "A text"
        check.record_finding(
            session, self.box, screening, outcome, "", ACTOR, now, report_text=text
        )

    @precondition(is_consented)
    @rule(screening=SCREENING_KEYS, state=st.sampled_from(sorted(OPEN_STATES)))
    def change_task(self, screening: str, state: str) -> None:
        def act(session: Session, check: Check) -> None:
            task = check.find_task(screening)
            if task.is_open:
                task.state = state
                check.update_progress(session)

        self.attempt(act)

    @precondition(is_consented)
    @rule(outcome=OUTCOMES)
    def complete_all(self, outcome: str) -> None:
        """Enter the outcomes that are missing, and complete the check."""
        missing = dict.fromkeys(NAMES.keys() - self.outcomes.keys(), outcome)

        def act(session: Session, check: Check) -> None:
            for screening in missing:
                self.enter(session, check, screening, outcome)
            check.conclude(session, self.box, ACTOR, self.clock.now())

        entered, self.outcomes = self.outcomes, self.outcomes | missing
        if not self.attempt_to_publish(COMPLETED, act):
            self.outcomes = entered

    @precondition(is_consented)
    @rule()
    def complete(self) -> None:
        self.attempt_to_publish(
            COMPLETED,
            lambda session, check: check.conclude(session, self.box, ACTOR, self.clock.now()),
        )

    @precondition(lambda self: self.wire.status in (PENDING, CONSENTED))
    @rule()
    def cancel(self) -> None:
        self.attempt_to_publish(
            CANCELLED, lambda session, check: check.cancel(session, ACTOR, "x", self.clock.now())
        )

    @precondition(lambda self: self.wire.status not in (PENDING, CONSENTED))
    @rule()
    def reopen(self) -> None:
        if self.attempt_to_publish(
            PENDING,
            lambda session, check: check.reopen(session, self.box, ACTOR, "x", self.clock.now()),
        ):
            self.outcomes, self.has_notice = {}, False

    @precondition(is_completed)
    @rule(screening=SCREENING_KEYS, outcome=OUTCOMES)
    def correct(self, screening: str, outcome: str) -> None:
        """Correct an outcome of a completed check: the ATS gets the result as a new revision."""
        form = RevisionForm(screening, outcome, "A text", "", f"Corrected, {self.wire.revision}")
        earlier, self.outcomes = self.outcomes, self.outcomes | {screening: outcome}
        if not self.attempt_to_publish(
            COMPLETED,
            lambda session, check: revise(session, self.box, check, form, ACTOR, self.clock.now()),
        ):
            self.outcomes = earlier

    @precondition(is_completed)
    @rule(screening=SCREENING_KEYS)
    def dispute(self, screening: str) -> None:
        self.attempt(
            lambda session, check: open_dispute(
                session, self.box, check, screening, "wrong", "It is wrong", self.clock.now()
            )
        )

    @precondition(is_completed)
    @rule(outcome=st.sampled_from(["upheld", "corrected", ""]))
    def end_disputes(self, outcome: str) -> None:
        """Answer all open disputes, or retract them."""

        def act(session: Session, check: Check) -> None:
            now = self.clock.now()
            for dispute in [dispute for dispute in check.disputes if dispute.is_open]:
                if outcome:
                    answer_dispute(session, self.box, check, dispute, outcome, "Done", ACTOR, now)
                else:
                    retract_dispute(session, check, dispute, now)

        self.attempt(act)

    @precondition(lambda self: self.wire.status == COMPLETED and not self.has_notice)
    @rule()
    def begin_adverse_action(self) -> None:
        self.has_notice |= self.attempt(
            lambda session, check: adverse_acts.begin(
                session, self.box, check, "us", 5, "", ACTOR, self.clock.now()
            )
        )

    @precondition(has_notice)
    @rule(act=st.sampled_from([adverse_acts.suspend, adverse_acts.resume]))
    def stop_or_start_clock(self, act: Callable[..., object]) -> None:
        self.attempt(lambda session, check: act(session, check, ACTOR, self.clock.now()))

    @precondition(has_notice)
    @rule(days=st.sampled_from([40, 5, 0]))
    def send_final_notice(self, days: int) -> None:
        self.clock.advance(timedelta(days=days))
        self.attempt(
            lambda session, check: adverse_acts.send_final(
                session, self.box, check, ACTOR, self.clock.now()
            )
        )

    @precondition(has_notice)
    @rule()
    def withdraw_notice(self) -> None:
        self.attempt(
            lambda session, check: adverse_acts.withdraw(
                session, self.box, check, "x", ACTOR, self.clock.now()
            )
        )

    @rule(name=st.sampled_from(sorted(ACTS)))
    def act_at_any_time(self, name: str) -> None:
        getattr(self, name)(**ACTS[name])

    @rule()
    def fail_callback(self) -> None:
        self.wire.fail_next()

    @precondition(lambda self: self.wire.status != CONSENTED)
    @rule(days=st.integers(1, 40))
    def wait(self, days: int) -> None:
        self.clock.advance(timedelta(days=days))
        self.attempt(lambda session, check: delete_expired(session, check, self.clock.now()))
        self.attempt_to_publish(EXPIRED, self._expire)

    def _expire(self, session: Session, check: Check) -> None:
        if not check.is_overdue(self.clock.now()):
            raise Conflict("The candidate has time")
        check.expire(session, self.clock.now())

    @property
    def box(self) -> SecretBox:
        return self.services.secret_box

    @invariant()
    def ats_receives_what_was_published(self) -> None:
        self.wire.deliver()
        self.wire.require_consistent()

    @invariant()
    def check_is_consistent(self) -> None:
        with self.services.db.reading() as session:
            check = Check.find(session, self.order_id)
            open_disputes = [row.screening for row in check.disputes if row.is_open]
            assert len(open_disputes) == len(set(open_disputes))
            assert check.status == COMPLETED or not open_disputes
            assert check.status == COMPLETED or check.open_action is None
            assert bool(check.tasks) == bool(check.candidate_details)
            if check.status == COMPLETED:
                assert check.result
                assert check.result.revision == check.revision
                assert not check.open_screenings()
                assert check.result_figures["overall_status"] == check.overall_status
            if action := check.open_action:  # an answer starts the clock again
                assert (action.state == STOPPED) == adverse_acts.is_stopped(check, action)
                assert action.state == STOPPED or not open_disputes
            assert not (may_read_report(check) and check.status != COMPLETED)
            statuses = list_statuses(check, self.box, self.clock.now())
            assert len(statuses) == 3


def test_state_machine_of_a_check_never_goes_backwards(fresh_database: Path) -> None:
    CheckLife.database = fresh_database
    run_state_machine_as_test(
        CheckLife,
        settings=settings(
            max_examples=12,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
