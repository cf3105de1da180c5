"""Listing pauses, per account too, and probing a pause at once."""

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
from tests.outbox.messages import claim, put, settle

pytestmark = pytest.mark.both
REASON = "It answers 503"
WAIT = timedelta(minutes=30)
FIRST_QUEUE, SECOND_QUEUE = "1/callback/a.test", "2/callback/a.test"


@pytest.fixture(autouse=True)
def accounts(services: Services) -> list[str]:
    """Two accounts; their public ids."""
    ids = [factories.create_account(services, name)[0] for name in ("Groove Tech", "Acme")]
    assert ids == [1, 2]
    with services.db.reading() as session:
        return list(session.scalars(select(Account.public_id).order_by(Account.id)))


def pause(services: Services, *scopes: str, wait: timedelta = WAIT) -> None:
    with services.db.writing() as session:
        for scope in scopes:
            outbox.pause(session, scope, REASON, services.now() + wait, services.now())


def paused_scopes(services: Services, account: int | None = None) -> list[str]:
    with services.db.reading() as session:
        filter_account = session.get_one(Account, account) if account else None
        return [view.scope for view in list_pauses(session, filter_account)]


def probe(services: Services, scope: str) -> None:
    with services.db.writing() as session:
        probe_now(session, scope, services.now())


def waits(services: Services) -> dict[int, timedelta]:
    """Return the remaining wait of each message, by id."""
    with services.db.reading() as session:
        messages = session.scalars(select(Message))
        return {message.id: message.due_at - services.now() for message in messages}


def put_retried(services: Services, queue: str, key: str = "a", wait: timedelta = WAIT) -> int:
    """Return the id of a message that waits for its retry."""
    message = put(services, key, queue=queue)
    (claimed,) = (entry for entry in claim(services, queue) if entry.message_id == message)
    settle(services, claimed, Outcome("retry", retry_after=wait))
    return message


@pytest.mark.parametrize(
    ("scope", "scope_type", "channel", "host", "account"),
    [
        ("destination/a.test", HOST, CALLBACK, "a.test", None),
        ("destination/email", HOST, EMAIL, "", None),
        ("destination/media", HOST, MEDIA, "", None),
        ("account/1/callback", ACCOUNT, CALLBACK, "", 0),
        ("queue/2/callback/a.test", QUEUE, CALLBACK, "a.test", 1),
        ("queue/2/email", QUEUE, EMAIL, "", 1),
    ],
)
def test_list_pauses_describes_scope_of_each_kind(
    services: Services,
    accounts: list[str],
    scope: str,
    scope_type: str,
    channel: str,
    host: str,
    account: int | None,
) -> None:
    pause(services, scope)
    name = "" if account is None else ("Groove Tech", "Acme")[account]
    public_id = "" if account is None else accounts[account]
    now = services.now()
    with services.db.reading() as session:
        (view,) = list_pauses(session)
    assert view == PauseView(
        scope, scope_type, channel, host, name, public_id, REASON, now, now + WAIT
    )
    fix_command = "provider account set 'Groove Tech' callback_token=…"
    assert view.fix_command == (fix_command if scope_type == ACCOUNT else "")


def test_list_pauses_is_ordered_by_start(services: Services, clock: ManualClock) -> None:
    pause(services, "destination/c.test")
    clock.advance(timedelta(seconds=1))
    pause(services, "destination/b.test", "destination/a.test")
    assert paused_scopes(services) == [
        "destination/c.test",
        "destination/a.test",
        "destination/b.test",
    ]


def test_list_pauses_of_account_shows_own_and_affecting_ones(
    services: Services,
) -> None:
    own = ["account/1/callback", "queue/1/callback/x.test"]
    pause(
        services,
        *own,
        "account/2/callback",
        "destination/a.test",
        "destination/b.test",
        "destination/email",
    )
    assert paused_scopes(services, 1) == sorted(own)
    put(services, queue=FIRST_QUEUE)
    put(services, "b", queue="2/callback/b.test")
    put(services, "c", queue="1/email")
    assert paused_scopes(services, 1) == sorted([*own, "destination/a.test", "destination/email"])
    assert paused_scopes(services, 2) == ["account/2/callback", "destination/b.test"]
    settle(services, claim(services, FIRST_QUEUE)[0], Outcome("delivered"))
    assert paused_scopes(services, 1) == sorted([*own, "destination/email"])


@pytest.mark.parametrize(
    ("scope", "probing_queue"),
    [
        ("destination/a.test", "12/callback/a.test"),
        ("account/1/callback", "1/callback/b.test"),
        ("account/1/email", "1/email"),
        ("queue/1/callback/a.test", FIRST_QUEUE),
        ("destination/email", "2/email"),
    ],
)
def test_probe_now_uses_longest_waiting_message_of_scope(
    services: Services, scope: str, probing_queue: str
) -> None:
    queues = [
        "12/callback/a.test",
        "2/email",
        "1/email",
        "2/callback/b.test",
        "1/callback/b.test",
        SECOND_QUEUE,
        FIRST_QUEUE,
    ]
    ids = {
        queue: put_retried(services, queue, queue, WAIT + timedelta(seconds=number))
        for number, queue in enumerate(queues)
    }
    waits_before = waits(services)
    pause(services, scope, "destination/other.test")
    signalled: list[set[str]] = []
    services.db.on_commit.append(signalled.append)
    probe(services, scope)
    assert waits(services) == waits_before | {ids[probing_queue]: timedelta(0)}
    assert signalled == [{probing_queue}]
    with services.db.reading() as session:
        pauses = session.scalars(select(Pause))
        pause_waits = {current.scope: current.retry_at - services.now() for current in pauses}
    assert pause_waits == {scope: timedelta(0), "destination/other.test": WAIT}


def test_probe_now_with_equal_due_times_uses_first_message(services: Services) -> None:
    first, second = (put_retried(services, FIRST_QUEUE, key) for key in ("b", "a"))
    pause(services, "destination/a.test")
    probe(services, "destination/a.test")
    assert waits(services) == {first: timedelta(0), second: WAIT}


def test_probe_now_never_delays_message_or_pause(services: Services, clock: ManualClock) -> None:
    message = put(services, queue=FIRST_QUEUE)
    pause(services, "destination/a.test", wait=timedelta(seconds=5))
    clock.advance(timedelta(minutes=1))
    probe(services, "destination/a.test")
    assert waits(services) == {message: -timedelta(minutes=1)}
    with services.db.reading() as session:
        current = session.get_one(Pause, "destination/a.test")
        assert current.retry_at == services.now() - timedelta(seconds=55)


def test_probe_now_without_messages_ends_only_that_pause(services: Services) -> None:
    put(services, queue=FIRST_QUEUE)
    pause(services, "destination/a.test", "destination/b.test")
    settle(services, claim(services, FIRST_QUEUE)[0], Outcome("delivered"))
    probe(services, "destination/a.test")
    assert paused_scopes(services) == ["destination/b.test"]
    with pytest.raises(NotFound, match="This pause has ended already"):
        probe(services, "destination/a.test")
