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
from provider.accounts import Account, Caller
from provider.ats import News
from provider.ats.workable.news import body
from provider.courier import Courier, EmbeddedCourier
from provider.courier import exchange as exchange_room
from provider.courier.gate import PATIENCE
from provider.house import House
from provider.orders import Order
from provider.outbox import LEASE, Attempt, Hold, Message
from tests import cast
from tests.cast import HandClock
from tests.fake_ats import FakeAts, answering


@pytest.fixture
def house(house: House) -> House:
    """The house, with callbacks to this machine allowed."""
    return replace(house, settings=replace(house.settings, private_callbacks=True))


@pytest.fixture
def courier(house: House) -> Iterator[Courier]:
    courier = Courier(house)
    yield courier
    courier.stop()


@pytest.fixture
def place(house: House, ats: FakeAts) -> Callable[..., str]:
    account, _ = cast.account(house)
    test = cast.test(house)
    return lambda path="/assessments/1": cast.order(
        house, account, test, callback_url=ats.url + path
    )


def decline(house: House, *orders: str) -> None:
    with house.db.writing() as session:
        for order in orders:
            Order.find(session, order).decline(session, "", house.now())


def messages(house: House) -> list[tuple[str, int]]:
    with house.db.reading() as session:
        rows = session.scalars(
            select(Message).where(Message.topic == "status").order_by(Message.id)
        ).all()
        return [(row.state, row.attempts) for row in rows]


def attempts(house: House) -> list[tuple[str, int | None]]:
    with house.db.reading() as session:
        rows = session.scalars(select(Attempt).order_by(Attempt.id)).all()
        return [(row.outcome, row.code) for row in rows]


def test_a_status_is_put_to_the_callback_url_with_token_key_and_sequence(
    house: House, courier: Courier, ats: FakeAts, place: Callable[..., str]
) -> None:
    order = place()
    decline(house, order)
    assert courier.drain(*cast.lanes(house)) == 1
    (put,) = ats.received
    assert (put.method, put.path) == ("PUT", "/assessments/1")
    assert put.json == {"status": "rejected"}
    assert put.headers["Authorization"] == "Bearer cb-token"
    assert put.headers["Content-Type"] == "application/json"
    assert put.headers["User-Agent"].startswith("provider/")
    assert put.headers["X-Provider-Sequence"] == "1"
    assert len(put.headers["Idempotency-Key"]) == 22
    assert "Cookie" not in put.headers
    assert messages(house) == [("delivered", 1)]


def test_a_callback_equals_what_polling_answers(
    house: House, courier: Courier, ats: FakeAts, place: Callable[..., str]
) -> None:
    order = place()
    cast.finish(house, order)
    courier.drain(*cast.lanes(house))
    with house.db.reading() as session:
        caller = Caller.of(Order.find(session, order).account)
        news = News.standing(session, house.vault, house.links, "assessment", order, caller)
        assert ats.received[0].json == body(news)
    assert ats.received[0].json["status"] == "completed"


@pytest.mark.both
def test_a_receiver_that_fails_gets_the_same_bytes_again_after_the_schedules_wait(
    house: House, courier: Courier, ats: FakeAts, place: Callable[..., str], clock: HandClock
) -> None:
    cast.finish(house, place())
    ats.answers.extend([500, 503, 200])
    courier.drain(*cast.lanes(house))
    assert messages(house) == [("waiting", 1)]
    assert courier.drain(*cast.lanes(house)) == 0
    clock.pass_(timedelta(seconds=5 * 1.2))
    courier.drain(*cast.lanes(house))
    clock.pass_(timedelta(minutes=5 * 0.79))
    assert courier.drain(*cast.lanes(house)) == 0
    clock.pass_(timedelta(minutes=5 * 0.42))
    courier.drain(*cast.lanes(house))
    assert messages(house) == [("delivered", 3)]
    assert len({put.body for put in ats.received}) == 1
    assert len({put.headers["Idempotency-Key"] for put in ats.received}) == 1
    assert attempts(house) == [("again", 500), ("again", 503), ("done", 200)]


