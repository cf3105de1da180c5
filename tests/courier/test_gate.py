from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler

import pytest
from sqlalchemy import func, select

from provider import outbox
from provider.accounts import Account
from provider.courier import Courier
from provider.courier.gate import PATIENCE, REFUSED, STEPS
from provider.house import House
from provider.orders import Order
from provider.outbox import Attempt, Hold, Message
from tests import cast
from tests.cast import HandClock
from tests.fake_ats import FakeAts, answering

Decline = Callable[..., None]


@pytest.fixture
def house(house: House) -> House:
    """The house, with callbacks to this machine allowed."""
    return replace(house, settings=replace(house.settings, private_callbacks=True))


@pytest.fixture
def courier(house: House) -> Iterator[Courier]:
    courier = Courier(house, hands=4)  # one by one to a route that nobody knows
    yield courier
    courier.stop()


@pytest.fixture
def account(house: House) -> int:
    return cast.account(house)[0]


@pytest.fixture
def test(house: House) -> str:
    return cast.test(house)


@pytest.fixture
def decline(house: House, ats: FakeAts, account: int, test: str) -> Decline:
    """Place so many orders whose candidates decline."""

    def declined(count: int, of: int = account, url: str = ats.url, path: str = "") -> None:
        for number in range(count):
            order = cast.order(house, of, test, callback_url=f"{url}/{of}{path}/{number}")
            with house.db.writing() as session:
                Order.find(session, order).decline(session, "", house.now())

    return declined


def holds(house: House) -> dict[str, Hold]:
    with house.db.reading() as session:
        return {hold.subject.partition("/")[0]: hold for hold in session.scalars(select(Hold))}


def waiting(house: House) -> int:
    with house.db.reading() as session:
        told = select(func.count(Message.id)).where(Message.topic == "status")
        return session.scalar(told.where(Message.state == "waiting")) or 0


def tried(house: House) -> int:
    with house.db.reading() as session:
        return session.scalar(select(func.count(Attempt.id))) or 0


def refuse_the_bad(handler: BaseHTTPRequestHandler) -> None:
    answering(403 if "/bad/" in handler.path else 200)(handler)


def drain(courier: Courier, house: House) -> int:
    return courier.drain(*cast.lanes(house))


def test_a_host_that_fails_again_and_again_is_left_alone(
    house: House, courier: Courier, ats: FakeAts, decline: Decline
) -> None:
    decline(20)
    ats.answers.extend([503] * 20)
    drain(courier, house)
    assert len(ats.received) == PATIENCE
    assert tried(house) == PATIENCE  # a skip is no attempt
    hold = holds(house)["route"]
    assert hold.subject == f"route/{ats.url.partition('://')[2]}"
    assert "503" in hold.why
    assert drain(courier, house) == 0


def test_a_host_that_is_left_alone_gets_one_try_at_a_time_at_growing_distances(
    house: House, courier: Courier, ats: FakeAts, decline: Decline, clock: HandClock
) -> None:
    decline(20)
    ats.answers.extend([500] * 50)
    drain(courier, house)
    for step in (*STEPS, STEPS[-1]):
        clock.pass_(step * 0.79)
        assert drain(courier, house) == 0
        clock.pass_(step * 0.42)
        assert drain(courier, house) == 1
    assert holds(house)["route"].probes == len(STEPS) + 1


def test_once_it_answers_everything_goes_in_order(
    house: House, courier: Courier, ats: FakeAts, decline: Decline, clock: HandClock
) -> None:
    decline(20)
    ats.answers.extend([500] * PATIENCE)
    drain(courier, house)
    clock.pass_(timedelta(hours=1))
    drain(courier, house)
    assert holds(house) == {}
    assert waiting(house) == 0


def test_a_failure_now_and_then_is_no_reason_to_leave_a_host_alone(
    house: House, courier: Courier, ats: FakeAts, decline: Decline
) -> None:
    decline(20)
    ats.answers.extend([500, 500, 500, 500, 200] * 4)
    drain(courier, house)
    assert len(ats.received) == 20
    assert holds(house) == {}


def test_a_dead_host_stops_no_other_host_of_the_same_account(
    house: House, courier: Courier, ats: FakeAts, decline: Decline, account: int
) -> None:
    decline(10, url="http://127.0.0.1:9", path="/dead")
    decline(3)
    drain(courier, house)
    assert len(ats.received) == 3
    assert holds(house)["route"].subject == "route/127.0.0.1:9"


def test_a_hold_stops_the_couriers_of_other_processes_too_and_one_of_them_tries(
    house: House, ats: FakeAts, decline: Decline, clock: HandClock
) -> None:
    decline(20)
    ats.answers.extend([500] * (PATIENCE + 1))
    first, second = Courier(house, hands=4), Courier(house, hands=4)
    drain(first, house)
    assert drain(second, house) == 0
    clock.pass_(timedelta(minutes=1))
    with house.db.writing() as session:
        (standing,) = session.scalars(select(Hold))
        until = house.now() + timedelta(minutes=1)
        assert outbox.probe(session, standing, until=until, at=house.now())
        assert not outbox.probe(session, standing, until=until, at=house.now())
    assert drain(first, house) + drain(second, house) == 0
    first.stop()
    second.stop()


