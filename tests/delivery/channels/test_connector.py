"""The channel of connectors and polling, against a strict vendor over HTTP."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from provider.config import Settings
from provider.core.kinds.check import Check
from provider.core.kinds.check.external_work import do_by_hand
from provider.core.kinds.check.tables.connector import Connector
from provider.core.kinds.check.tables.found_record import FoundRecord
from provider.core.kinds.check.vendors.trial_request import enqueue_test, last_test
from provider.core.kinds.check.vendors.vendor_acts import send_again
from provider.core.scheduled import run_if_due
from provider.delivery import Dispatcher
from provider.delivery.channels.connector import ConnectorChannel
from provider.delivery.vendor_polling import POLL_VENDORS
from provider.errors import Conflict
from provider.outbox import Attempt, Message, claim
from provider.services import Services
from tests import check_factories, check_outside_factories
from tests.check_outside_factories import (
    HEADER_SECRET,
    RESULT,
    VENDOR_SCREENING,
    read_vendor_order,
    task_state,
)
from tests.factories import ManualClock, queue_names
from tests.fake_vendor import FakeVendor

TASK = "record"
BORN = "1990-02-28"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, private_callbacks=True)


@pytest.fixture
def vendor() -> Iterator[FakeVendor]:
    with FakeVendor(HEADER_SECRET) as vendor:
        yield vendor


@pytest.fixture
def dispatcher(services: Services) -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(services)
    yield dispatcher
    dispatcher.stop()


@pytest.fixture
def check(services: Services, vendor: FakeVendor) -> str:
    """A check whose order for the vendor waits to be sent."""
    placed = check_outside_factories.place_check(services, VENDOR_SCREENING)
    with services.db.writing() as session:
        connector = session.scalars(select(Connector)).one()
        connector.url = f"{vendor.url}/orders"
    check_factories.give_consent(services, placed)
    return placed


def send(services: Services, dispatcher: Dispatcher) -> None:
    dispatcher.drain(*queue_names(services, channel="connector"))


def set_polling(services: Services, vendor: FakeVendor, minutes: int = 30) -> None:
    with services.db.writing() as session:
        connector = session.scalars(select(Connector)).one()
        connector.poll_url = f"{vendor.url}/orders/{{{{ vendor.reference }}}}"
        connector.poll_minutes = minutes


def poll(services: Services, clock: ManualClock, minutes: int = 30) -> None:
    clock.advance(timedelta(minutes=minutes))
    assert run_if_due(services, POLL_VENDORS)


def again(services: Services, public_id: str) -> None:
    with services.db.writing() as session:
        check = Check.find(session, public_id, lock=True)
        send_again(session, check, check.find_task(TASK), "sam", services.now())


def attempts(services: Services) -> list[Attempt]:
    with services.db.reading() as session:
        return list(session.scalars(select(Attempt).order_by(Attempt.id)))


def test_consent_sends_order_with_asked_details_only(
    services: Services, dispatcher: Dispatcher, vendor: FakeVendor, check: str
) -> None:
    assert task_state(services, check, TASK) == "submitted"
    send(services, dispatcher)
    (request,) = vendor.received
    vendor_order = read_vendor_order(services, check)
    connector_id = vendor_order.connector.public_id if vendor_order.connector else ""
    assert request.json == {
        "name": "Lakita Jane Marrero-Quux",
        "born": BORN,
        "order": vendor_order.key,
        "callback": f"http://provider.test/hooks/connectors/{connector_id}/{vendor_order.key}",
        "what": "Check of Criminal record",
    }
    assert request.headers["idempotency-key"] == vendor_order.key
    assert (vendor_order.state, vendor_order.reference) == ("submitted", "V-1")
    with services.db.reading() as session:
        assert Check.find(session, check).waiting_for == "vendor"


def test_messages_and_attempts_have_nothing_in_clear(
    services: Services, dispatcher: Dispatcher, vendor: FakeVendor, check: str
) -> None:
    vendor.failures.append(422)
    send(services, dispatcher)
    with services.db.reading() as session:
        stored = repr(session.execute(select(Message.__table__)).all())
        stored += repr(session.execute(select(Attempt.__table__)).all())
    for word in ("Quux", BORN, HEADER_SECRET):
        assert word not in stored


def test_failing_vendor_gets_the_same_bytes_again(
    services: Services, dispatcher: Dispatcher, vendor: FakeVendor, check: str, clock: ManualClock
) -> None:
    vendor.failures.extend([503, 429])
    for _ in range(3):
        send(services, dispatcher)
        clock.advance(timedelta(hours=1))
    first, second, third = vendor.received
    assert first.json == second.json == third.json
    assert len({request.headers["idempotency-key"] for request in vendor.received}) == 1
    assert read_vendor_order(services, check).state == "submitted"
    assert task_state(services, check, TASK) == "submitted"


def test_lost_answer_is_asked_for_again_and_orders_once(
    services: Services, dispatcher: Dispatcher, vendor: FakeVendor, check: str, clock: ManualClock
) -> None:
    vendor.drops = 1
    send(services, dispatcher)
    assert read_vendor_order(services, check).state == "to send"
    clock.advance(timedelta(minutes=10))
    send(services, dispatcher)
    assert len(vendor.orders) == 1
    assert read_vendor_order(services, check).reference == "V-1"


@pytest.mark.both
def test_process_that_dies_after_sending_orders_once(
    services: Services, dispatcher: Dispatcher, vendor: FakeVendor, check: str, clock: ManualClock
) -> None:
    channel = ConnectorChannel(services)
    (queue,) = queue_names(services, channel="connector")
    with services.db.writing() as session:
        claims = claim(session, queue, services.now(), limit=1, lease=channel.lease)
        (delivery,) = channel.prepare(session, claims)
        assert not isinstance(delivery, Exception)
    assert delivery.send().decision == "delivered"  # and the process dies before settling
    channel.close()
    clock.advance(channel.lease + timedelta(seconds=1))
    send(services, dispatcher)
    assert len(vendor.orders) == 1
    vendor_order = read_vendor_order(services, check)
    assert (vendor_order.state, vendor_order.reference) == ("submitted", "V-1")


def test_refused_order_is_a_failure_that_staff_send_again(
    services: Services, dispatcher: Dispatcher, vendor: FakeVendor, check: str
) -> None:
    vendor.failures.append(422)
    send(services, dispatcher)
    failed = read_vendor_order(services, check)
    assert (failed.state, failed.last_error) == ("error", "The vendor refuses with 422")
    assert task_state(services, check, TASK) == "error"
    with services.db.reading() as session:
        assert Check.find(session, check).waiting_for == "staff"
    again(services, check)
    assert task_state(services, check, TASK) == "submitted"
    send(services, dispatcher)
    sent = read_vendor_order(services, check)
    assert (sent.state, sent.attempt, sent.last_error) == ("submitted", 2, "")
    assert list(vendor.orders) == [sent.key]
    with pytest.raises(Conflict):
        again(services, check)


def test_wrong_credentials_are_a_failure_without_the_secret(
    services: Services,
    dispatcher: Dispatcher,
    vendor: FakeVendor,
    check: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    vendor.secret = "another"
    send(services, dispatcher)
    assert read_vendor_order(services, check).last_error == "The vendor refuses with 401"
    assert task_state(services, check, TASK) == "error"
    log = "".join(capfd.readouterr())
    for word in (HEADER_SECRET.rpartition(" ")[2], "Quux", BORN):
        assert word not in log


def test_screening_by_hand_is_not_sent(
    services: Services, dispatcher: Dispatcher, vendor: FakeVendor, check: str
) -> None:
    with services.db.writing() as session:
        order = Check.find(session, check, lock=True)
        do_by_hand(session, order, order.find_task(TASK), "sam", services.now())
    send(services, dispatcher)
    assert vendor.received == []
    assert task_state(services, check, TASK) == "in progress"


def test_detail_that_is_not_asked_for_fails_the_task(
    services: Services, dispatcher: Dispatcher, vendor: FakeVendor, check: str
) -> None:
    with services.db.writing() as session:
        connector = session.scalars(select(Connector)).one()
        connector.request_template = '{"id": "{{ candidate.national_id }}"}'
    send(services, dispatcher)
    assert vendor.received == []
    assert "does not ask" in read_vendor_order(services, check).last_error
    assert task_state(services, check, TASK) == "error"


def test_connector_that_is_switched_off_fails_the_task(
    services: Services, dispatcher: Dispatcher, vendor: FakeVendor, check: str
) -> None:
    with services.db.writing() as session:
        session.scalars(select(Connector)).one().disabled_at = services.now()
    send(services, dispatcher)
    assert vendor.received == []
    assert task_state(services, check, TASK) == "error"


def test_missing_connector_fails_the_task_at_once(services: Services) -> None:
    screening = VENDOR_SCREENING | {"connector": "unknown"}
    check = check_outside_factories.place_consented_check(services, screening)
    assert task_state(services, check, TASK) == "error"
    assert "no connector" in read_vendor_order(services, check).last_error


@pytest.mark.both
def test_polls_take_the_result_to_the_staff(
    services: Services, dispatcher: Dispatcher, vendor: FakeVendor, check: str, clock: ManualClock
) -> None:
    set_polling(services, vendor)
    send(services, dispatcher)
    poll(services, clock)
    assert read_vendor_order(services, check).state == "in progress"
    assert task_state(services, check, TASK) == "submitted"
    vendor.failures.append(500)
    poll(services, clock)
    assert "500" in read_vendor_order(services, check).last_error
    vendor.state = dict(RESULT)
    poll(services, clock)
    answered = read_vendor_order(services, check)
    assert (answered.state, answered.next_poll_at, answered.last_error) == ("answered", None, "")
    result = answered.get_result(services.secret_box)
    assert result
    assert (result.outcome, result.text) == ("consider", "One entry of zimtstern")
    assert task_state(services, check, TASK) == "in progress"
    with services.db.reading() as session:
        order = Check.find(session, check)
        (record,) = order.records
        facts = record.decrypt_facts(services.secret_box, order.public_id)
        assert (facts.kind, facts.severity) == ("conviction", "high")
        assert record.actor == "Acme Checks"
        path = order.row_path(f"records/{record.public_id}/public_text")
        assert services.secret_box.decrypt(record.public_text, path) == "Theft of quassia"
        assert order.findings == []  # a person decides
        assert not POLL_VENDORS.is_needed or not POLL_VENDORS.is_needed(session, services.now())
    assert [request.path for request in vendor.received[1:]] == ["/orders/V-1"] * 3


def test_unreadable_poll_changes_nothing(
    services: Services, dispatcher: Dispatcher, vendor: FakeVendor, check: str, clock: ManualClock
) -> None:
    set_polling(services, vendor)
    send(services, dispatcher)
    vendor.state = {"state": "mystery"}
    poll(services, clock)
    waiting = read_vendor_order(services, check)
    assert (waiting.state, waiting.next_poll_at is None) == ("submitted", False)
    assert "mystery" not in waiting.last_error  # it may name the candidate
    result = waiting.get_result(services.secret_box)
    assert result
    assert (result.outcome, result.text) == ("", "mystery")


def test_test_request_has_invented_values_only(
    services: Services, dispatcher: Dispatcher, vendor: FakeVendor, check: str
) -> None:
    send(services, dispatcher)
    with services.db.writing() as session:
        enqueue_test(session, session.scalars(select(Connector)).one(), services.now())
    send(services, dispatcher)
    request = vendor.received[-1]
    assert request.json["name"] == "Alex Sample"
    assert request.json["order"] == "test"
    with services.db.reading() as session:
        message = last_test(session, session.scalars(select(Connector)).one())
        assert message
        (attempt,) = message.attempt_history
        assert "Status: submitted. Reference: V-2." in attempt.response_excerpt
        assert session.scalars(select(FoundRecord)).all() == []


def test_private_address_is_refused_outside_of_tests(
    services: Services, vendor: FakeVendor, check: str
) -> None:
    object.__setattr__(services.settings, "private_callbacks", False)
    guarded = Dispatcher(services)
    send(services, guarded)
    guarded.stop()
    assert vendor.received == []
    assert task_state(services, check, TASK) == "submitted"
    (attempt,) = attempts(services)
    assert attempt.outcome == "retry"


def test_screening_taken_over_by_staff_is_not_sent_again(
    services: Services, dispatcher: Dispatcher, vendor: FakeVendor, check: str
) -> None:
    vendor.failures.append(422)
    send(services, dispatcher)
    with services.db.writing() as session:
        order = Check.find(session, check, lock=True)
        do_by_hand(session, order, order.find_task(TASK), "sam", services.now())
    with pytest.raises(Conflict, match="failed at the vendor"):
        again(services, check)  # from a page that was loaded before
    send(services, dispatcher)
    assert len(vendor.received) == 1
    assert read_vendor_order(services, check).state == "withdrawn"
