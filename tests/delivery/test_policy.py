"""DeliveryPolicy with a dispatcher and a real receiver: pauses, probes and rates."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler

import pytest
from sqlalchemy import func, select

from provider import outbox
from provider.core.accounts import Account
from provider.core.orders import Order
from provider.delivery import Dispatcher
from provider.delivery.circuit_breaker import (
    FAILURE_THRESHOLD,
    PROBE_INTERVALS,
    TOKEN_PROBE_INTERVAL,
)
from provider.outbox import Attempt, Message, Pause
from provider.services import Services
from tests import factories
from tests.factories import ManualClock
from tests.fake_ats import FakeAts, respond_with

Decline = Callable[..., None]


@pytest.fixture
def services(services: Services) -> Services:
    """Services that allow callbacks to this machine."""
    return replace(services, settings=replace(services.settings, private_callbacks=True))


@pytest.fixture
def dispatcher(services: Services) -> Iterator[Dispatcher]:
    # With four slots an untested destination gets one at a time.
    dispatcher = Dispatcher(services, max_concurrent_sends=4)
    yield dispatcher
    dispatcher.stop()


@pytest.fixture
def account(services: Services) -> int:
    return factories.create_account(services)[0]


@pytest.fixture
def test(services: Services) -> str:
    return factories.create_test(services)


@pytest.fixture
def decline(services: Services, ats: FakeAts, account: int, test: str) -> Decline:
    """Return a function that places `count` orders and declines them."""

    def declined(count: int, of: int = account, url: str = ats.url, path: str = "") -> None:
        for number in range(count):
            order = factories.place_order(
                services, of, test, callback_url=f"{url}/{of}{path}/{number}"
            )
            with services.db.writing() as session:
                Order.find(session, order).decline(session, "", services.now())

    return declined


def pauses(services: Services) -> dict[str, Pause]:
    with services.db.reading() as session:
        pauses = session.scalars(select(Pause))
        return {pause.scope.partition("/")[0]: pause for pause in pauses}


def waiting_count(services: Services) -> int:
    with services.db.reading() as session:
        count = select(func.count(Message.id)).where(Message.topic == "status")
        return session.scalar(count.where(Message.state == "waiting")) or 0


def attempt_count(services: Services) -> int:
    with services.db.reading() as session:
        return session.scalar(select(func.count(Attempt.id))) or 0


def reject_bad_paths(handler: BaseHTTPRequestHandler) -> None:
    respond_with(403 if "/bad/" in handler.path else 200)(handler)


def drain(dispatcher: Dispatcher, services: Services) -> int:
    return dispatcher.drain(*factories.queue_names(services))


def test_failing_host_is_paused_at_threshold(
    services: Services, dispatcher: Dispatcher, ats: FakeAts, decline: Decline
) -> None:
    decline(20)
    ats.responses.extend([503] * 20)
    drain(dispatcher, services)
    assert len(ats.received) == FAILURE_THRESHOLD
    assert attempt_count(services) == FAILURE_THRESHOLD  # a paused message is not attempted
    pause = pauses(services)["destination"]
    assert pause.scope == f"destination/{ats.url.partition('://')[2]}"
    assert "503" in pause.reason
    assert drain(dispatcher, services) == 0


def test_paused_host_is_probed_at_growing_intervals(
    services: Services, dispatcher: Dispatcher, ats: FakeAts, decline: Decline, clock: ManualClock
) -> None:
    decline(20)
    ats.responses.extend([500] * 50)
    drain(dispatcher, services)
    for step in (*PROBE_INTERVALS, PROBE_INTERVALS[-1]):
        clock.advance(step * 0.79)
        assert drain(dispatcher, services) == 0
        clock.advance(step * 0.42)
        assert drain(dispatcher, services) == 1
    assert pauses(services)["destination"].failed_probes == len(PROBE_INTERVALS) + 1


def test_successful_probe_ends_pause_and_sends_backlog(
    services: Services, dispatcher: Dispatcher, ats: FakeAts, decline: Decline, clock: ManualClock
) -> None:
    decline(20)
    ats.responses.extend([500] * FAILURE_THRESHOLD)
    drain(dispatcher, services)
    clock.advance(timedelta(hours=1))
    drain(dispatcher, services)
    assert pauses(services) == {}
    assert waiting_count(services) == 0


def test_occasional_failures_do_not_pause_host(
    services: Services, dispatcher: Dispatcher, ats: FakeAts, decline: Decline
) -> None:
    decline(20)
    ats.responses.extend([500, 500, 500, 500, 200] * 4)
    drain(dispatcher, services)
    assert len(ats.received) == 20
    assert pauses(services) == {}


def test_pause_of_host_does_not_stop_other_hosts_of_account(
    services: Services, dispatcher: Dispatcher, ats: FakeAts, decline: Decline, account: int
) -> None:
    decline(10, url="http://127.0.0.1:9", path="/dead")
    decline(3)
    drain(dispatcher, services)
    assert len(ats.received) == 3
    assert pauses(services)["destination"].scope == "destination/127.0.0.1:9"


def test_pause_stops_other_dispatchers_and_one_probes(
    services: Services, ats: FakeAts, decline: Decline, clock: ManualClock
) -> None:
    decline(20)
    ats.responses.extend([500] * (FAILURE_THRESHOLD + 1))
    first, second = (
        Dispatcher(services, max_concurrent_sends=4),
        Dispatcher(services, max_concurrent_sends=4),
    )
    drain(first, services)
    assert drain(second, services) == 0
    clock.advance(timedelta(minutes=1))
    with services.db.writing() as session:
        (pause,) = session.scalars(select(Pause))
        retry_at = services.now() + timedelta(minutes=1)
        assert outbox.probe(session, pause, retry_at=retry_at, now=services.now())
        assert not outbox.probe(session, pause, retry_at=retry_at, now=services.now())
    assert drain(first, services) + drain(second, services) == 0
    first.stop()
    second.stop()


@pytest.mark.parametrize("code", [401, 403])
def test_rejected_token_pauses_only_its_account(
    services: Services,
    dispatcher: Dispatcher,
    ats: FakeAts,
    decline: Decline,
    account: int,
    code: int,
) -> None:
    other, _ = factories.create_account(services, "Other Ltd")
    decline(5)
    decline(5, of=other)
    ats.responses.extend([code])
    drain(dispatcher, services)
    assert [put.path.split("/")[1] for put in ats.received[1:]] == [str(other)] * 5
    pause = pauses(services)["account"]
    assert pause.scope == f"account/{account}/callback"
    assert str(code) in pause.reason
    assert waiting_count(services) == 5


def test_rejected_token_is_probed_and_account_resumes(
    services: Services, dispatcher: Dispatcher, ats: FakeAts, decline: Decline, clock: ManualClock
) -> None:
    decline(5)
    ats.responses.extend([401, 401])
    drain(dispatcher, services)
    clock.advance(TOKEN_PROBE_INTERVAL * 0.79)
    assert drain(dispatcher, services) == 0
    clock.advance(TOKEN_PROBE_INTERVAL * 0.42)
    assert drain(dispatcher, services) == 1
    clock.advance(TOKEN_PROBE_INTERVAL * 1.21)
    drain(dispatcher, services)
    assert pauses(services) == {}
    assert waiting_count(services) == 0


def test_persistently_rejected_token_parks_nothing(
    services: Services, dispatcher: Dispatcher, ats: FakeAts, decline: Decline, clock: ManualClock
) -> None:
    ats.responses.extend([403] * 6)
    decline(1)
    for attempt_number in range(1, 7):
        drain(dispatcher, services)
        assert (len(ats.received), waiting_count(services)) == (attempt_number, 1)
        assert [*pauses(services)] == ["account"]
        clock.advance(TOKEN_PROBE_INTERVAL * 1.21)


def test_new_token_resumes_paused_account_at_once(
    services: Services, dispatcher: Dispatcher, ats: FakeAts, decline: Decline, account: int
) -> None:
    decline(5)
    ats.responses.append(401)
    drain(dispatcher, services)
    with services.db.writing() as session:
        session.get_one(Account, account).set_callback_token(services.secret_box, "new-token")
        outbox.resume(session, f"account/{account}/callback")
    drain(dispatcher, services)
    assert waiting_count(services) == 0
    assert {put.headers["Authorization"] for put in ats.received[1:]} == {"Bearer new-token"}


@pytest.mark.parametrize("old_token", ["old-token", None])
def test_401_with_replaced_token_pauses_nothing(
    services: Services,
    dispatcher: Dispatcher,
    ats: FakeAts,
    decline: Decline,
    old_token: str | None,
) -> None:
    def reject(handler: BaseHTTPRequestHandler) -> None:
        with services.db.writing() as session:
            session.get_one(Account, other).set_callback_token(services.secret_box, "new-token")
        respond_with(401)(handler)

    other, _ = factories.create_account(services, "Other", callback_token=old_token)
    ats.responses.append(reject)
    decline(1, of=other)
    drain(dispatcher, services)
    assert (pauses(services), waiting_count(services)) == ({}, 0)
    authorizations = [put.headers.get("Authorization") for put in ats.received]
    assert authorizations == [old_token and f"Bearer {old_token}", "Bearer new-token"]


def test_401_without_token_pauses_account(
    services: Services, dispatcher: Dispatcher, ats: FakeAts, decline: Decline
) -> None:
    bare, _ = factories.create_account(services, "Bare", callback_token=None)
    ats.responses.append(401)
    decline(1, of=bare)
    drain(dispatcher, services)
    assert ([*pauses(services)], waiting_count(services)) == (["account"], 1)


def test_undecryptable_token_does_not_change_pause_of_host(
    services: Services,
    dispatcher: Dispatcher,
    ats: FakeAts,
    decline: Decline,
    account: int,
    clock: ManualClock,
) -> None:
    ats.responses.extend([500] * FAILURE_THRESHOLD)
    decline(FAILURE_THRESHOLD)
    drain(dispatcher, services)
    paused_at = pauses(services)["destination"].paused_at
    with services.db.writing() as session:
        session.get_one(Account, account).callback_token = b"cannot be decrypted"
    clock.advance(timedelta(hours=1))
    drain(dispatcher, services)
    current = pauses(services)
    assert set(current) == {"account", "destination"}
    assert current["destination"].paused_at == paused_at
    assert len(ats.received) == FAILURE_THRESHOLD


def test_unsent_message_does_not_change_pause_of_host(
    services: Services,
    dispatcher: Dispatcher,
    ats: FakeAts,
    decline: Decline,
    account: int,
    clock: ManualClock,
) -> None:
    ats.responses.extend([500] * FAILURE_THRESHOLD)
    decline(FAILURE_THRESHOLD + 1)
    drain(dispatcher, services)
    paused_at = pauses(services)["destination"].paused_at
    with services.db.writing() as session:
        session.get_one(Account, account).callback_hosts = ["elsewhere.test"]
    clock.advance(PROBE_INTERVALS[0] * 2)
    assert drain(dispatcher, services) == 1
    assert pauses(services)["destination"].paused_at == paused_at
    assert len(ats.received) == FAILURE_THRESHOLD


def test_429_pauses_queue_for_requested_time(
    services: Services, dispatcher: Dispatcher, ats: FakeAts, decline: Decline, clock: ManualClock
) -> None:
    decline(5)
    ats.responses.append(respond_with(429, Retry_After="40"))
    drain(dispatcher, services)
    assert len(ats.received) == 1
    assert pauses(services)["queue"].retry_at == clock.now() + timedelta(seconds=40)
    clock.advance(timedelta(seconds=40))
    drain(dispatcher, services)
    assert waiting_count(services) == 0
    assert pauses(services) == {}


def test_429_for_one_account_does_not_stop_others_at_host(
    services: Services,
    dispatcher: Dispatcher,
    ats: FakeAts,
    decline: Decline,
    account: int,
    clock: ManualClock,
) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        respond_with(429 if handler.path.startswith(f"/{account}/") else 200)(handler)

    other, _ = factories.create_account(services, "Other")
    ats.responses.extend([answer] * 100)
    decline(2)
    for _ in range(FAILURE_THRESHOLD):
        drain(dispatcher, services)
        clock.advance(timedelta(hours=2))
    assert len(ats.received) >= FAILURE_THRESHOLD
    decline(1, of=other)
    drain(dispatcher, services)
    assert waiting_count(services) == 2


@pytest.mark.both
def test_order_that_is_always_403_does_not_pause_for_ever(
    services: Services,
    dispatcher: Dispatcher,
    ats: FakeAts,
    decline: Decline,
    account: int,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The shortest waits: a pause lasts two rounds, and none ends at the moment of a round.
    uniform = "provider.delivery.circuit_breaker.random.uniform"
    monkeypatch.setattr(uniform, lambda low, high: low)
    ats.responses.extend([reject_bad_paths] * 1000)
    decline(1, path="/bad")
    paused_count = 0
    for number in range(12):
        decline(1, path=f"/{number}")
        drain(dispatcher, services)
        paused_count += "account" in pauses(services)
        clock.advance(TOKEN_PROBE_INTERVAL / 2)
    drain(dispatcher, services)
    assert paused_count <= 6
    # Three rejections count, and an attempt before another delivery counts for nothing.
    assert [put.path for put in ats.received].count(f"/{account}/bad/0") <= 6
    assert (pauses(services), waiting_count(services)) == ({}, 0)


def test_401_is_blamed_on_account_even_after_message_was_rejected(
    services: Services,
    dispatcher: Dispatcher,
    ats: FakeAts,
    decline: Decline,
    account: int,
    clock: ManualClock,
) -> None:
    ats.responses.extend([reject_bad_paths] * 100)
    for path in ("/bad", "/good"):
        decline(1, path=path)
        clock.advance(timedelta(seconds=1))
    bad, good = (f"/{account}/{name}/0" for name in ("bad", "good"))
    for paths, scopes in (([bad], {"account"}), ([good, bad], set()), ([bad], {"account"})):
        ats.received.clear()
        drain(dispatcher, services)
        assert ([put.path for put in ats.received], set(pauses(services))) == (paths, scopes)
        clock.advance(timedelta(days=1))
    assert waiting_count(services) == 1


def test_403_after_404_pauses_the_account(
    services: Services, dispatcher: Dispatcher, ats: FakeAts, decline: Decline, clock: ManualClock
) -> None:
    ats.responses.extend([404, 403, 403])
    decline(1)
    for scopes in (set(), {"account"}, {"account"}):
        drain(dispatcher, services)
        assert (set(pauses(services)), waiting_count(services)) == (scopes, 1)
        clock.advance(timedelta(days=1))


def test_exhausted_rate_limit_header_pauses_queue(
    services: Services, dispatcher: Dispatcher, ats: FakeAts, decline: Decline, clock: ManualClock
) -> None:
    decline(5)
    reset = str(int((clock.now() + timedelta(seconds=10)).timestamp()))
    last = respond_with(200, X_Rate_Limit_Remaining="0", X_Rate_Limit_Reset=reset)
    ats.responses.append(last)
    drain(dispatcher, services)
    assert len(ats.received) == 1
    clock.advance(timedelta(seconds=10))
    drain(dispatcher, services)
    assert len(ats.received) == 5


def test_429_stops_all_messages_that_are_not_claimed_yet(
    services: Services, ats: FakeAts, decline: Decline
) -> None:
    # With 48 slots an untested destination gets four at a time.
    dispatcher = Dispatcher(services, max_concurrent_sends=48)
    ats.responses.extend([respond_with(429, Retry_After="40")] * 12)
    decline(12)
    drain(dispatcher, services)
    assert len(ats.received) == 4
    dispatcher.stop()


def test_callback_rate_of_account_is_respected(
    services: Services,
    dispatcher: Dispatcher,
    ats: FakeAts,
    decline: Decline,
    account: int,
    clock: ManualClock,
) -> None:
    with services.db.writing() as session:
        session.get_one(Account, account).callback_rate = 2
    decline(10)
    sent_counts = []
    for _ in range(20):
        sent_counts.append(drain(dispatcher, services))
        clock.advance(timedelta(milliseconds=250))
    assert sent_counts == [1, 0] * 10
    assert drain(dispatcher, services) == 0
    # Otherwise an idle server would run cycles without a pause.
    assert dispatcher.rate_limit_expires_at() is None


def test_callback_rate_does_not_limit_emails(
    services: Services, dispatcher: Dispatcher, decline: Decline, account: int, test: str
) -> None:
    with services.db.writing() as session:
        session.get_one(Account, account).callback_rate = 0.01
    decline(2)  # each order has two e-mails: an invitation and a confirmation
    drain(dispatcher, services)
    assert waiting_count(services) == 1
    for number in range(5):
        factories.place_order(
            services, account, test, callback_url=f"https://x.workable.com/{number}"
        )
    assert dispatcher.drain(*factories.queue_names(services, channel="email")) == 9