@pytest.mark.parametrize("code", [401, 403])
def test_a_refused_token_pauses_the_account_and_no_other(
    house: House, courier: Courier, ats: FakeAts, decline: Decline, account: int, code: int
) -> None:
    other, _ = cast.account(house, "Other Ltd")
    decline(5)
    decline(5, of=other)
    ats.answers.extend([code])
    drain(courier, house)
    assert [put.path.split("/")[1] for put in ats.received[1:]] == [str(other)] * 5
    hold = holds(house)["account"]
    assert hold.subject == f"account/{account}/callback"
    assert str(code) in hold.why
    assert waiting(house) == 5


def test_a_refused_token_is_tried_each_half_hour_and_works_again_without_hands(
    house: House, courier: Courier, ats: FakeAts, decline: Decline, clock: HandClock
) -> None:
    decline(5)
    ats.answers.extend([401, 401])
    drain(courier, house)
    clock.pass_(REFUSED * 0.79)
    assert drain(courier, house) == 0
    clock.pass_(REFUSED * 0.42)
    assert drain(courier, house) == 1
    clock.pass_(REFUSED * 1.21)
    drain(courier, house)
    assert holds(house) == {}
    assert waiting(house) == 0


def test_a_token_that_stays_refused_parks_nothing(
    house: House, courier: Courier, ats: FakeAts, decline: Decline, clock: HandClock
) -> None:
    ats.answers.extend([403] * 6)
    decline(1)
    for tries in range(1, 7):
        drain(courier, house)
        assert (len(ats.received), waiting(house), [*holds(house)]) == (tries, 1, ["account"])
        clock.pass_(REFUSED * 1.21)


def test_a_new_token_resumes_a_paused_account_at_once(
    house: House, courier: Courier, ats: FakeAts, decline: Decline, account: int
) -> None:
    decline(5)
    ats.answers.append(401)
    drain(courier, house)
    with house.db.writing() as session:
        session.get_one(Account, account).set_callback_token(house.vault, "new-token")
        outbox.lift(session, f"account/{account}/callback")
    drain(courier, house)
    assert waiting(house) == 0
    assert {put.headers["Authorization"] for put in ats.received[1:]} == {"Bearer new-token"}


@pytest.mark.parametrize("before", ["old-token", None])
def test_a_refusal_of_a_token_that_was_replaced_on_the_way_holds_nothing(
    house: House, courier: Courier, ats: FakeAts, decline: Decline, before: str | None
) -> None:
    def refuse(handler: BaseHTTPRequestHandler) -> None:
        with house.db.writing() as session:
            session.get_one(Account, other).set_callback_token(house.vault, "new-token")
        answering(401)(handler)

    other, _ = cast.account(house, "Other", callback_token=before)
    ats.answers.append(refuse)
    decline(1, of=other)
    drain(courier, house)
    assert (holds(house), waiting(house)) == ({}, 0)
    told = [put.headers.get("Authorization") for put in ats.received]
    assert told == [before and f"Bearer {before}", "Bearer new-token"]


def test_an_account_without_a_token_is_paused_too_where_one_is_wanted(
    house: House, courier: Courier, ats: FakeAts, decline: Decline
) -> None:
    bare, _ = cast.account(house, "Bare", callback_token=None)
    ats.answers.append(401)
    decline(1, of=bare)
    drain(courier, house)
    assert ([*holds(house)], waiting(house)) == (["account"], 1)


def test_an_account_whose_token_cannot_be_opened_says_nothing_of_its_host(
    house: House, courier: Courier, ats: FakeAts, decline: Decline, account: int, clock: HandClock
) -> None:
    ats.answers.extend([500] * PATIENCE)
    decline(PATIENCE)
    drain(courier, house)
    began = holds(house)["route"].since
    with house.db.writing() as session:
        session.get_one(Account, account).callback_token = b"not to be opened"
    clock.pass_(timedelta(hours=1))
    drain(courier, house)
    standing = holds(house)
    assert set(standing) == {"account", "route"}
    assert (standing["route"].since, len(ats.received)) == (began, PATIENCE)


def test_what_was_never_dialled_says_nothing_of_its_host(
    house: House, courier: Courier, ats: FakeAts, decline: Decline, account: int, clock: HandClock
) -> None:
    ats.answers.extend([500] * PATIENCE)
    decline(PATIENCE + 1)
    drain(courier, house)
    began = holds(house)["route"].since
    with house.db.writing() as session:
        session.get_one(Account, account).callback_hosts = ["elsewhere.test"]
    clock.pass_(STEPS[0] * 2)
    assert drain(courier, house) == 1
    assert (holds(house)["route"].since, len(ats.received)) == (began, PATIENCE)


