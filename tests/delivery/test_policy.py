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
from provider.delivery.policy import FAILURE_THRESHOLD, PROBE_INTERVALS, TOKEN_PROBE_INTERVAL
from provider.outbox import Attempt, Message, Pause
from provider.services import Services
from tests import factories
from tests.factories import ManualClock
from tests.fake_ats import FakeAts, respond_with

Decline = Callable[..., None]


@pytest.fixture
def services(services: Services) -> Services:
    """The house, with callbacks to this machine allowed."""
    return replace(services, settings=replace(services.settings, private_callbacks=True))


@pytest.fixture
def dispatcher(services: Services) -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(
        services, max_concurrent_sends=4
    )  # one by one to a route that nobody knows
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
    """Place so many orders whose candidates decline."""

    def declined(count: int, of: int = account, url: str = ats.url, path: str = "") -> None:
        for number in range(count):
            order = factories.place_order(
                services, of, test, callback_url=f"{url}/{of}{path}/{number}"
            )
            with services.db.writing() as session:
                Order.find(session, order).decline(session, "", services.now())

    return declined


def holds(services: Services) -> dict[str, Pause]:
    with services.db.reading() as session:
        return {hold.scope.partition("/")[0]: hold for hold in session.scalars(select(Pause))}


def waiting(services: Services) -> int:
    with services.db.reading() as session:
        told = select(func.count(Message.id)).where(Message.topic == "status")
        return session.scalar(told.where(Message.state == "waiting")) or 0


def tried(services: Services) -> int:
    with services.db.reading() as session:
        return session.scalar(select(func.count(Attempt.id))) or 0


def refuse_the_bad(handler: BaseHTTPRequestHandler) -> None:
    respond_with(403 if "/bad/" in handler.path else 200)(handler)


def drain(dispatcher: Dispatcher, services: Services) -> int:
    return dispatcher.drain(*factories.queue_names(services))


def test_a_host_that_fails_again_and_again_is_left_alone(
    services: Services, dispatcher: Dispatcher, ats: FakeAts, decline: Decline
) -> None:
    decline(20)
    ats.responses.extend([503] * 20)
    drain(dispatcher, services)
    assert len(ats.received) == FAILURE_THRESHOLD
    assert tried(services) == FAILURE_THRESHOLD  # a skip is no attempt
    hold = holds(services)["destination"]
    assert hold.scope == f"destination/{ats.url.partition('://')[2]}"
    assert "503" in hold.reason
    assert drain(dispatcher, services) == 0


