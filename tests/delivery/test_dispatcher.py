"""The dispatcher with a real receiver, and the in-process runner."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from provider import outbox
from provider.ats import StatusUpdate
from provider.ats.workable.payload import build_payload
from provider.core.accounts import Account, Caller
from provider.core.orders import Order
from provider.core.orders.given_time import ARRIVAL_GRACE
from provider.core.scheduled import ScheduledWork, WorkContext
from provider.delivery import Dispatcher, InProcessDispatcher
from provider.delivery.circuit_breaker import FAILURE_THRESHOLD
from provider.delivery.http import client as client_module
from provider.outbox import DEFAULT_LEASE, Attempt, Message, Pause
from provider.services import Services
from tests import factories
from tests.factories import ManualClock
from tests.fake_ats import FakeAts, respond_with


@pytest.fixture
def services(services: Services) -> Services:
    """Services that allow callbacks to this machine."""
    return replace(services, settings=replace(services.settings, private_callbacks=True))


@pytest.fixture
def dispatcher(services: Services) -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(services)
    yield dispatcher
    dispatcher.stop()


@pytest.fixture
def place_order(services: Services, ats: FakeAts) -> Callable[..., str]:
    account, _ = factories.create_account(services)
    test = factories.create_test(services)
    return lambda path="/assessments/1": factories.place_order(
        services, account, test, callback_url=ats.url + path
    )


def decline(services: Services, *orders: str) -> None:
    with services.db.writing() as session:
        for order in orders:
            Order.find(session, order).decline(session, "", services.now())


def messages(services: Services) -> list[tuple[str, int]]:
    with services.db.reading() as session:
        rows = session.scalars(
            select(Message).where(Message.topic == "status").order_by(Message.id)
        ).all()
        return [(row.state, row.attempts) for row in rows]


def attempts(services: Services) -> list[tuple[str, int | None]]:
    with services.db.reading() as session:
        rows = session.scalars(select(Attempt).order_by(Attempt.id)).all()
        return [(row.outcome, row.status_code) for row in rows]


def test_status_is_put_to_callback_url_with_headers(
    services: Services, dispatcher: Dispatcher, ats: FakeAts, place_order: Callable[..., str]
) -> None:
    order = place_order()
    decline(services, order)
    assert dispatcher.drain(*factories.queue_names(services)) == 1
    (put,) = ats.received
    assert (put.method, put.path) == ("PUT", "/assessments/1")
    assert put.json == {"status": "rejected"}
    assert put.headers["Authorization"] == "Bearer cb-token"
    assert put.headers["Content-Type"] == "application/json"
    assert put.headers["User-Agent"].startswith("provider/")
    assert put.headers["X-Provider-Sequence"] == "1"
    assert len(put.headers["Idempotency-Key"]) == 22
    assert "Cookie" not in put.headers
    assert messages(services) == [("delivered", 1)]


def test_callback_body_equals_polling_response(
    services: Services, dispatcher: Dispatcher, ats: FakeAts, place_order: Callable[..., str]
) -> None:
    order = place_order()
    factories.finish_test(services, order)
    dispatcher.drain(*factories.queue_names(services))
    with services.db.reading() as session:
        caller = Caller.from_account(Order.find(session, order).account)
        update = StatusUpdate.for_poll(
            session, services.secret_box, services.urls, "assessment", order, caller
        )
        assert ats.received[0].json == build_payload(update)
    assert ats.received[0].json["status"] == "completed"


@pytest.mark.both
def test_retry_follows_schedule_and_sends_the_same_bytes(
    services: Services,
    dispatcher: Dispatcher,
    ats: FakeAts,
    place_order: Callable[..., str],
    clock: ManualClock,
) -> None:
    factories.finish_test(services, place_order())
    ats.responses.extend([500, 503, 200])
    dispatcher.drain(*factories.queue_names(services))
    assert messages(services) == [("waiting", 1)]
    assert dispatcher.drain(*factories.queue_names(services)) == 0
    clock.advance(timedelta(seconds=5 * 1.2))
    dispatcher.drain(*factories.queue_names(services))
    clock.advance(timedelta(minutes=5 * 0.79))
    assert dispatcher.drain(*factories.queue_names(services)) == 0
    clock.advance(timedelta(minutes=5 * 0.42))
    dispatcher.drain(*factories.queue_names(services))
    assert messages(services) == [("delivered", 3)]
    assert len({put.body for put in ats.received}) == 1
    assert len({put.headers["Idempotency-Key"] for put in ats.received}) == 1
    assert attempts(services) == [("retry", 500), ("retry", 503), ("delivered", 200)]


@pytest.mark.both
def test_404_is_parked_after_three_in_a_row_and_after_requeue(
    services: Services,
    dispatcher: Dispatcher,
    ats: FakeAts,
    place_order: Callable[..., str],
    clock: ManualClock,
) -> None:
    def attempt_with(*codes: int) -> tuple[str, int]:
        ats.responses.extend(codes)
        for _ in codes:
            assert dispatcher.drain(*factories.queue_names(services)) == 1
            clock.advance(timedelta(days=2))
        return messages(services)[0]

    decline(services, place_order())
    assert attempt_with(503, 502, 404, 404) == ("waiting", 4)
    assert attempt_with(404) == ("parked", 5)
    for attempt_count in (8, 11):
        with services.db.writing() as session:
            message = session.scalars(select(Message).where(Message.topic == "status")).one()
            outbox.requeue(session, message, services.now())
        assert attempt_with(404, 404) == ("waiting", attempt_count - 1)
        assert attempt_with(404) == ("parked", attempt_count)


@pytest.mark.both
def test_requeued_message_starts_the_retry_schedule_again(
    services: Services,
    dispatcher: Dispatcher,
    ats: FakeAts,
    place_order: Callable[..., str],
    clock: ManualClock,
) -> None:
    decline(services, place_order())
    ats.responses.extend([500, 410, 500])
    for _ in range(2):
        dispatcher.drain(*factories.queue_names(services))
        clock.advance(timedelta(days=2))
    with services.db.writing() as session:
        message = session.scalars(select(Message).where(Message.topic == "status")).one()
        outbox.requeue(session, message, services.now())
    dispatcher.drain(*factories.queue_names(services))
    clock.advance(timedelta(seconds=5 * 1.2))
    dispatcher.drain(*factories.queue_names(services))
    assert messages(services) == [("delivered", 4)]


@pytest.mark.parametrize("retry_after", ["0", "1", "an hour ago"])
def test_short_retry_after_is_raised_to_first_schedule_step(
    services: Services,
    dispatcher: Dispatcher,
    ats: FakeAts,
    place_order: Callable[..., str],
    clock: ManualClock,
    retry_after: str,
) -> None:
    decline(services, place_order())
    past = format_datetime(clock.now() - timedelta(hours=1), usegmt=True)
    header = past if retry_after == "an hour ago" else retry_after
    ats.responses.append(respond_with(503, Retry_After=header))
    dispatcher.drain(*factories.queue_names(services))
    clock.advance(timedelta(seconds=5 * 0.79))
    assert dispatcher.drain(*factories.queue_names(services)) == 0
    clock.advance(timedelta(seconds=5 * 0.42))
    assert dispatcher.drain(*factories.queue_names(services)) == 1


@pytest.mark.both
def test_retry_after_reopen_still_sends_the_old_status(
    services: Services,
    dispatcher: Dispatcher,
    ats: FakeAts,
    place_order: Callable[..., str],
    clock: ManualClock,
) -> None:
    order = place_order()
    decline(services, order)
    with services.db.writing() as session:
        Order.find(session, order).reopen(
            session, services.secret_box, "sam", "asked", services.now()
        )
    ats.responses.append(500)
    dispatcher.drain(*factories.queue_names(services))
    clock.advance(timedelta(seconds=10))
    dispatcher.drain(*factories.queue_names(services))
    statuses = [put.json["status"] for put in ats.received]
    assert statuses == ["rejected", "rejected", "pending"]


def test_retry_after_changed_options_sends_the_same_bytes(
    services: Services,
    ats: FakeAts,
    dispatcher: Dispatcher,
    place_order: Callable[..., str],
    clock: ManualClock,
) -> None:
    decline(services, place_order())
    ats.responses.append(503)
    dispatcher.drain(*factories.queue_names(services))
    with services.db.writing() as session:
        session.scalars(select(Account)).one().options = {"declined": True}
    clock.advance(timedelta(minutes=1))
    dispatcher.drain(*factories.queue_names(services))
    assert [put.body for put in ats.received] == [b'{"status": "rejected"}'] * 2


def test_unreachable_host_is_paused(services: Services, dispatcher: Dispatcher) -> None:
    account, test = factories.create_account(services)[0], factories.create_test(services)
    with FakeAts() as closed_ats:
        urls = [f"{closed_ats.url}/{number}" for number in range(FAILURE_THRESHOLD)]
    decline(
        services,
        *(factories.place_order(services, account, test, callback_url=url) for url in urls),
    )
    dispatcher.drain(*factories.queue_names(services))
    with services.db.reading() as session:
        assert session.scalars(select(Pause.reason)).all() == ["The receiver could not be reached"]


def test_hanging_receiver_costs_one_attempt_and_blocks_nothing(
    services: Services,
    dispatcher: Dispatcher,
    ats: FakeAts,
    place_order: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_module, "TIMEOUT_SECONDS", 0.3)
    test_ended = threading.Event()

    def hang(_handler: BaseHTTPRequestHandler) -> None:
        test_ended.wait(10)

    ats.responses.append(hang)
    decline(services, place_order("/1"))
    dispatcher.drain(*factories.queue_names(services))
    decline(services, place_order("/2"))
    dispatcher.drain(*factories.queue_names(services))
    test_ended.set()
    assert messages(services) == [("waiting", 1), ("delivered", 1)]
    with services.db.reading() as session:
        first = session.scalars(select(Attempt).order_by(Attempt.id)).first()
        assert first
        assert first.error == "The receiver did not answer in time"


def test_slow_response_is_cut_off_at_the_deadline(
    services: Services,
    dispatcher: Dispatcher,
    ats: FakeAts,
    place_order: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_module, "TIMEOUT_SECONDS", 0.3)
    cut_off, pause = threading.Event(), threading.Event()

    def respond_slowly(handler: BaseHTTPRequestHandler) -> None:
        """Send a byte at a time: each is in time, all together are not."""
        handler.send_response(200)
        handler.end_headers()
        try:
            for _ in range(200):
                handler.wfile.write(b"x")
                pause.wait(0.05)
        except OSError:
            cut_off.set()
            handler.close_connection = True

    ats.responses.append(respond_slowly)
    decline(services, place_order())
    dispatcher.drain(*factories.queue_names(services))
    assert cut_off.wait(5)
    assert messages(services) == [("delivered", 1)]  # the status line had 200


def test_incomplete_body_after_200_counts_as_delivered(
    services: Services, dispatcher: Dispatcher, ats: FakeAts, place_order: Callable[..., str]
) -> None:
    def close_early(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b"half")
        handler.close_connection = True

    ats.responses.append(close_early)
    decline(services, place_order())
    dispatcher.drain(*factories.queue_names(services))
    assert messages(services) == [("delivered", 1)]


def respond_without_end(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b"x" * 65536)
    except OSError:
        handler.close_connection = True


def test_endless_response_is_read_up_to_the_cap(
    services: Services, dispatcher: Dispatcher, ats: FakeAts, place_order: Callable[..., str]
) -> None:
    ats.responses.append(respond_without_end)
    decline(services, place_order())
    dispatcher.drain(*factories.queue_names(services))
    assert messages(services) == [("delivered", 1)]


def redirect(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(302)
    handler.send_header("Location", "/elsewhere")
    handler.send_header("Set-Cookie", "a=b")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def test_redirect_is_not_followed_and_parks_after_three(
    services: Services,
    dispatcher: Dispatcher,
    ats: FakeAts,
    place_order: Callable[..., str],
    clock: ManualClock,
) -> None:
    ats.responses.extend([redirect] * 3)
    decline(services, place_order())
    for _ in range(4):
        dispatcher.drain(*factories.queue_names(services))
        clock.advance(timedelta(hours=2))
    assert messages(services) == [("parked", 3)]
    assert {put.path for put in ats.received} == {"/assessments/1"}
    assert all("Cookie" not in put.headers for put in ats.received)


@pytest.mark.both
def test_410_parks_at_once_and_successor_is_delivered(
    services: Services, dispatcher: Dispatcher, ats: FakeAts, place_order: Callable[..., str]
) -> None:
    order = place_order()
    decline(services, order)
    with services.db.writing() as session:
        Order.find(session, order).reopen(
            session, services.secret_box, "sam", "asked", services.now()
        )
    ats.responses.append(410)
    dispatcher.drain(*factories.queue_names(services))
    assert messages(services) == [("superseded", 1), ("delivered", 1)]


def test_refused_connection_is_retried(
    services: Services, dispatcher: Dispatcher, place_order: Callable[..., str]
) -> None:
    account, _ = factories.create_account(services, "Nobody Ltd")
    order = factories.place_order(
        services,
        account,
        factories.create_test(services, key="other"),
        callback_url="http://127.0.0.1:9/x",
    )
    decline(services, order)
    dispatcher.drain(*factories.queue_names(services, account))
    assert messages(services) == [("waiting", 1)]
    with services.db.reading() as session:
        assert session.scalars(select(Attempt.error)).one() == "The receiver could not be reached"


def test_private_address_is_rejected_by_default(
    services: Services, ats: FakeAts, place_order: Callable[..., str]
) -> None:
    decline(services, place_order())
    strict = Dispatcher(
        replace(services, settings=replace(services.settings, private_callbacks=False))
    )
    strict.drain(*factories.queue_names(services))
    strict.stop()
    assert ats.received == []
    assert messages(services) == [("parked", 1)]


def test_statuses_of_many_orders_arrive_in_order(
    services: Services,
    dispatcher: Dispatcher,
    ats: FakeAts,
    place_order: Callable[..., str],
    clock: ManualClock,
) -> None:
    orders = [place_order(f"/{number}") for number in range(40)]
    for order in orders:
        decline(services, order)
        with services.db.writing() as session:
            declined = Order.find(session, order)
            declined.reopen(session, services.secret_box, "sam", "asked", services.now())
            declined.cancel(session, "sam", "enough", services.now())
    ats.responses.extend([500, 200, 503] * 5)
    for _ in range(6):
        dispatcher.drain(*factories.queue_names(services))
        clock.advance(timedelta(hours=2))
    for number in range(40):
        statuses = [p.json["status"] for p in ats.received if p.path == f"/{number}"]
        distinct = sorted(set(statuses), key=statuses.index)
        assert distinct == ["rejected", "pending", "expired"]
        assert statuses == sorted(statuses, key=distinct.index)
    assert {state for state, _ in messages(services)} == {"delivered"}


@pytest.mark.both
def test_dead_dispatcher_only_delays_until_lease_expires(
    services: Services,
    ats: FakeAts,
    dispatcher: Dispatcher,
    place_order: Callable[..., str],
    clock: ManualClock,
) -> None:
    decline(services, place_order())
    (queue,) = factories.queue_names(services)
    with services.db.writing() as session:
        outbox.claim(session, queue, services.now(), 10)  # and then its process is killed
    assert dispatcher.drain(*factories.queue_names(services)) == 0
    clock.advance(DEFAULT_LEASE)
    assert dispatcher.drain(*factories.queue_names(services)) == 1
    assert messages(services) == [("delivered", 1)]


@pytest.mark.both
def test_unrenderable_message_is_parked_and_blocks_nothing(
    services: Services, dispatcher: Dispatcher, ats: FakeAts, place_order: Callable[..., str]
) -> None:
    first, second = place_order("/1"), place_order("/2")
    decline(services, first, second)
    with services.db.writing() as session:
        broken = session.scalars(
            select(Message).where(Message.ordering_key == first, Message.topic == "status")
        ).one()
        intact = session.scalars(select(Message).where(Message.ordering_key == second)).first()
        assert intact
        # As if the table were edited: a ciphertext is bound to its row.
        broken.payload_encrypted = intact.payload_encrypted
    dispatcher.drain(*factories.queue_names(services))
    assert messages(services) == [("parked", 1), ("delivered", 1)]
    assert [put.path for put in ats.received] == ["/2"]


def test_tokens_are_neither_in_database_nor_in_log(
    services: Services,
    dispatcher: Dispatcher,
    ats: FakeAts,
    place_order: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    factories.finish_test(services, place_order())
    dispatcher.drain(*factories.queue_names(services))
    url = json.loads(ats.received[0].body)["results_url"]
    output = capsys.readouterr()
    raw = b"".join(path.read_bytes() for path in services.settings.instance.glob("provider.db*"))
    assert b"cb-token" not in raw
    for secret in ("cb-token", url.rsplit("/", 1)[1]):
        assert secret not in output.out + output.err
    assert "delivery_attempted" in output.out + output.err


def test_in_process_dispatcher_is_woken_by_commit(
    services: Services, ats: FakeAts, place_order: Callable[..., str]
) -> None:
    dispatcher = InProcessDispatcher(services, factories.quick_works(3600)).start()
    try:
        orders = [place_order(f"/{number}") for number in range(5)]
        decline(services, *orders)
        assert len(ats.wait_for(5)) == 5
    finally:
        dispatcher.stop()


def test_in_process_dispatcher_sweeps_for_due_messages(
    services: Services, ats: FakeAts, place_order: Callable[..., str]
) -> None:
    decline(services, place_order())  # committed before a dispatcher runs, as after a crash
    dispatcher = InProcessDispatcher(services, factories.quick_works(0.1)).start()
    try:
        ats.wait_for(1)
    finally:
        dispatcher.stop()


def test_in_process_dispatcher_survives_failed_sweep(
    services: Services,
    ats: FakeAts,
    place_order: Callable[..., str],
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    list_due_queues = outbox.list_due_queues
    failures = iter([OSError("the disk is full")])

    def fail_once(session: Session, now: datetime) -> list[str]:
        for failure in failures:
            clock.advance(timedelta(seconds=1))  # the next interval
            raise failure
        return list_due_queues(session, now)

    monkeypatch.setattr(outbox, "list_due_queues", fail_once)
    decline(services, place_order())
    with capture_logs() as events:
        dispatcher = InProcessDispatcher(services, factories.quick_works(0.1)).start()
        try:
            ats.wait_for(1)
        finally:
            dispatcher.stop()
    assert ("scheduled_work_failed", "send_due_messages") in [
        (event["event"], event.get("work")) for event in events
    ]
    assert services.db.on_commit == []


def test_in_process_dispatcher_sends_while_a_work_is_slow(
    services: Services, ats: FakeAts, place_order: Callable[..., str]
) -> None:
    started, may_end = threading.Event(), threading.Event()

    def run(context: WorkContext) -> None:
        started.set()
        may_end.wait(10)

    slow = ScheduledWork("slow", every=timedelta(seconds=2), run=run)
    dispatcher = InProcessDispatcher(services, [slow, *factories.quick_works(0.1)]).start()
    try:
        assert started.wait(10)
        decline(services, place_order())
        ats.wait_for(1)
    finally:
        may_end.set()
        dispatcher.stop()


def test_in_process_dispatcher_does_scheduled_work(
    services: Services, ats: FakeAts, place_order: Callable[..., str], clock: ManualClock
) -> None:
    place_order()
    clock.advance(timedelta(days=7) + ARRIVAL_GRACE)
    dispatcher = InProcessDispatcher(services, factories.quick_works(0.1)).start()
    try:
        assert ats.wait_for(1)[0].json == {"status": "expired"}
    finally:
        dispatcher.stop()


def test_stop_finishes_running_sends(
    services: Services, ats: FakeAts, place_order: Callable[..., str]
) -> None:
    reached, may_respond = threading.Event(), threading.Event()

    def slow(handler: BaseHTTPRequestHandler) -> None:
        reached.set()
        may_respond.wait(10)
        handler.send_response(204)
        handler.end_headers()

    ats.responses.append(slow)
    dispatcher = InProcessDispatcher(services, factories.quick_works(0.1)).start()
    decline(services, place_order())
    assert reached.wait(10)
    stopping = threading.Thread(target=dispatcher.stop)
    stopping.start()
    may_respond.set()
    stopping.join()
    assert messages(services) == [("delivered", 1)]
    dispatcher.stop()  # a second call does nothing


def test_stop_closes_connections(
    services: Services, dispatcher: Dispatcher, ats: FakeAts, place_order: Callable[..., str]
) -> None:
    receiver_threads: list[threading.Thread] = []

    def respond(handler: BaseHTTPRequestHandler) -> None:
        receiver_threads.append(threading.current_thread())
        respond_with(200)(handler)

    ats.responses.append(respond)
    decline(services, place_order())
    dispatcher.drain(*factories.queue_names(services))
    (receiver_thread,) = receiver_threads
    assert receiver_thread.is_alive()
    dispatcher.stop()
    receiver_thread.join(10)
    assert not receiver_thread.is_alive()


def test_emails_have_a_queue_of_their_own(
    services: Services, dispatcher: Dispatcher, place_order: Callable[..., str]
) -> None:
    place_order()
    assert dispatcher.drain("1/email") == 1
    assert list((services.settings.instance / "mail").glob("*.eml"))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "168.63.129.16",
        "[::1]",
        "[::127.0.0.1]",
        "[fec0::1]",
        "[::ffff:10.0.0.1]",
        "100.64.0.1",
        "0.0.0.0",
        "[fd00::1]",
    ],
)
def test_special_addresses_are_never_connected_to(
    services: Services, host: str, dialled_addresses: list[str]
) -> None:
    account, _ = factories.create_account(services, "Inside Ltd", hosts=[host.strip("[]")])
    order = factories.place_order(
        services,
        account,
        factories.create_test(services, key="inside"),
        callback_url=f"https://{host}/x",
    )
    decline(services, order)
    strict = Dispatcher(
        replace(services, settings=replace(services.settings, private_callbacks=False))
    )
    strict.drain(*factories.queue_names(services, account))
    strict.stop()
    assert messages(services) == [("waiting", 1)]
    assert dialled_addresses == []
    with services.db.reading() as session:
        error = session.scalars(select(Attempt.error)).one()
        assert error == "The host's address is not a public one"


def test_receiver_without_tls_gives_tls_error(
    services: Services, dispatcher: Dispatcher, ats: FakeAts
) -> None:
    account, _ = factories.create_account(services, "Plain Ltd")
    url = ats.url.replace("http://", "https://")
    order = factories.place_order(
        services, account, factories.create_test(services, key="plain"), callback_url=f"{url}/x"
    )
    decline(services, order)
    dispatcher.drain(*factories.queue_names(services, account))
    with services.db.reading() as session:
        error = session.scalars(select(Attempt.error)).one()
        assert error == "The receiver's certificate or TLS is not right"
    assert ats.received == []
