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
from provider.delivery import Dispatcher, InProcessDispatcher
from provider.delivery.http import client as exchange_room
from provider.delivery.policy import FAILURE_THRESHOLD
from provider.outbox import DEFAULT_LEASE, Attempt, Message, Pause
from provider.services import Services
from tests import factories
from tests.factories import ManualClock
from tests.fake_ats import FakeAts, respond_with


@pytest.fixture
def services(services: Services) -> Services:
    """The house, with callbacks to this machine allowed."""
    return replace(services, settings=replace(services.settings, private_callbacks=True))


@pytest.fixture
def dispatcher(services: Services) -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(services)
    yield dispatcher
    dispatcher.stop()


@pytest.fixture
def place(services: Services, ats: FakeAts) -> Callable[..., str]:
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


def test_a_status_is_put_to_the_callback_url_with_token_key_and_sequence(
    services: Services, dispatcher: Dispatcher, ats: FakeAts, place: Callable[..., str]
) -> None:
    order = place()
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


def test_a_callback_equals_what_polling_answers(
    services: Services, dispatcher: Dispatcher, ats: FakeAts, place: Callable[..., str]
) -> None:
    order = place()
    factories.finish_test(services, order)
    dispatcher.drain(*factories.queue_names(services))
    with services.db.reading() as session:
        caller = Caller.from_account(Order.find(session, order).account)
        news = StatusUpdate.for_poll(
            session, services.secret_box, services.urls, "assessment", order, caller
        )
        assert ats.received[0].json == build_payload(news)
    assert ats.received[0].json["status"] == "completed"


@pytest.mark.both
def test_a_receiver_that_fails_gets_the_same_bytes_again_after_the_schedules_wait(
    services: Services,
    dispatcher: Dispatcher,
    ats: FakeAts,
    place: Callable[..., str],
    clock: ManualClock,
) -> None:
    factories.finish_test(services, place())
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
def test_a_refusal_is_counted_from_the_last_other_answer_and_anew_when_sent_again_by_hand(
    services: Services,
    dispatcher: Dispatcher,
    ats: FakeAts,
    place: Callable[..., str],
    clock: ManualClock,
) -> None:
    def try_(*codes: int) -> tuple[str, int]:
        ats.responses.extend(codes)
        for _ in codes:
            assert dispatcher.drain(*factories.queue_names(services)) == 1
            clock.advance(timedelta(days=2))
        return messages(services)[0]

    decline(services, place())
    assert try_(503, 502, 404, 404) == ("waiting", 4)
    assert try_(404) == ("parked", 5)
    for tries in (8, 11):
        with services.db.writing() as session:
            message = session.scalars(select(Message).where(Message.topic == "status")).one()
            outbox.requeue(session, message, services.now())
        assert try_(404, 404) == ("waiting", tries - 1)
        assert try_(404) == ("parked", tries)


@pytest.mark.both
def test_who_is_sent_again_by_hand_has_the_schedule_before_it_anew(
    services: Services,
    dispatcher: Dispatcher,
    ats: FakeAts,
    place: Callable[..., str],
    clock: ManualClock,
) -> None:
    decline(services, place())
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


@pytest.mark.parametrize("asked", ["0", "1", "an hour ago"])
def test_a_receiver_that_asks_for_hardly_any_wait_is_not_called_without_end(
    services: Services,
    dispatcher: Dispatcher,
    ats: FakeAts,
    place: Callable[..., str],
    clock: ManualClock,
    asked: str,
) -> None:
    decline(services, place())
    past = format_datetime(clock.now() - timedelta(hours=1), usegmt=True)
    ats.responses.append(respond_with(503, Retry_After=past if asked == "an hour ago" else asked))
    dispatcher.drain(*factories.queue_names(services))
    clock.advance(timedelta(seconds=5 * 0.79))
    assert dispatcher.drain(*factories.queue_names(services)) == 0
    clock.advance(timedelta(seconds=5 * 0.42))
    assert dispatcher.drain(*factories.queue_names(services)) == 1


@pytest.mark.both
def test_a_repeat_says_what_was_true_then_even_if_the_order_went_on(
    services: Services,
    dispatcher: Dispatcher,
    ats: FakeAts,
    place: Callable[..., str],
    clock: ManualClock,
) -> None:
    order = place()
    decline(services, order)
    with services.db.writing() as session:
        Order.find(session, order).reopen(
            session, services.secret_box, "sam", "asked", services.now()
        )
    ats.responses.append(500)
    dispatcher.drain(*factories.queue_names(services))
    clock.advance(timedelta(seconds=10))
    dispatcher.drain(*factories.queue_names(services))
    said = [put.json["status"] for put in ats.received]
    assert said == ["rejected", "rejected", "pending"]