@pytest.mark.both
def test_a_refusal_is_counted_from_the_last_other_answer_and_anew_when_sent_again_by_hand(
    house: House, courier: Courier, ats: FakeAts, place: Callable[..., str], clock: HandClock
) -> None:
    def try_(*codes: int) -> tuple[str, int]:
        ats.answers.extend(codes)
        for _ in codes:
            assert courier.drain(*cast.lanes(house)) == 1
            clock.pass_(timedelta(days=2))
        return messages(house)[0]

    decline(house, place())
    assert try_(503, 502, 404, 404) == ("waiting", 4)
    assert try_(404) == ("parked", 5)
    for tries in (8, 11):
        with house.db.writing() as session:
            message = session.scalars(select(Message).where(Message.topic == "status")).one()
            outbox.send_again(session, message, house.now())
        assert try_(404, 404) == ("waiting", tries - 1)
        assert try_(404) == ("parked", tries)


@pytest.mark.both
def test_who_is_sent_again_by_hand_has_the_schedule_before_it_anew(
    house: House, courier: Courier, ats: FakeAts, place: Callable[..., str], clock: HandClock
) -> None:
    decline(house, place())
    ats.answers.extend([500, 410, 500])
    for _ in range(2):
        courier.drain(*cast.lanes(house))
        clock.pass_(timedelta(days=2))
    with house.db.writing() as session:
        message = session.scalars(select(Message).where(Message.topic == "status")).one()
        outbox.send_again(session, message, house.now())
    courier.drain(*cast.lanes(house))
    clock.pass_(timedelta(seconds=5 * 1.2))
    courier.drain(*cast.lanes(house))
    assert messages(house) == [("delivered", 4)]


@pytest.mark.parametrize("asked", ["0", "1", "an hour ago"])
def test_a_receiver_that_asks_for_hardly_any_wait_is_not_called_without_end(
    house: House, courier: Courier, ats: FakeAts, place: Callable[..., str],
    clock: HandClock, asked: str,
) -> None:  # fmt: skip
    decline(house, place())
    past = format_datetime(clock.now() - timedelta(hours=1), usegmt=True)
    ats.answers.append(answering(503, Retry_After=past if asked == "an hour ago" else asked))
    courier.drain(*cast.lanes(house))
    clock.pass_(timedelta(seconds=5 * 0.79))
    assert courier.drain(*cast.lanes(house)) == 0
    clock.pass_(timedelta(seconds=5 * 0.42))
    assert courier.drain(*cast.lanes(house)) == 1


@pytest.mark.both
def test_a_repeat_says_what_was_true_then_even_if_the_order_went_on(
    house: House, courier: Courier, ats: FakeAts, place: Callable[..., str], clock: HandClock
) -> None:
    order = place()
    decline(house, order)
    with house.db.writing() as session:
        Order.find(session, order).reopen(session, house.vault, "sam", "asked", house.now())
    ats.answers.append(500)
    courier.drain(*cast.lanes(house))
    clock.pass_(timedelta(seconds=10))
    courier.drain(*cast.lanes(house))
    said = [put.json["status"] for put in ats.received]
    assert said == ["rejected", "rejected", "pending"]


def test_a_repeat_is_the_same_bytes_whatever_was_switched_meanwhile(
    house: House, ats: FakeAts, courier: Courier, place: Callable[..., str], clock: HandClock
) -> None:
    decline(house, place())
    ats.answers.append(503)
    courier.drain(*cast.lanes(house))
    with house.db.writing() as session:
        session.scalars(select(Account)).one().switches = {"declined": True}
    clock.pass_(timedelta(minutes=1))
    courier.drain(*cast.lanes(house))
    assert [put.body for put in ats.received] == [b'{"status": "rejected"}'] * 2


def test_a_host_that_cannot_be_reached_is_left_alone(house: House, courier: Courier) -> None:
    account, test = cast.account(house)[0], cast.test(house)
    with FakeAts() as gone:
        urls = [f"{gone.url}/{number}" for number in range(PATIENCE)]
    decline(house, *(cast.order(house, account, test, callback_url=url) for url in urls))
    courier.drain(*cast.lanes(house))
    with house.db.reading() as session:
        assert session.scalars(select(Hold.why)).all() == ["The receiver could not be reached"]


