"""Holds in people's words: on what each lies, whom it concerns, and what a try touches."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from provider import outbox
from provider.accounts import Account
from provider.errors import NotFound
from provider.house import House
from provider.outbox import CALLBACK, MAIL, MEDIA, Hold, Message, Outcome
from provider.outbox.held import ACCOUNT, HOST, LANE, Held, all_held, try_now
from tests import cast
from tests.cast import HandClock
from tests.test_outbox import claim, put, settle

pytestmark = pytest.mark.both
WHY = "It answers 503"
WAIT = timedelta(minutes=30)
HERE, THERE = "1/callback/a.test", "2/callback/a.test"


@pytest.fixture(autouse=True)
def accounts(house: House) -> list[str]:
    """Two accounts; their public ids."""
    numbers = [cast.account(house, name)[0] for name in ("Groove Tech", "Acme")]
    assert numbers == [1, 2]
    with house.db.reading() as session:
        return list(session.scalars(select(Account.public_id).order_by(Account.id)))


def hold(house: House, *subjects: str, wait: timedelta = WAIT) -> None:
    with house.db.writing() as session:
        for subject in subjects:
            outbox.hold(session, subject, WHY, house.now() + wait, house.now())


def held(house: House, account: int | None = None) -> list[str]:
    with house.db.reading() as session:
        of = session.get_one(Account, account) if account else None
        return [one.subject for one in all_held(session, of)]


def try_(house: House, subject: str) -> None:
    with house.db.writing() as session:
        try_now(session, subject, house.now())


def due(house: House) -> dict[int, timedelta]:
    """Return how long each message still waits."""
    with house.db.reading() as session:
        return {one.id: one.due_at - house.now() for one in session.scalars(select(Message))}


def put_off(house: House, lane: str, key: str = "a", wait: timedelta = WAIT) -> int:
    """Return a message that was tried and waits."""
    message = put(house, key, lane=lane)
    (taken,) = (one for one in claim(house, lane) if one.message_id == message)
    settle(house, taken, Outcome("again", after=wait))
    return message


@pytest.mark.parametrize(
    ("subject", "on", "sink", "host", "account"),
    [
        ("route/a.test", HOST, CALLBACK, "a.test", None),
        ("route/mail", HOST, MAIL, "", None),
        ("route/media", HOST, MEDIA, "", None),
        ("account/1/callback", ACCOUNT, CALLBACK, "", 0),
        ("lane/2/callback/a.test", LANE, CALLBACK, "a.test", 1),
        ("lane/2/mail", LANE, MAIL, "", 1),
    ],
)
def test_a_hold_says_on_what_it_lies(
    house: House, accounts: list[str], subject: str, on: str, sink: str, host: str,
    account: int | None,
) -> None:  # fmt: skip
    hold(house, subject)
    name = "" if account is None else ("Groove Tech", "Acme")[account]
    public_id = "" if account is None else accounts[account]
    since = house.now()
    with house.db.reading() as session:
        (said,) = all_held(session)
    assert said == Held(subject, on, sink, host, name, public_id, WHY, since, since + WAIT)
    mends = "provider account set 'Groove Tech' callback_token=…"
    assert said.remedy == (mends if on == ACCOUNT else "")


def test_what_has_been_held_longest_comes_first(house: House, clock: HandClock) -> None:
    hold(house, "route/c.test")
    clock.pass_(timedelta(seconds=1))
    hold(house, "route/b.test", "route/a.test")
    assert held(house) == ["route/c.test", "route/a.test", "route/b.test"]


def test_a_hold_concerns_an_account_when_it_is_its_own_or_something_of_its_waits(
    house: House,
) -> None:
    own = ["account/1/callback", "lane/1/callback/x.test"]
    hold(house, *own, "account/2/callback", "route/a.test", "route/b.test", "route/mail")
    assert held(house, 1) == own
    put(house, lane=HERE)
    put(house, "b", lane="2/callback/b.test")
    put(house, "c", lane="1/mail")
    assert held(house, 1) == [*own, "route/a.test", "route/mail"]
    assert held(house, 2) == ["account/2/callback", "route/b.test"]
    settle(house, claim(house, HERE)[0], Outcome("done"))
    assert held(house, 1) == [*own, "route/mail"]


@pytest.mark.parametrize(
    ("subject", "moved"),
    [
        ("route/a.test", THERE), ("account/1/callback", "1/callback/b.test"),
        ("account/1/mail", "1/mail"), ("lane/1/callback/a.test", HERE), ("route/mail", "2/mail"),
    ],
)  # fmt: skip
def test_a_try_is_made_by_what_has_waited_longest_of_the_subject_and_touches_no_other(
    house: House, subject: str, moved: str
) -> None:
    lanes = [
        "12/callback/a.test", "2/mail", "1/mail", "2/callback/b.test", "1/callback/b.test",
        THERE, HERE,
    ]  # fmt: skip
    ids = {
        lane: put_off(house, lane, lane, WAIT + timedelta(seconds=number))
        for number, lane in enumerate(lanes)
    }
    before = due(house)
    hold(house, subject, "route/other.test")
    called: list[set[str]] = []
    house.db.on_commit.append(called.append)
    try_(house, subject)
    assert due(house) == before | {ids[moved]: timedelta(0)}
    assert called == [{moved}]
    with house.db.reading() as session:
        until = {one.subject: one.until - house.now() for one in session.scalars(select(Hold))}
    assert until == {subject: timedelta(0), "route/other.test": WAIT}


def test_of_what_is_due_at_once_the_first_that_came_tries(house: House) -> None:
    first, second = (put_off(house, HERE, key) for key in ("b", "a"))
    hold(house, "route/a.test")
    try_(house, "route/a.test")
    assert due(house) == {first: timedelta(0), second: WAIT}


def test_a_try_makes_nothing_later_than_it_was(house: House, clock: HandClock) -> None:
    message = put(house, lane=HERE)
    hold(house, "route/a.test", wait=timedelta(seconds=5))
    clock.pass_(timedelta(minutes=1))
    try_(house, "route/a.test")
    assert due(house) == {message: -timedelta(minutes=1)}
    with house.db.reading() as session:
        standing = session.get_one(Hold, "route/a.test")
        assert standing.until == house.now() - timedelta(seconds=55)


def test_where_nothing_waits_any_more_a_try_ends_the_hold_and_it_alone(house: House) -> None:
    put(house, lane=HERE)
    hold(house, "route/a.test", "route/b.test")
    settle(house, claim(house, HERE)[0], Outcome("done"))
    try_(house, "route/a.test")
    assert held(house) == ["route/b.test"]
    with pytest.raises(NotFound, match="Nothing is held there any more"):
        try_(house, "route/a.test")