def test_a_repeat_is_the_same_bytes_whatever_was_switched_meanwhile(
    services: Services,
    ats: FakeAts,
    dispatcher: Dispatcher,
    place: Callable[..., str],
    clock: ManualClock,
) -> None:
    decline(services, place())
    ats.responses.append(503)
    dispatcher.drain(*factories.queue_names(services))
    with services.db.writing() as session:
        session.scalars(select(Account)).one().options = {"declined": True}
    clock.advance(timedelta(minutes=1))
    dispatcher.drain(*factories.queue_names(services))
    assert [put.body for put in ats.received] == [b'{"status": "rejected"}'] * 2


def test_a_host_that_cannot_be_reached_is_left_alone(
    services: Services, dispatcher: Dispatcher
) -> None:
    account, test = factories.create_account(services)[0], factories.create_test(services)
    with FakeAts() as gone:
        urls = [f"{gone.url}/{number}" for number in range(FAILURE_THRESHOLD)]
    decline(
        services,
        *(factories.place_order(services, account, test, callback_url=url) for url in urls),
    )
    dispatcher.drain(*factories.queue_names(services))
    with services.db.reading() as session:
        assert session.scalars(select(Pause.reason)).all() == ["The receiver could not be reached"]


def test_a_receiver_that_hangs_costs_one_try_and_holds_nobody_else(
    services: Services,
    dispatcher: Dispatcher,
    ats: FakeAts,
    place: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exchange_room, "DEADLINE", 0.3)
    enough = threading.Event()

    def hang(_handler: BaseHTTPRequestHandler) -> None:
        enough.wait(10)

    ats.responses.append(hang)
    decline(services, place("/1"))
    dispatcher.drain(*factories.queue_names(services))
    decline(services, place("/2"))
    dispatcher.drain(*factories.queue_names(services))
    enough.set()
    assert messages(services) == [("waiting", 1), ("delivered", 1)]
    with services.db.reading() as session:
        first = session.scalars(select(Attempt).order_by(Attempt.id)).first()
        assert first
        assert first.error == "The receiver did not answer in time"


def test_a_receiver_that_drips_its_answer_is_cut_off_at_the_deadline(
    services: Services,
    dispatcher: Dispatcher,
    ats: FakeAts,
    place: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exchange_room, "DEADLINE", 0.3)
    cut_off, pause = threading.Event(), threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        """Answer a byte at a time: each comes in time, all together do not."""
        handler.send_response(200)
        handler.end_headers()
        try:
            for _ in range(200):
                handler.wfile.write(b"x")
                pause.wait(0.05)
        except OSError:
            cut_off.set()
            handler.close_connection = True

    ats.responses.append(drip)
    decline(services, place())
    dispatcher.drain(*factories.queue_names(services))
    assert cut_off.wait(5)
    assert messages(services) == [("delivered", 1)]  # it had said 200


def test_a_receiver_that_hangs_up_after_accepting_has_accepted(
    services: Services, dispatcher: Dispatcher, ats: FakeAts, place: Callable[..., str]
) -> None:
    def hang_up(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b"half")
        handler.close_connection = True

    ats.responses.append(hang_up)
    decline(services, place())
    dispatcher.drain(*factories.queue_names(services))
    assert messages(services) == [("delivered", 1)]


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b"x" * 65536)
    except OSError:
        handler.close_connection = True


def test_an_endless_answer_is_read_to_the_cap_only(
    services: Services, dispatcher: Dispatcher, ats: FakeAts, place: Callable[..., str]
) -> None:
    ats.responses.append(endless)
    decline(services, place())
    dispatcher.drain(*factories.queue_names(services))
    assert messages(services) == [("delivered", 1)]