def test_who_has_too_much_is_left_alone_for_as_long_as_asked(
    house: House, courier: Courier, ats: FakeAts, decline: Decline, clock: HandClock
) -> None:
    decline(5)
    ats.answers.append(answering(429, Retry_After="40"))
    drain(courier, house)
    assert len(ats.received) == 1
    assert holds(house)["lane"].until == clock.now() + timedelta(seconds=40)
    clock.pass_(timedelta(seconds=40))
    drain(courier, house)
    assert waiting(house) == 0
    assert holds(house) == {}


def test_who_has_too_much_for_one_account_keeps_no_other_of_the_same_host(
    house: House, courier: Courier, ats: FakeAts, decline: Decline, account: int, clock: HandClock
) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        answering(429 if handler.path.startswith(f"/{account}/") else 200)(handler)

    other, _ = cast.account(house, "Other")
    ats.answers.extend([answer] * 100)
    decline(2)
    for _ in range(PATIENCE):
        drain(courier, house)
        clock.pass_(timedelta(hours=2))
    assert len(ats.received) >= PATIENCE
    decline(1, of=other)
    drain(courier, house)
    assert waiting(house) == 2


@pytest.mark.both
def test_one_order_that_is_refused_for_ever_does_not_pause_its_account_for_ever(
    house: House, courier: Courier, ats: FakeAts, decline: Decline, account: int, clock: HandClock
) -> None:
    ats.answers.extend([refuse_the_bad] * 1000)
    decline(1, path="/bad")
    held = 0
    for number in range(12):
        decline(1, path=f"/{number}")
        drain(courier, house)
        held += "account" in holds(house)
        clock.pass_(REFUSED / 2)
    drain(courier, house)
    assert held <= 6
    assert [put.path for put in ats.received].count(f"/{account}/bad/0") <= 5
    assert (holds(house), waiting(house)) == ({}, 0)


def test_a_token_that_is_refused_later_is_no_matter_of_the_order_that_was_refused_before(
    house: House, courier: Courier, ats: FakeAts, decline: Decline, account: int, clock: HandClock
) -> None:
    ats.answers.extend([refuse_the_bad] * 100)
    for path in ("/bad", "/good"):
        decline(1, path=path)
        clock.pass_(timedelta(seconds=1))
    bad, good = (f"/{account}/{which}/0" for which in ("bad", "good"))
    for tried, held in (([bad], {"account"}), ([good, bad], set()), ([bad], {"account"})):
        ats.received.clear()
        drain(courier, house)
        assert ([put.path for put in ats.received], set(holds(house))) == (tried, held)
        clock.pass_(timedelta(days=1))
    assert waiting(house) == 1


def test_a_refused_token_is_the_accounts_matter_whatever_an_order_was_answered_before(
    house: House, courier: Courier, ats: FakeAts, decline: Decline, clock: HandClock
) -> None:
    ats.answers.extend([404, 403, 403])
    decline(1)
    for held in (set(), {"account"}, {"account"}):
        drain(courier, house)
        assert (set(holds(house)), waiting(house)) == (held, 1)
        clock.pass_(timedelta(days=1))


def test_a_rate_limit_that_is_used_up_is_obeyed_before_it_is_broken(
    house: House, courier: Courier, ats: FakeAts, decline: Decline, clock: HandClock
) -> None:
    decline(5)
    reset = str(int((clock.now() + timedelta(seconds=10)).timestamp()))
    last = answering(200, X_Rate_Limit_Remaining="0", X_Rate_Limit_Reset=reset)
    ats.answers.append(last)
    drain(courier, house)
    assert len(ats.received) == 1
    clock.pass_(timedelta(seconds=10))
    drain(courier, house)
    assert len(ats.received) == 5


def test_a_wish_for_rest_is_heard_for_what_was_claimed_ahead_too(
    house: House, ats: FakeAts, decline: Decline, clock: HandClock
) -> None:
    courier = Courier(house, hands=48)  # four at once to a route that nobody knows
    ats.answers.extend([answering(429, Retry_After="40")] * 12)
    decline(12)
    for count in (4, 8, 12):
        drain(courier, house)
        assert len(ats.received) == count
        clock.pass_(timedelta(seconds=40))
    courier.stop()


def test_an_accounts_pace_is_kept(
    house: House, courier: Courier, ats: FakeAts, decline: Decline, account: int, clock: HandClock
) -> None:
    with house.db.writing() as session:
        session.get_one(Account, account).callback_rate = 2
    decline(10)
    came = []
    for _ in range(20):
        came.append(drain(courier, house))
        clock.pass_(timedelta(milliseconds=250))
    assert came == [1, 0] * 10
    assert drain(courier, house) == 0
    assert courier.next_at() is None  # or an idle server would take turns without a pause


def test_a_pace_is_for_callbacks_and_holds_up_no_letter(
    house: House, courier: Courier, decline: Decline, account: int, test: str
) -> None:
    with house.db.writing() as session:
        session.get_one(Account, account).callback_rate = 0.01
    decline(2)  # who have their letters too
    drain(courier, house)
    assert waiting(house) == 1
    for number in range(5):
        cast.order(house, account, test, callback_url=f"https://x.workable.com/{number}")
    assert courier.drain(*cast.lanes(house, sink="mail")) == 7
