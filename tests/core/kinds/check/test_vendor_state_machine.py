"""Any order of sending, answers, retries, time, reopening and erasure loses and undoes nothing."""

from datetime import timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from sqlalchemy import select

from provider.core.kinds.check import Check
from provider.core.kinds.check.external_work import do_by_hand
from provider.core.kinds.check.tables.vendor_order import (
    ANSWERED,
    FAILED,
    RANKS,
    TO_SEND,
    VendorOrder,
)
from provider.core.kinds.check.vendors.vendor_acts import apply_answer, record_sent, send_again
from provider.core.kinds.check.vendors.vendor_answer import MEANINGS, VendorAnswer, VendorRecord
from provider.delivery.channels.connector import ConnectorChannel, VendorDelivery
from provider.errors import Conflict
from provider.maintenance import schema_version
from provider.maintenance.erasure import erase_order
from provider.outbox import AttemptResult, Claim, Outcome, claim, settle
from provider.services import Services
from provider.storage.database import Database
from tests import check_factories, check_outside_factories
from tests.check_outside_factories import VENDOR_SCREENING
from tests.factories import ManualClock, build_services, make_settings, queue_names

TASK = "record"
RECORD = VendorRecord("conviction", "high", "Theft")
# Whom a task may go to without staff, from each state.
NEXT_STATES = {
    "submitted": {"submitted", "error", "in progress"},
    "error": {"error", "in progress"},
    "in progress": {"in progress"},
    "done": {"done"},
}