def redirect(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(302)
    handler.send_header("Location", "/elsewhere")
    handler.send_header("Set-Cookie", "a=b")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def test_a_redirect_is_not_followed_and_is_parked_after_three_tries(
    services: Services,
    dispatcher: Dispatcher,
    ats: FakeAts,
    place: Callable[..., str],
    clock: ManualClock,
) -> None:
    ats.responses.extend([redirect] * 3)
    decline(services, place())
    for _ in range(4):
        dispatcher.drain(*factories.queue_names(services))
        clock.advance(timedelta(hours=2))
    assert messages(services) == [("parked", 3)]
    assert {put.path for put in ats.received} == {"/assessments/1"}
    assert all("Cookie" not in put.headers for put in ats.received)


@pytest.mark.both
def test_gone_is_parked_at_once_and_its_successor_goes(
    services: Services, dispatcher: Dispatcher, ats: FakeAts, place: Callable[..., str]
) -> None:
    order = place()
    decline(services, order)
    with services.db.writing() as session:
        Order.find(session, order).reopen(
            session, services.secret_box, "sam", "asked", services.now()
        )
    ats.responses.append(410)
    dispatcher.drain(*factories.queue_names(services))
    assert messages(services) == [("superseded", 1), ("delivered", 1)]


def test_a_receiver_that_is_not_there_is_tried_again(
    services: Services, dispatcher: Dispatcher, place: Callable[..., str]
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


def test_private_addresses_are_refused_unless_they_are_allowed(
    services: Services, ats: FakeAts, place: Callable[..., str]
) -> None:
    decline(services, place())
    strict = Dispatcher(
        replace(services, settings=replace(services.settings, private_callbacks=False))
    )
    strict.drain(*factories.queue_names(services))
    strict.stop()
    assert ats.received == []
    assert messages(services) == [("parked", 1)]


def test_a_hundred_orders_each_keep_their_own_order(
    services: Services,
    dispatcher: Dispatcher,
    ats: FakeAts,
    place: Callable[..., str],
    clock: ManualClock,
) -> None:
    orders = [place(f"/{number}") for number in range(40)]
    for order in orders:
        decline(services, order)
        with services.db.writing() as session:
            found = Order.find(session, order)
            found.reopen(session, services.secret_box, "sam", "asked", services.now())
            found.cancel(session, "sam", "enough", services.now())
    ats.responses.extend([500, 200, 503] * 5)
    for _ in range(6):
        dispatcher.drain(*factories.queue_names(services))
        clock.advance(timedelta(hours=2))
    for number in range(40):
        said = [p.json["status"] for p in ats.received if p.path == f"/{number}"]
        firsts = sorted(set(said), key=said.index)
        assert firsts == ["rejected", "pending", "expired"]
        assert said == sorted(said, key=firsts.index)
    assert {state for state, _ in messages(services)} == {"delivered"}


@pytest.mark.both
def test_a_courier_that_died_only_delays(
    services: Services,
    ats: FakeAts,
    dispatcher: Dispatcher,
    place: Callable[..., str],
    clock: ManualClock,
) -> None:
    decline(services, place())
    from provider import outbox

    (lane,) = factories.queue_names(services)
    with services.db.writing() as session:
        outbox.claim(session, lane, services.now(), 10)  # and then its process is killed
    assert dispatcher.drain(*factories.queue_names(services)) == 0
    clock.advance(DEFAULT_LEASE)
    assert dispatcher.drain(*factories.queue_names(services)) == 1
    assert messages(services) == [("delivered", 1)]


@pytest.mark.both
def test_a_message_that_cannot_be_written_is_parked_and_keeps_nobody(
    services: Services, dispatcher: Dispatcher, ats: FakeAts, place: Callable[..., str]
) -> None:
    first, second = place("/1"), place("/2")
    decline(services, first, second)
    with services.db.writing() as session:
        broken = session.scalars(
            select(Message).where(Message.ordering_key == first, Message.topic == "status")
        ).one()
        broken.payload = {"status": "declined"}
    dispatcher.drain(*factories.queue_names(services))
    assert messages(services) == [("parked", 1), ("delivered", 1)]
    assert [put.path for put in ats.received] == ["/2"]


def test_the_tokens_are_in_no_table_and_in_no_log(
    services: Services,
    dispatcher: Dispatcher,
    ats: FakeAts,
    place: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    factories.finish_test(services, place())
    dispatcher.drain(*factories.queue_names(services))
    url = json.loads(ats.received[0].body)["results_url"]
    said = capsys.readouterr()
    raw = b"".join(path.read_bytes() for path in services.settings.instance.glob("provider.db*"))
    assert b"cb-token" not in raw
    for secret in ("cb-token", url.rsplit("/", 1)[1]):
        assert secret not in said.out + said.err
    assert "delivery" in said.out + said.err


def test_the_embedded_courier_is_woken_by_the_commit(
    services: Services, ats: FakeAts, place: Callable[..., str]
) -> None:
    dispatcher = InProcessDispatcher(services, sweep_interval_seconds=3600).start()
    try:
        orders = [place(f"/{number}") for number in range(5)]
        decline(services, *orders)
        assert len(ats.wait_for(5)) == 5
    finally:
        dispatcher.stop()


def test_the_embedded_courier_finds_what_it_was_not_told_of(
    services: Services, ats: FakeAts, place: Callable[..., str]
) -> None:
    decline(services, place())  # committed before anybody listened, as after a crash
    dispatcher = InProcessDispatcher(services, sweep_interval_seconds=0.02).start()
    try:
        ats.wait_for(1)
    finally:
        dispatcher.stop()


def test_the_embedded_courier_goes_on_after_a_look_that_failed(
    services: Services, ats: FakeAts, place: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    failures, due_lanes = iter([OSError("the disk is full")]), outbox.list_due_queues

    def fails_once(session: Session, now: datetime) -> list[str]:
        for failure in failures:
            raise failure
        return due_lanes(session, now)

    monkeypatch.setattr(outbox, "list_due_queues", fails_once)
    decline(services, place())
    with capture_logs() as lines:
        dispatcher = InProcessDispatcher(services, sweep_interval_seconds=0.02).start()
        try:
            ats.wait_for(1)
        finally:
            dispatcher.stop()
    assert "the courier stumbled and goes on" in [line["event"] for line in lines]
    assert services.db.on_commit == []


def test_the_embedded_courier_looks_once_a_sweep_and_rests_meanwhile(
    services: Services, ats: FakeAts, place: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[datetime] = []
    rests: list[float] = []
    due_lanes, work = outbox.list_due_queues, Dispatcher.wait_and_run

    def look(session: Session, now: datetime) -> list[str]:
        looks.append(now)
        return due_lanes(session, now)

    def rest(dispatcher: Dispatcher, seconds: float) -> None:
        rests.append(seconds)
        work(dispatcher, seconds)

    monkeypatch.setattr(outbox, "list_due_queues", look)
    monkeypatch.setattr(Dispatcher, "wait_and_run", rest)
    dispatcher = InProcessDispatcher(services, sweep_interval_seconds=3600).start()
    try:
        decline(services, place())
        ats.wait_for(1)
    finally:
        dispatcher.stop()
    assert len(looks) == 1
    assert rests
    assert all(3500 < seconds <= 3600 for seconds in rests)


def test_the_embedded_courier_does_the_clocks_work(
    services: Services, ats: FakeAts, place: Callable[..., str], clock: ManualClock
) -> None:
    place()
    clock.advance(timedelta(days=7))
    dispatcher = InProcessDispatcher(services, sweep_interval_seconds=0.02).start()
    try:
        assert ats.wait_for(1)[0].json == {"status": "expired"}
    finally:
        dispatcher.stop()


def test_a_stopped_courier_has_finished_what_it_had_in_hand(
    services: Services, ats: FakeAts, place: Callable[..., str]
) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def slow(handler: BaseHTTPRequestHandler) -> None:
        reached.set()
        go_on.wait(10)
        handler.send_response(204)
        handler.end_headers()

    ats.responses.append(slow)
    dispatcher = InProcessDispatcher(services, sweep_interval_seconds=0.02).start()
    decline(services, place())
    assert reached.wait(10)
    stopping = threading.Thread(target=dispatcher.stop)
    stopping.start()
    go_on.set()
    stopping.join()
    assert messages(services) == [("delivered", 1)]
    dispatcher.stop()  # twice is once


def test_a_stopped_courier_has_hung_up(
    services: Services, dispatcher: Dispatcher, ats: FakeAts, place: Callable[..., str]
) -> None:
    listening: list[threading.Thread] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        listening.append(threading.current_thread())
        respond_with(200)(handler)

    ats.responses.append(answer)
    decline(services, place())
    dispatcher.drain(*factories.queue_names(services))
    (other_end,) = listening
    assert other_end.is_alive()
    dispatcher.stop()
    other_end.join(10)
    assert not other_end.is_alive()


def test_letters_and_callbacks_go_their_own_lanes(
    services: Services, dispatcher: Dispatcher, place: Callable[..., str]
) -> None:
    place()
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
def test_special_addresses_are_never_dialled(
    services: Services, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dialled_addresses(*_: object) -> None:
        raise AssertionError("something was dialled")

    monkeypatch.setattr("socket.socket.connect", dialled_addresses)
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
    with services.db.reading() as session:
        told = session.scalars(select(Attempt.error)).one()
        assert told == "The host's address is not a public one"


def test_a_receiver_without_tls_is_told_as_that(
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
        told = session.scalars(select(Attempt.error)).one()
        assert told == "The receiver's certificate or TLS is not right"
    assert ats.received == []
