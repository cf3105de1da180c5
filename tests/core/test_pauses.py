"""Holds in people's words: on what each lies, whom it concerns, and what a try touches."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from provider import outbox
from provider.core.accounts import Account
from provider.core.pauses import ACCOUNT, HOST, QUEUE, PauseView, list_pauses, probe_now
from provider.errors import NotFound
from provider.outbox import CALLBACK, EMAIL, MEDIA, Message, Outcome, Pause
from provider.services import Services
from tests import factories
from tests.factories import ManualClock
from tests.outbox.test_messages import claim, put, settle

pytestmark = pytest.mark.both
WHY = "It answers 503"
WAIT = timedelta(minutes=30)
HERE, THERE = "1/callback/a.test", "2/callback/a.test"


@pytest.fixture(autouse=True)
def accounts(services: Services) -> list[str]:
    """Two accounts; their public ids."""
    numbers = [factories.create_account(services, name)[0] for name in ("Groove Tech", "Acme")]
    assert numbers == [1, 2]
    with services.db.reading() as session:
        return list(session.scalars(select(Account.public_id).order_by(Account.id)))


def hold(services: Services, *subjects: str, wait: timedelta = WAIT) -> None:
    with services.db.writing() as session:
        for subject in subjects:
            outbox.pause(session, subject, WHY, services.now() + wait, services.now())


def held(services: Services, account: int | None = None) -> list[str]:
    with services.db.reading() as session:
        of = session.get_one(Account, account) if account else None
        return [one.scope for one in list_pauses(session, of)]


def try_(services: Services, subject: str) -> None:
    with services.db.writing() as session:
        probe_now(session, subject, services.now())


def due(services: Services) -> dict[int, timedelta]:
    """Return how long each message still waits."""
    with services.db.reading() as session:
        return {one.id: one.due_at - services.now() for one in session.scalars(select(Message))}


def put_off(services: Services, lane: str, key: str = "a", wait: timedelta = WAIT) -> int:
    """Return a message that was tried and waits."""
    message = put(services, key, lane=lane)
    (taken,) = (one for one in claim(services, lane) if one.message_id == message)
    settle(services, taken, Outcome("retry", retry_after=wait))
    return message


@pytest.mark.parametrize(
    ("subject", "on", "sink", "host", "account"),
    [
        ("destination/a.test", HOST, CALLBACK, "a.test", None),
        ("destination/email", HOST, EMAIL, "", None),
        ("destination/media", HOST, MEDIA, "", None),
        ("account/1/callback", ACCOUNT, CALLBACK, "", 0),
        ("queue/2/callback/a.test", QUEUE, CALLBACK, "a.test", 1),
        ("queue/2/email", QUEUE, EMAIL, "", 1),
    ],
)
def test_a_hold_says_on_what_it_lies(
    services: Services,
    accounts: list[str],
    subject: str,
    on: str,
    sink: str,
    host: str,
    account: int | None,
) -> None:
    hold(services, subject)
    name = "" if account is None else ("Groove Tech", "Acme")[account]
    public_id = "" if account is None else accounts[account]
    since = services.now()
    with services.db.reading() as session:
        (said,) = list_pauses(session)
    assert said == PauseView(subject, on, sink, host, name, public_id, WHY, since, since + WAIT)
    mends = "provider account set 'Groove Tech' callback_token=…"
    assert said.fix_command == (mends if on == ACCOUNT else "")


def test_what_has_been_held_longest_comes_first(services: Services, clock: ManualClock) -> None:
    hold(services, "destination/c.test")
    clock.advance(timedelta(seconds=1))
    hold(services, "destination/b.test", "destination/a.test")
    assert held(services) == ["destination/c.test", "destination/a.test", "destination/b.test"]


def test_a_hold_concerns_an_account_when_it_is_its_own_or_something_of_its_waits(
    services: Services,
) -> None:
    own = ["account/1/callback", "queue/1/callback/x.test"]
    hold(
        services,
        *own,
        "account/2/callback",
        "destination/a.test",
        "destination/b.test",
        "destination/email",
    )
    assert held(services, 1) == sorted(own)
    put(services, lane=HERE)
    put(services, "b", lane="2/callback/b.test")
    put(services, "c", lane="1/email")
    assert held(services, 1) == sorted([*own, "destination/a.test", "destination/email"])
    assert held(services, 2) == ["account/2/callback", "destination/b.test"]
    settle(services, claim(services, HERE)[0], Outcome("delivered"))
    assert held(services, 1) == sorted([*own, "destination/email"])


@pytest.mark.parametrize(
    ("subject", "moved"),
    [
        ("destination/a.test", THERE),
        ("account/1/callback", "1/callback/b.test"),
        ("account/1/email", "1/email"),
        ("queue/1/callback/a.test", HERE),
        ("destination/email", "2/email"),
    ],
)
def test_a_try_is_made_by_what_has_waited_longest_of_the_subject_and_touches_no_other(
    services: Services, subject: str, moved: str
) -> None:
    lanes = [
        "12/callback/a.test",
        "2/email",
        "1/email",
        "2/callback/b.test",
        "1/callback/b.test",
        THERE,
        HERE,
    ]
    ids = {
        lane: put_off(services, lane, lane, WAIT + timedelta(seconds=number))
        for number, lane in enumerate(lanes)
    }
    before = due(services)
    hold(services, subject, "destination/other.test")
    called: list[set[str]] = []
    services.db.on_commit.append(called.append)
    try_(services, subject)
    assert due(services) == before | {ids[moved]: timedelta(0)}
    assert called == [{moved}]
    with services.db.reading() as session:
        until = {one.scope: one.retry_at - services.now() for one in session.scalars(select(Pause))}
    assert until == {subject: timedelta(0), "destination/other.test": WAIT}


def test_of_what_is_due_at_once_the_first_that_came_tries(services: Services) -> None:
    first, second = (put_off(services, HERE, key) for key in ("b", "a"))
    hold(services, "destination/a.test")
    try_(services, "destination/a.test")
    assert due(services) == {first: timedelta(0), second: WAIT}


def test_a_try_makes_nothing_later_than_it_was(services: Services, clock: ManualClock) -> None:
    message = put(services, lane=HERE)
    hold(services, "destination/a.test", wait=timedelta(seconds=5))
    clock.advance(timedelta(minutes=1))
    try_(services, "destination/a.test")
    assert due(services) == {message: -timedelta(minutes=1)}
    with services.db.reading() as session:
        standing = session.get_one(Pause, "destination/a.test")
        assert standing.retry_at == services.now() - timedelta(seconds=55)


def test_where_nothing_waits_any_more_a_try_ends_the_hold_and_it_alone(services: Services) -> None:
    put(services, lane=HERE)
    hold(services, "destination/a.test", "destination/b.test")
    settle(services, claim(services, HERE)[0], Outcome("delivered"))
    try_(services, "destination/a.test")
    assert held(services) == ["destination/b.test"]
    with pytest.raises(NotFound, match="Nothing is held there any more"):
        try_(services, "destination/a.test")
