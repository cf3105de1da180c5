"""A state machine over the life of a check: what goes to the ATS never goes backwards.

The rules are what the candidate and the staff do, in any order. Only a reopening, which is a
revision of its own, leads back to an earlier status.
"""

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy.orm import Session

from provider import outbox
from provider.core.kinds.check import Check
from provider.core.kinds.check.disputes import (
    answer_dispute,
    find_open_dispute,
    open_dispute,
    retract_dispute,
)
from provider.core.kinds.check.screening_retention import delete_expired
from provider.core.kinds.check.screening_status import list_statuses, may_read_report
from provider.core.kinds.check.tables.screening_task import OPEN_STATES
from provider.core.orders import COMPLETED, CONSENTED, FINAL_STATUSES, PENDING
from provider.errors import Conflict, Invalid, NotFound
from tests import check_factories, factories
from tests.factories import ManualClock

ACTOR = "sam@provider.test"
SCREENING_KEYS = st.sampled_from(["identity", "jobs", "record"])
OUTCOMES = st.sampled_from(["clear", "consider"])
RANKS = {PENDING: 0, CONSENTED: 1} | dict.fromkeys(FINAL_STATUSES, 2)


class CheckLife(RuleBasedStateMachine):
    """One check. `wire` are the statuses that the ATS gets, with their revisions."""

    database: ClassVar[Path]

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        path = Path(self.folder.name)
        shutil.copy(self.database, path / "provider.db")
        options = factories.make_settings(
            path, PROVIDER_DATABASE_URL=f"sqlite:///{path / 'provider.db'}"
        )
        self.clock = ManualClock()
        self.services = factories.build_services(options, self.clock)
        product = check_factories.create_package(self.services)
        self.order_id = check_factories.place_check(self.services, product)
        self.wire: list[tuple[int, str]] = []
        self.reopenings = 0

    def teardown(self) -> None:
        self.services.db.close()
        self.folder.cleanup()

    def attempt(self, act: Callable[[Session, Check], object]) -> bool:
        """Do something in a transaction; return whether it was allowed."""
        self.clock.advance(timedelta(minutes=1))
        try:
            with self.services.db.writing() as session:
                act(session, Check.find(session, self.order_id, lock=True))
        except (Conflict, Invalid, NotFound):
            assert self.read_wire() == self.wire, "a refused act tells the ATS nothing"
            return False
        return True

    def attempt_silently(self, act: Callable[[Session, Check], object]) -> None:
        self.attempt(act)
        assert self.read_wire() == self.wire, "this act tells the ATS nothing"

    def read_wire(self) -> list[tuple[int, str]]:
        box = self.services.secret_box
        with self.services.db.reading() as session:
            history = outbox.history(session, self.order_id)
            payloads = [(row.sequence, row.get_payload(box)) for row in history]
        return [(number, values["status"]) for number, values in payloads if "status" in values]

    @rule()
    def consent(self) -> None:
        def act(session: Session, check: Check) -> None:
            check.give_consent(
                session,
                self.services.secret_box,
                "Lakita",
                check_factories.FORM_VALUES,
                ip_address="",
                user_agent="",
                now=self.clock.now(),
            )

        self.attempt(act)

    @rule()
    def decline(self) -> None:
        self.attempt(lambda session, check: check.decline(session, "No", self.clock.now()))

    @rule(screening=SCREENING_KEYS, outcome=OUTCOMES)
    def record_outcome(self, screening: str, outcome: str) -> None:
        self.attempt_silently(
            lambda session, check: check.record_finding(
                session,
                self.services.secret_box,
                screening,
                outcome,
                "",
                ACTOR,
                self.clock.now(),
                report_text="A text",
            )
        )

    @rule(screening=SCREENING_KEYS, state=st.sampled_from(sorted(OPEN_STATES)))
    def change_task(self, screening: str, state: str) -> None:
        def act(session: Session, check: Check) -> None:
            task = check.find_task(screening)
            if task.is_open:
                task.state = state
                check.update_progress(session)

        self.attempt_silently(act)

    @rule()
    def complete_all(self) -> None:
        """Enter the outcomes that are missing, and complete the check."""

        def act(session: Session, check: Check) -> None:
            box, now = self.services.secret_box, self.clock.now()
            for screening in check.open_screenings():
                check.record_finding(session, box, screening.key, "clear", "", ACTOR, now)
            check.conclude(session, box, ACTOR, now)

        self.attempt(act)

    @rule()
    def complete(self) -> None:
        box = self.services.secret_box
        self.attempt(lambda session, check: check.conclude(session, box, ACTOR, self.clock.now()))

    @rule()
    def cancel(self) -> None:
        self.attempt(lambda session, check: check.cancel(session, ACTOR, "x", self.clock.now()))

    @rule()
    def reopen(self) -> None:
        box = self.services.secret_box
        self.reopenings += self.attempt(
            lambda session, check: check.reopen(session, box, ACTOR, "x", self.clock.now())
        )

    @rule(screening=SCREENING_KEYS)
    def dispute(self, screening: str) -> None:
        box = self.services.secret_box
        self.attempt_silently(
            lambda session, check: open_dispute(
                session, box, check, screening, "wrong", "It is wrong", self.clock.now()
            )
        )

    @rule(screening=SCREENING_KEYS, outcome=st.sampled_from(["upheld", "corrected", ""]))
    def end_dispute(self, screening: str, outcome: str) -> None:
        def act(session: Session, check: Check) -> None:
            now = self.clock.now()
            if dispute := find_open_dispute(check, screening):
                if outcome:
                    box = self.services.secret_box
                    answer_dispute(session, box, check, dispute, outcome, "Done", ACTOR, now)
                else:
                    retract_dispute(session, check, dispute, now)

        self.attempt_silently(act)

    @rule(days=st.integers(1, 40))
    def wait(self, days: int) -> None:
        self.clock.advance(timedelta(days=days))
        self.attempt_silently(
            lambda session, check: delete_expired(session, check, self.clock.now())
        )
        if self.clock.now() > self.clock_end():
            self.attempt(lambda session, check: self._expire(session, check))

    def clock_end(self) -> Any:
        with self.services.db.reading() as session:
            return Check.find(session, self.order_id).expires_at

    def _expire(self, session: Session, check: Check) -> None:
        if check.is_overdue(self.clock.now()):
            check.expire(session, self.clock.now())

    @invariant()
    def wire_never_goes_backwards(self) -> None:
        wire = self.read_wire()
        assert wire[: len(self.wire)] == self.wire, "a callback that was sent is not changed"
        self.wire = wire
        revisions = [revision for revision, _ in wire]
        assert revisions == sorted(set(revisions))
        statuses = [status for _, status in wire]
        for earlier, later in zip([PENDING, *statuses], statuses, strict=False):
            assert later == PENDING or RANKS[later] > RANKS[earlier], (earlier, later)
        assert statuses.count(PENDING) == self.reopenings

    @invariant()
    def check_is_consistent(self) -> None:
        wire = self.read_wire()
        with self.services.db.reading() as session:
            check = Check.find(session, self.order_id)
            assert check.status == (wire[-1][1] if wire else PENDING)
            open_disputes = [row.screening for row in check.disputes if row.is_open]
            assert len(open_disputes) == len(set(open_disputes))
            assert check.status == COMPLETED or not open_disputes
            assert bool(check.tasks) == bool(check.candidate_details)
            if check.status == COMPLETED:
                assert check.result
                assert check.result.revision == check.revision
                assert not check.open_screenings()
                assert check.result_figures["overall_status"] == check.overall_status
            assert not (may_read_report(check) and check.status != COMPLETED)
            statuses = list_statuses(check, self.services.secret_box, self.clock.now())
            assert len(statuses) == 3


def test_state_machine_of_a_check_never_goes_backwards(fresh_database: Path) -> None:
    CheckLife.database = fresh_database
    run_state_machine_as_test(
        CheckLife,
        settings=settings(
            max_examples=12,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