class VendorMachine(RuleBasedStateMachine):
    """A check with one screening at a vendor, and everything that may happen to it."""

    @initialize()
    def begin(self) -> None:
        self.folder = TemporaryDirectory()
        path = Path(self.folder.name)
        self.clock = ManualClock()
        (path / "machine.db").write_bytes(_migrated_database())
        settings = make_settings(path, PROVIDER_DATABASE_URL=f"sqlite:///{path / 'machine.db'}")
        self.services: Services = build_services(settings, self.clock)
        self.channel = ConnectorChannel(self.services)
        self.check = check_outside_factories.place_consented_check(self.services, VENDOR_SCREENING)
        self.claims: list[Claim] = []
        self.old_keys: list[str] = []
        self.is_staff_act = True
        self.last: tuple[str, str] = ("", "")
        self.has_result = self.is_erased = False

    def teardown(self) -> None:
        self.channel.close()
        self.services.db.close()
        self.folder.cleanup()

    def _is_open(self) -> bool:
        return not self.is_erased

    @precondition(_is_open)
    @rule()
    def claim(self) -> None:
        """Claim the message, as a dispatcher that may die afterwards."""
        queues = queue_names(self.services, channel="connector")
        with self.services.db.writing() as session:
            for queue in queues:
                self.claims += claim(session, queue, self.services.now(), 5, self.channel.lease)

    @precondition(lambda self: self.claims and not self.is_erased)
    @rule(meaning=st.sampled_from(["", *MEANINGS]), dies=st.booleans(), code=st.booleans())
    def send(self, meaning: str, dies: bool, code: bool) -> None:
        """Deliver a claimed message: the vendor answers or refuses; the process may die then."""
        claimed = self.claims.pop(0)
        with self.services.db.reading() as session:
            (delivery,) = self.channel.prepare(session, [claimed])
        assert not isinstance(delivery, Exception)
        outcome = Outcome("rejected", error="The vendor refuses with 422")
        if not isinstance(delivery, VendorDelivery):
            outcome = delivery.send()
        elif code:
            outcome = Outcome("delivered")
            self._record_sent(delivery, meaning)
        if not dies:
            self._settle(claimed, outcome)

    def _record_sent(self, delivery: VendorDelivery, meaning: str) -> None:
        now = self.services.now()
        with self.services.db.writing() as session:
            check = Check.find(session, self.check, lock=True)
            vendor_order = session.get(VendorOrder, delivery.vendor_order_id)
            if vendor_order and vendor_order.key == delivery.key:
                answer = _answer(meaning)
                record_sent(session, self.services.secret_box, check, vendor_order, answer, now)

    def _settle(self, claimed: Claim, outcome: Outcome) -> None:
        now = self.services.now()
        result = AttemptResult(claimed, outcome, now, now)
        with self.services.db.writing() as session:
            self.channel.lock_subjects(session, [result])
            valid = settle(session, [result], now)
            if claimed.lease in valid:
                self.channel.record_outcomes(session, [result], now)

    @precondition(_is_open)
    @rule(meaning=st.sampled_from(MEANINGS), number=st.integers(0, 3))
    def answer(self, meaning: str, number: int) -> None:
        """Answer by a callback or a poll, about the present or an earlier attempt."""
        with self.services.db.writing() as session:
            check = Check.find(session, self.check, lock=True)
            for vendor_order in session.scalars(select(VendorOrder)):
                keys = [vendor_order.key, *self.old_keys]
                key = keys[number % len(keys)]
                apply_answer(
                    session,
                    self.services.secret_box,
                    check,
                    vendor_order,
                    _answer(meaning),
                    self.services.now(),
                    is_present_attempt=key == vendor_order.key,
                )

    @precondition(_is_open)
    @rule(minutes=st.sampled_from([0, 1, 5, 90]))
    def wait(self, minutes: int) -> None:
        self.clock.advance(timedelta(minutes=minutes, seconds=1))

    @precondition(_is_open)
    @rule(act=st.sampled_from(["again", "hand", "outcome"]))
    def work(self, act: str) -> None:
        """Do what staff do."""
        now, secret_box = self.services.now(), self.services.secret_box
        try:
            with self.services.db.writing() as session:
                check = Check.find(session, self.check, lock=True)
                task = check.find_task(TASK)
                if act == "again":
                    vendor_order = session.scalars(select(VendorOrder)).one()
                    self.old_keys.append(vendor_order.key)
                    send_again(session, check, task, "sam", now)
                elif act == "hand":
                    do_by_hand(session, check, task, "sam", now)
                else:
                    check.record_finding(session, secret_box, TASK, "clear", "", "sam", now)
            self.is_staff_act = True
        except Conflict:
            pass

    @precondition(_is_open)
    @rule()
    def reopen(self) -> None:
        now, secret_box = self.services.now(), self.services.secret_box
        with self.services.db.writing() as session:
            check = Check.find(session, self.check, lock=True)
            check.cancel(session, "sam", "", now)
            check.reopen(session, secret_box, "sam", "", now)
        with self.services.db.reading() as session:
            assert session.scalars(select(VendorOrder)).all() == []
        check_factories.give_consent(self.services, self.check)
        self.old_keys, self.has_result, self.is_staff_act = [], False, True

    @precondition(_is_open)
    @rule()
    def erase(self) -> None:
        self.clock.advance(timedelta(hours=2))  # no lease is left
        now = self.services.now()
        with self.services.db.writing() as session:
            Check.find(session, self.check, lock=True).cancel(session, "sam", "", now)
        erase_order(
            self.services.db,
            self.services.media,
            self.services.secret_box,
            self.check,
            actor="sam",
            now=now,
            give_up_deliveries=True,
        )
        self.is_erased = True
        with self.services.db.reading() as session:
            assert session.scalars(select(VendorOrder)).all() == []

    @precondition(lambda self: self.is_erased)
    @rule()
    def rest(self) -> None:
        """Do nothing after the erasure: there is nothing left."""

    @invariant()
    def nothing_goes_backwards(self) -> None:
        if not hasattr(self, "services") or self.is_erased:
            return
        with self.services.db.reading() as session:
            check = Check.find(session, self.check)
            task = check.find_task(TASK)
            vendor_order = session.scalars(select(VendorOrder)).one()
            state = (task.state, vendor_order.state)
            if not self.is_staff_act:
                assert task.state in NEXT_STATES[self.last[0]], (self.last, state)
                assert RANKS[vendor_order.state] >= RANKS[self.last[1]], (self.last, state)
            self._check_pair(session, check, vendor_order, task.state)
            self.last, self.is_staff_act = state, False

    def _check_pair(
        self, session: Any, check: Check, vendor_order: VendorOrder, task_state: str
    ) -> None:
        """A task waits for the vendor only while the vendor has it, and a result is stored once."""
        if task_state == "submitted":
            assert vendor_order.state in (TO_SEND, "submitted", "in progress")
            assert check.waiting_for == "vendor"
        if vendor_order.state == FAILED:
            assert task_state in ("error", "done")
        if vendor_order.state == ANSWERED:
            self.has_result = True
            assert vendor_order.answer_encrypted is not None
        if self.has_result:
            assert vendor_order.get_result(self.services.secret_box) is not None


@cache
def _migrated_database() -> bytes:
    """Return the bytes of an empty database: to migrate one for each example takes too long."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        db = Database(f"sqlite:///{path}")
        schema_version.upgrade(db)
        db.close()
        return path.read_bytes()


def _answer(meaning: str) -> VendorAnswer:
    records = (RECORD,) if meaning == "consider" else ()
    return VendorAnswer(meaning, "V-1", "", records)


TestVendorMachine = VendorMachine.TestCase
TestVendorMachine.settings = hypothesis_settings(
    max_examples=12, stateful_step_count=25, deadline=None
)