def test_a_receiver_that_hangs_costs_one_try_and_holds_nobody_else(
    house: House,
    courier: Courier,
    ats: FakeAts,
    place: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exchange_room, "DEADLINE", 0.3)
    enough = threading.Event()

    def hang(_handler: BaseHTTPRequestHandler) -> None:
        enough.wait(10)

    ats.answers.append(hang)
    decline(house, place("/1"))
    courier.drain(*cast.lanes(house))
    decline(house, place("/2"))
    courier.drain(*cast.lanes(house))
    enough.set()
    assert messages(house) == [("waiting", 1), ("delivered", 1)]
    with house.db.reading() as session:
        first = session.scalars(select(Attempt).order_by(Attempt.id)).first()
        assert first
        assert first.error == "The receiver did not answer in time"


def test_a_receiver_that_drips_its_answer_is_cut_off_at_the_deadline(
    house: House,
    courier: Courier,
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

    ats.answers.append(drip)
    decline(house, place())
    courier.drain(*cast.lanes(house))
    assert cut_off.wait(5)
    assert messages(house) == [("delivered", 1)]  # it had said 200


def test_a_receiver_that_hangs_up_after_accepting_has_accepted(
    house: House, courier: Courier, ats: FakeAts, place: Callable[..., str]
) -> None:
    def hang_up(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b"half")
        handler.close_connection = True

    ats.answers.append(hang_up)
    decline(house, place())
    courier.drain(*cast.lanes(house))
    assert messages(house) == [("delivered", 1)]


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b"x" * 65536)
    except OSError:
        handler.close_connection = True


def test_an_endless_answer_is_read_to_the_cap_only(
    house: House, courier: Courier, ats: FakeAts, place: Callable[..., str]
) -> None:
    ats.answers.append(endless)
    decline(house, place())
    courier.drain(*cast.lanes(house))
    assert messages(house) == [("delivered", 1)]


