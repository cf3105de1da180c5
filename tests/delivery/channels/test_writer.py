"""Writers: what is written into the ATS at the end of an order, once, and by its own queue."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import update

from provider import outbox
from provider.core.connections import AccountSecret
from provider.core.orders import Order
from provider.delivery import Dispatcher
from provider.outbox import WRITER, Message, QueueName
from provider.services import Services
from tests import factories
from tests.delivery.api_world import ApiWorld, dummy_server
from tests.dummy_ats import KEY, FakeDummy, registered_dummy
from tests.factories import ManualClock
from tests.fakes.vendor import VendorRequest, hang_up, html_page, status


@pytest.fixture
def fake(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDummy]:
    with registered_dummy(monkeypatch), dummy_server(clock) as fake:
        yield fake


@pytest.fixture
def world(services: Services, clock: ManualClock, fake: FakeDummy) -> ApiWorld:
    world = ApiWorld.of_dummy(services, clock, fake)
    world.add_known_rule()
    fake.add(1)
    world.read()
    return world


@pytest.fixture
def dispatcher(world: ApiWorld) -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(world.services)
    yield dispatcher
    dispatcher.stop()


@pytest.fixture
def order(world: ApiWorld) -> str:
    return world.order_ids()[0]


def notes(fake: FakeDummy) -> list[str]:
    return fake.people[1].notes


@pytest.mark.both
def test_result_is_written_once_with_its_marker(
    world: ApiWorld, dispatcher: Dispatcher, fake: FakeDummy, order: str
) -> None:
    factories.finish_test(world.services, order)
    assert world.deliver(dispatcher) == 1
    assert notes(fake) == [f"Reasoning: excelled [order {order}, 1]"]
    assert world.message_states() == {"note": ["delivered"]}


def test_order_of_a_rule_has_no_callback(world: ApiWorld, order: str) -> None:
    factories.finish_test(world.services, order)
    assert set(world.message_states()) == {"note"}


def test_switch_off_writes_nothing(world: ApiWorld, order: str) -> None:
    world.set_options(notes=False)
    factories.finish_test(world.services, order)
    assert world.message_states() == {}


@pytest.mark.parametrize("has_failed", [False, True])
def test_switch_off_after_the_result_writes_nothing(
    world: ApiWorld, dispatcher: Dispatcher, fake: FakeDummy, order: str, has_failed: bool
) -> None:
    factories.finish_test(world.services, order)
    if has_failed:
        fake.fail_next("POST", "/notes", status(503))
        world.deliver(dispatcher)
    world.set_options(notes=False)
    fake.request_log.clear()
    world.clock.advance(timedelta(minutes=1))
    world.deliver(dispatcher)
    assert fake.request_log == []
    assert world.message_states() == {"note": ["superseded"]}
    assert "the account's settings no longer ask for it" in world.stored_texts()


def test_message_that_nobody_wants_resumes_no_paused_account(
    world: ApiWorld, dispatcher: Dispatcher, fake: FakeDummy, order: str
) -> None:
    fake.key = "another key"
    factories.finish_test(world.services, order)
    world.deliver(dispatcher)
    world.set_options(notes=False)
    world.clock.advance(timedelta(hours=1))
    assert world.deliver(dispatcher) == 1
    scope = f"account/{world.account_id}/{WRITER}"
    with world.services.db.reading() as session:
        assert scope in outbox.active_pauses(session, [scope])


@pytest.mark.parametrize("failure", [hang_up, status(500), status(503), html_page])
def test_write_whose_answer_was_lost_is_not_repeated(
    world: ApiWorld, dispatcher: Dispatcher, fake: FakeDummy, order: str, failure: object
) -> None:
    factories.finish_test(world.services, order)
    fake.fail_next("POST", "/notes", failure, after=True)  # type: ignore[arg-type]
    world.deliver(dispatcher)
    assert world.message_states() == {"note": ["waiting"]}
    world.clock.advance(timedelta(minutes=1))
    world.deliver(dispatcher)
    assert len(notes(fake)) == 1
    assert world.message_states() == {"note": ["delivered"]}


@pytest.mark.both
def test_process_killed_after_the_write_does_not_repeat_it(
    world: ApiWorld, dispatcher: Dispatcher, fake: FakeDummy, order: str
) -> None:
    """The ATS has committed, and the process died before it settled the message."""
    factories.finish_test(world.services, order)
    queue = str(QueueName(world.account_id, WRITER, "127.0.0.1"))
    with world.services.db.writing() as session:
        channel = dispatcher._channels[WRITER]
        claims = outbox.claim(session, queue, world.clock.now(), 1, channel.lease)
        (delivery,) = channel.prepare(session, claims)
        assert not isinstance(delivery, Exception)
    assert delivery.send().decision == "delivered"
    world.clock.advance(channel.lease)
    world.deliver(dispatcher)
    assert len(notes(fake)) == 1
    assert world.message_states() == {"note": ["delivered"]}


def test_correction_after_reopening_is_a_second_note(
    world: ApiWorld, dispatcher: Dispatcher, fake: FakeDummy, order: str
) -> None:
    factories.finish_test(world.services, order, {})
    world.deliver(dispatcher)
    with world.services.db.writing() as session:
        found = Order.find(session, order)
        found.reopen(session, world.services.secret_box, "staff", "", world.clock.now())
    factories.finish_test(world.services, order)
    world.deliver(dispatcher)
    first, second = notes(fake)
    assert first == f"Reasoning: failed [order {order}, 1]"
    assert second == f"Correction: Reasoning: excelled [order {order}, 3]"


def test_note_for_a_deleted_person_fails_with_a_sentence(
    world: ApiWorld, dispatcher: Dispatcher, fake: FakeDummy, order: str
) -> None:
    fake.people.clear()
    factories.finish_test(world.services, order)
    world.deliver(dispatcher)
    assert world.message_states() == {"note": ["parked"]}
    assert "The person is gone" in world.stored_texts()


@pytest.mark.both
def test_refused_key_pauses_the_writers_and_a_new_key_resumes_them(
    world: ApiWorld, dispatcher: Dispatcher, fake: FakeDummy, order: str
) -> None:
    fake.key = "another key"
    factories.finish_test(world.services, order)
    fake.request_log.clear()
    world.deliver(dispatcher)
    world.deliver(dispatcher)
    assert len(fake.request_log) == 1
    world.set_secret("key", "another key")
    world.deliver(dispatcher)
    assert len(notes(fake)) == 1


@pytest.mark.both
def test_key_replaced_during_a_request_pauses_nothing(
    world: ApiWorld, dispatcher: Dispatcher, fake: FakeDummy, order: str
) -> None:
    def replace_key(request: VendorRequest) -> None:
        fake.before_request.clear()
        fake.key = "another key"
        world.set_secret("key", "another key")

    factories.finish_test(world.services, order)
    fake.before_request.append(replace_key)
    world.deliver(dispatcher)
    world.deliver(dispatcher)
    assert notes(fake) == [f"Reasoning: excelled [order {order}, 1]"]
    assert "refuses the account's credentials with 401" in world.stored_texts()


def test_too_many_requests_pause_the_queue_as_the_ats_asks(
    world: ApiWorld, dispatcher: Dispatcher, fake: FakeDummy, order: str
) -> None:
    factories.finish_test(world.services, order)
    fake.fail_next("POST", "/notes", status(429, Retry_After="60"))
    world.deliver(dispatcher)
    world.clock.advance(timedelta(seconds=59))
    assert world.deliver(dispatcher) == 0
    world.clock.advance(timedelta(seconds=2))
    assert world.deliver(dispatcher) == 1
    assert len(notes(fake)) == 1


@pytest.mark.both
def test_budget_is_never_exceeded_and_every_note_is_written(
    services: Services,
    clock: ManualClock,
    fake: FakeDummy,
    world: ApiWorld,
    dispatcher: Dispatcher,
) -> None:
    for number in range(2, 13):
        fake.add(number, email=f"p{number}@example.org")
    world.read_next()
    world.set_options(limit=100)  # what we believe at first
    fake.budget_limit = 5
    for public_id in world.order_ids():
        factories.finish_test(world.services, public_id)
    for _ in range(40):
        world.deliver(dispatcher)
        world.clock.advance(timedelta(seconds=2))
    assert all(len(person.notes) == 1 for person in fake.people.values())
    refused = [line for line in fake.request_log if line.status_code == 429]
    assert len(refused) <= 4  # the first burst, before the header told the limit


def test_rounds_leave_a_share_of_the_budget_to_writers(
    world: ApiWorld, dispatcher: Dispatcher, fake: FakeDummy, order: str
) -> None:
    world.set_options(limit=10)
    fake.budget_limit = 10
    fake.lazy_people = 60
    factories.finish_test(world.services, order)
    fake.request_log.clear()
    world.read_next()
    assert len(fake.requests("GET", "/people?")) == 7
    assert world.cursor().page_state == {"page": 8}
    world.deliver(dispatcher)
    assert len(notes(fake)) == 1
    assert {line.status_code for line in fake.request_log} == {200, 201}


def test_secret_that_cannot_be_decrypted_pauses_the_account_alone(
    world: ApiWorld, dispatcher: Dispatcher, fake: FakeDummy, order: str
) -> None:
    with world.services.db.writing() as session:
        session.execute(update(AccountSecret).values(value_encrypted=b"x" * 60))
    factories.finish_test(world.services, order)
    fake.request_log.clear()
    world.deliver(dispatcher)
    assert fake.request_log == []
    assert world.message_states() == {"note": ["waiting"]}
    with world.services.db.reading() as session:
        scopes = outbox.active_pauses(session, [f"account/{world.account_id}/{WRITER}"])
        assert "cannot be decrypted" in scopes[f"account/{world.account_id}/{WRITER}"].reason


def test_body_is_stored_encrypted_and_attempts_hold_no_key(
    world: ApiWorld, dispatcher: Dispatcher, fake: FakeDummy, order: str
) -> None:
    factories.finish_test(world.services, order)
    fake.fail_next("POST", "/notes", status(418, f'"{KEY}"'.encode()))
    world.deliver(dispatcher)
    with world.services.db.reading() as session:
        message = session.query(Message).filter(Message.topic == "note").one()
        assert message.body_encrypted
        assert b"Reasoning" not in message.body_encrypted
    assert KEY not in world.stored_texts()