def test_a_host_that_is_left_alone_gets_one_try_at_a_time_at_growing_distances(
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
    assert holds(services)["destination"].failed_probes == len(PROBE_INTERVALS) + 1


def test_once_it_answers_everything_goes_in_order(
    services: Services, dispatcher: Dispatcher, ats: FakeAts, decline: Decline, clock: ManualClock
) -> None:
    decline(20)
    ats.responses.extend([500] * FAILURE_THRESHOLD)
    drain(dispatcher, services)
    clock.advance(timedelta(hours=1))
    drain(dispatcher, services)
    assert holds(services) == {}
    assert waiting(services) == 0


def test_a_failure_now_and_then_is_no_reason_to_leave_a_host_alone(
    services: Services, dispatcher: Dispatcher, ats: FakeAts, decline: Decline
) -> None:
    decline(20)
    ats.responses.extend([500, 500, 500, 500, 200] * 4)
    drain(dispatcher, services)
    assert len(ats.received) == 20
    assert holds(services) == {}


def test_a_dead_host_stops_no_other_host_of_the_same_account(
    services: Services, dispatcher: Dispatcher, ats: FakeAts, decline: Decline, account: int
) -> None:
    decline(10, url="http://127.0.0.1:9", path="/dead")
    decline(3)
    drain(dispatcher, services)
    assert len(ats.received) == 3
    assert holds(services)["destination"].scope == "destination/127.0.0.1:9"


def test_a_hold_stops_the_couriers_of_other_processes_too_and_one_of_them_tries(
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
        (standing,) = session.scalars(select(Pause))
        until = services.now() + timedelta(minutes=1)
        assert outbox.probe(session, standing, retry_at=until, now=services.now())
        assert not outbox.probe(session, standing, retry_at=until, now=services.now())
    assert drain(first, services) + drain(second, services) == 0
    first.stop()
    second.stop()


@pytest.mark.parametrize("code", [401, 403])
def test_a_refused_token_pauses_the_account_and_no_other(
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
    hold = holds(services)["account"]
    assert hold.scope == f"account/{account}/callback"
    assert str(code) in hold.reason
    assert waiting(services) == 5


def test_a_refused_token_is_tried_each_half_hour_and_works_again_without_hands(
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
    assert holds(services) == {}
    assert waiting(services) == 0


def test_a_token_that_stays_refused_parks_nothing(
    services: Services, dispatcher: Dispatcher, ats: FakeAts, decline: Decline, clock: ManualClock
) -> None:
    ats.responses.extend([403] * 6)
    decline(1)
    for tries in range(1, 7):
        drain(dispatcher, services)
        assert (len(ats.received), waiting(services), [*holds(services)]) == (tries, 1, ["account"])
        clock.advance(TOKEN_PROBE_INTERVAL * 1.21)


def test_a_new_token_resumes_a_paused_account_at_once(
    services: Services, dispatcher: Dispatcher, ats: FakeAts, decline: Decline, account: int
) -> None:
    decline(5)
    ats.responses.append(401)
    drain(dispatcher, services)
    with services.db.writing() as session:
        session.get_one(Account, account).set_callback_token(services.secret_box, "new-token")
        outbox.resume(session, f"account/{account}/callback")
    drain(dispatcher, services)
    assert waiting(services) == 0
    assert {put.headers["Authorization"] for put in ats.received[1:]} == {"Bearer new-token"}


@pytest.mark.parametrize("before", ["old-token", None])
def test_a_refusal_of_a_token_that_was_replaced_on_the_way_holds_nothing(
    services: Services, dispatcher: Dispatcher, ats: FakeAts, decline: Decline, before: str | None
) -> None:
    def refuse(handler: BaseHTTPRequestHandler) -> None:
        with services.db.writing() as session:
            session.get_one(Account, other).set_callback_token(services.secret_box, "new-token")
        respond_with(401)(handler)

    other, _ = factories.create_account(services, "Other", callback_token=before)
    ats.responses.append(refuse)
    decline(1, of=other)
    drain(dispatcher, services)
    assert (holds(services), waiting(services)) == ({}, 0)
    told = [put.headers.get("Authorization") for put in ats.received]
    assert told == [before and f"Bearer {before}", "Bearer new-token"]


def test_an_account_without_a_token_is_paused_too_where_one_is_wanted(
    services: Services, dispatcher: Dispatcher, ats: FakeAts, decline: Decline
) -> None:
    bare, _ = factories.create_account(services, "Bare", callback_token=None)
    ats.responses.append(401)
    decline(1, of=bare)
    drain(dispatcher, services)
    assert ([*holds(services)], waiting(services)) == (["account"], 1)


def test_an_account_whose_token_cannot_be_opened_says_nothing_of_its_host(
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
    began = holds(services)["destination"].paused_at
    with services.db.writing() as session:
        session.get_one(Account, account).callback_token = b"not to be opened"
    clock.advance(timedelta(hours=1))
    drain(dispatcher, services)
    standing = holds(services)
    assert set(standing) == {"account", "destination"}
    assert (standing["destination"].paused_at, len(ats.received)) == (began, FAILURE_THRESHOLD)


def test_what_was_never_dialled_says_nothing_of_its_host(
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
    began = holds(services)["destination"].paused_at
    with services.db.writing() as session:
        session.get_one(Account, account).callback_hosts = ["elsewhere.test"]
    clock.advance(PROBE_INTERVALS[0] * 2)
    assert drain(dispatcher, services) == 1
    assert (holds(services)["destination"].paused_at, len(ats.received)) == (
        began,
        FAILURE_THRESHOLD,
    )


def test_who_has_too_much_is_left_alone_for_as_long_as_asked(
    services: Services, dispatcher: Dispatcher, ats: FakeAts, decline: Decline, clock: ManualClock
) -> None:
    decline(5)
    ats.responses.append(respond_with(429, Retry_After="40"))
    drain(dispatcher, services)
    assert len(ats.received) == 1
    assert holds(services)["queue"].retry_at == clock.now() + timedelta(seconds=40)
    clock.advance(timedelta(seconds=40))
    drain(dispatcher, services)
    assert waiting(services) == 0
    assert holds(services) == {}


def test_who_has_too_much_for_one_account_keeps_no_other_of_the_same_host(
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
    assert waiting(services) == 2


@pytest.mark.both
def test_one_order_that_is_refused_for_ever_does_not_pause_its_account_for_ever(
    services: Services,
    dispatcher: Dispatcher,
    ats: FakeAts,
    decline: Decline,
    account: int,
    clock: ManualClock,
) -> None:
    ats.responses.extend([refuse_the_bad] * 1000)
    decline(1, path="/bad")
    held = 0
    for number in range(12):
        decline(1, path=f"/{number}")
        drain(dispatcher, services)
        held += "account" in holds(services)
        clock.advance(TOKEN_PROBE_INTERVAL / 2)
    drain(dispatcher, services)
    assert held <= 6
    assert [put.path for put in ats.received].count(f"/{account}/bad/0") <= 5
    assert (holds(services), waiting(services)) == ({}, 0)


def test_a_token_that_is_refused_later_is_no_matter_of_the_order_that_was_refused_before(
    services: Services,
    dispatcher: Dispatcher,
    ats: FakeAts,
    decline: Decline,
    account: int,
    clock: ManualClock,
) -> None:
    ats.responses.extend([refuse_the_bad] * 100)
    for path in ("/bad", "/good"):
        decline(1, path=path)
        clock.advance(timedelta(seconds=1))
    bad, good = (f"/{account}/{which}/0" for which in ("bad", "good"))
    for tried, held in (([bad], {"account"}), ([good, bad], set()), ([bad], {"account"})):
        ats.received.clear()
        drain(dispatcher, services)
        assert ([put.path for put in ats.received], set(holds(services))) == (tried, held)
        clock.advance(timedelta(days=1))
    assert waiting(services) == 1


def test_a_refused_token_is_the_accounts_matter_whatever_an_order_was_answered_before(
    services: Services, dispatcher: Dispatcher, ats: FakeAts, decline: Decline, clock: ManualClock
) -> None:
    ats.responses.extend([404, 403, 403])
    decline(1)
    for held in (set(), {"account"}, {"account"}):
        drain(dispatcher, services)
        assert (set(holds(services)), waiting(services)) == (held, 1)
        clock.advance(timedelta(days=1))


def test_a_rate_limit_that_is_used_up_is_obeyed_before_it_is_broken(
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


def test_a_wish_for_rest_is_heard_for_what_was_claimed_ahead_too(
    services: Services, ats: FakeAts, decline: Decline, clock: ManualClock
) -> None:
    dispatcher = Dispatcher(
        services, max_concurrent_sends=48
    )  # four at once to a route that nobody knows
    ats.responses.extend([respond_with(429, Retry_After="40")] * 12)
    decline(12)
    for count in (4, 8, 12):
        drain(dispatcher, services)
        assert len(ats.received) == count
        clock.advance(timedelta(seconds=40))
    dispatcher.stop()


def test_an_accounts_pace_is_kept(
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
    came = []
    for _ in range(20):
        came.append(drain(dispatcher, services))
        clock.advance(timedelta(milliseconds=250))
    assert came == [1, 0] * 10
    assert drain(dispatcher, services) == 0
    assert (
        dispatcher.rate_limit_expires_at() is None
    )  # or an idle server would take turns without a pause


def test_a_pace_is_for_callbacks_and_holds_up_no_letter(
    services: Services, dispatcher: Dispatcher, decline: Decline, account: int, test: str
) -> None:
    with services.db.writing() as session:
        session.get_one(Account, account).callback_rate = 0.01
    decline(2)  # who have their letters too
    drain(dispatcher, services)
    assert waiting(services) == 1
    for number in range(5):
        factories.place_order(
            services, account, test, callback_url=f"https://x.workable.com/{number}"
        )
    assert dispatcher.drain(*factories.queue_names(services, channel="email")) == 7