def redirect(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(302)
    handler.send_header("Location", "/elsewhere")
    handler.send_header("Set-Cookie", "a=b")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def test_a_redirect_is_not_followed_and_is_parked_after_three_tries(
    house: House, courier: Courier, ats: FakeAts, place: Callable[..., str], clock: HandClock
) -> None:
    ats.answers.extend([redirect] * 3)
    decline(house, place())
    for _ in range(4):
        courier.drain(*cast.lanes(house))
        clock.pass_(timedelta(hours=2))
    assert messages(house) == [("parked", 3)]
    assert {put.path for put in ats.received} == {"/assessments/1"}
    assert all("Cookie" not in put.headers for put in ats.received)


@pytest.mark.both
def test_gone_is_parked_at_once_and_its_successor_goes(
    house: House, courier: Courier, ats: FakeAts, place: Callable[..., str]
) -> None:
    order = place()
    decline(house, order)
    with house.db.writing() as session:
        Order.find(session, order).reopen(session, house.vault, "sam", "asked", house.now())
    ats.answers.append(410)
    courier.drain(*cast.lanes(house))
    assert messages(house) == [("superseded", 1), ("delivered", 1)]


def test_a_receiver_that_is_not_there_is_tried_again(
    house: House, courier: Courier, place: Callable[..., str]
) -> None:
    account, _ = cast.account(house, "Nobody Ltd")
    order = cast.order(
        house, account, cast.test(house, key="other"), callback_url="http://127.0.0.1:9/x"
    )
    decline(house, order)
    courier.drain(*cast.lanes(house, account))
    assert messages(house) == [("waiting", 1)]
    with house.db.reading() as session:
        assert session.scalars(select(Attempt.error)).one() == "The receiver could not be reached"


def test_private_addresses_are_refused_unless_they_are_allowed(
    house: House, ats: FakeAts, place: Callable[..., str]
) -> None:
    decline(house, place())
    strict = Courier(replace(house, settings=replace(house.settings, private_callbacks=False)))
    strict.drain(*cast.lanes(house))
    strict.stop()
    assert ats.received == []
    assert messages(house) == [("parked", 1)]


def test_a_hundred_orders_each_keep_their_own_order(
    house: House, courier: Courier, ats: FakeAts, place: Callable[..., str], clock: HandClock
) -> None:
    orders = [place(f"/{number}") for number in range(40)]
    for order in orders:
        decline(house, order)
        with house.db.writing() as session:
            found = Order.find(session, order)
            found.reopen(session, house.vault, "sam", "asked", house.now())
            found.cancel(session, "sam", "enough", house.now())
    ats.answers.extend([500, 200, 503] * 5)
    for _ in range(6):
        courier.drain(*cast.lanes(house))
        clock.pass_(timedelta(hours=2))
    for number in range(40):
        said = [p.json["status"] for p in ats.received if p.path == f"/{number}"]
        firsts = sorted(set(said), key=said.index)
        assert firsts == ["rejected", "pending", "expired"]
        assert said == sorted(said, key=firsts.index)
    assert {state for state, _ in messages(house)} == {"delivered"}


@pytest.mark.both
def test_a_courier_that_died_only_delays(
    house: House, ats: FakeAts, courier: Courier, place: Callable[..., str], clock: HandClock
) -> None:
    decline(house, place())
    from provider import outbox

    (lane,) = cast.lanes(house)
    with house.db.writing() as session:
        outbox.claim(session, lane, house.now(), 10)  # and then its process is killed
    assert courier.drain(*cast.lanes(house)) == 0
    clock.pass_(LEASE)
    assert courier.drain(*cast.lanes(house)) == 1
    assert messages(house) == [("delivered", 1)]


@pytest.mark.both
def test_a_message_that_cannot_be_written_is_parked_and_keeps_nobody(
    house: House, courier: Courier, ats: FakeAts, place: Callable[..., str]
) -> None:
    first, second = place("/1"), place("/2")
    decline(house, first, second)
    with house.db.writing() as session:
        broken = session.scalars(
            select(Message).where(Message.key == first, Message.topic == "status")
        ).one()
        broken.payload = {"status": "declined"}
    courier.drain(*cast.lanes(house))
    assert messages(house) == [("parked", 1), ("delivered", 1)]
    assert [put.path for put in ats.received] == ["/2"]


def test_the_tokens_are_in_no_table_and_in_no_log(
    house: House,
    courier: Courier,
    ats: FakeAts,
    place: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    cast.finish(house, place())
    courier.drain(*cast.lanes(house))
    url = json.loads(ats.received[0].body)["results_url"]
    said = capsys.readouterr()
    raw = b"".join(path.read_bytes() for path in house.settings.instance.glob("provider.db*"))
    assert b"cb-token" not in raw
    for secret in ("cb-token", url.rsplit("/", 1)[1]):
        assert secret not in said.out + said.err
    assert "delivery" in said.out + said.err


def test_the_embedded_courier_is_woken_by_the_commit(
    house: House, ats: FakeAts, place: Callable[..., str]
) -> None:
    courier = EmbeddedCourier(house, sweep=3600).start()
    try:
        orders = [place(f"/{number}") for number in range(5)]
        decline(house, *orders)
        assert len(ats.wait_for(5)) == 5
    finally:
        courier.stop()


def test_the_embedded_courier_finds_what_it_was_not_told_of(
    house: House, ats: FakeAts, place: Callable[..., str]
) -> None:
    decline(house, place())  # committed before anybody listened, as after a crash
    courier = EmbeddedCourier(house, sweep=0.02).start()
    try:
        ats.wait_for(1)
    finally:
        courier.stop()


def test_the_embedded_courier_goes_on_after_a_look_that_failed(
    house: House, ats: FakeAts, place: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    failures, due_lanes = iter([OSError("the disk is full")]), outbox.due_lanes

    def fails_once(session: Session, at: datetime) -> list[str]:
        for failure in failures:
            raise failure
        return due_lanes(session, at)

    monkeypatch.setattr(outbox, "due_lanes", fails_once)
    decline(house, place())
    with capture_logs() as lines:
        courier = EmbeddedCourier(house, sweep=0.02).start()
        try:
            ats.wait_for(1)
        finally:
            courier.stop()
    assert "the courier stumbled and goes on" in [line["event"] for line in lines]
    assert house.db.on_commit == []


def test_the_embedded_courier_looks_once_a_sweep_and_rests_meanwhile(
    house: House, ats: FakeAts, place: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[datetime] = []
    rests: list[float] = []
    due_lanes, work = outbox.due_lanes, Courier.work

    def look(session: Session, at: datetime) -> list[str]:
        looks.append(at)
        return due_lanes(session, at)

    def rest(courier: Courier, seconds: float) -> None:
        rests.append(seconds)
        work(courier, seconds)

    monkeypatch.setattr(outbox, "due_lanes", look)
    monkeypatch.setattr(Courier, "work", rest)
    courier = EmbeddedCourier(house, sweep=3600).start()
    try:
        decline(house, place())
        ats.wait_for(1)
    finally:
        courier.stop()
    assert len(looks) == 1
    assert rests
    assert all(3500 < seconds <= 3600 for seconds in rests)


def test_the_embedded_courier_does_the_clocks_work(
    house: House, ats: FakeAts, place: Callable[..., str], clock: HandClock
) -> None:
    place()
    clock.pass_(timedelta(days=7))
    courier = EmbeddedCourier(house, sweep=0.02).start()
    try:
        assert ats.wait_for(1)[0].json == {"status": "expired"}
    finally:
        courier.stop()


def test_a_stopped_courier_has_finished_what_it_had_in_hand(
    house: House, ats: FakeAts, place: Callable[..., str]
) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def slow(handler: BaseHTTPRequestHandler) -> None:
        reached.set()
        go_on.wait(10)
        handler.send_response(204)
        handler.end_headers()

    ats.answers.append(slow)
    courier = EmbeddedCourier(house, sweep=0.02).start()
    decline(house, place())
    assert reached.wait(10)
    stopping = threading.Thread(target=courier.stop)
    stopping.start()
    go_on.set()
    stopping.join()
    assert messages(house) == [("delivered", 1)]
    courier.stop()  # twice is once


def test_a_stopped_courier_has_hung_up(
    house: House, courier: Courier, ats: FakeAts, place: Callable[..., str]
) -> None:
    listening: list[threading.Thread] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        listening.append(threading.current_thread())
        answering(200)(handler)

    ats.answers.append(answer)
    decline(house, place())
    courier.drain(*cast.lanes(house))
    (other_end,) = listening
    assert other_end.is_alive()
    courier.stop()
    other_end.join(10)
    assert not other_end.is_alive()


def test_letters_and_callbacks_go_their_own_lanes(
    house: House, courier: Courier, place: Callable[..., str]
) -> None:
    place()
    assert courier.drain("1/mail") == 1
    assert list((house.settings.instance / "mail").glob("*.eml"))


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "10.0.0.1", "169.254.169.254", "168.63.129.16", "[::1]", "[::127.0.0.1]",
     "[fec0::1]", "[::ffff:10.0.0.1]", "100.64.0.1", "0.0.0.0", "[fd00::1]"],
)  # fmt: skip
def test_special_addresses_are_never_dialled(
    house: House, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dialled(*_: object) -> None:
        raise AssertionError("something was dialled")

    monkeypatch.setattr("socket.socket.connect", dialled)
    account, _ = cast.account(house, "Inside Ltd", hosts=[host.strip("[]")])
    order = cast.order(
        house, account, cast.test(house, key="inside"), callback_url=f"https://{host}/x"
    )
    decline(house, order)
    strict = Courier(replace(house, settings=replace(house.settings, private_callbacks=False)))
    strict.drain(*cast.lanes(house, account))
    strict.stop()
    assert messages(house) == [("waiting", 1)]
    with house.db.reading() as session:
        told = session.scalars(select(Attempt.error)).one()
        assert told == "The host's address is not a public one"


def test_a_receiver_without_tls_is_told_as_that(
    house: House, courier: Courier, ats: FakeAts
) -> None:
    account, _ = cast.account(house, "Plain Ltd")
    url = ats.url.replace("http://", "https://")
    order = cast.order(house, account, cast.test(house, key="plain"), callback_url=f"{url}/x")
    decline(house, order)
    courier.drain(*cast.lanes(house, account))
    with house.db.reading() as session:
        told = session.scalars(select(Attempt.error)).one()
        assert told == "The receiver's certificate or TLS is not right"
    assert ats.received == []
