"""Locks on PostgreSQL: which transaction waits for which, and which must not wait."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, text, update
from structlog.testing import capture_logs

from provider import outbox
from provider.config import Settings
from provider.core.accounts import Account
from provider.core.orders import Link, Order
from provider.core.pauses import probe_now
from provider.delivery import Dispatcher
from provider.delivery.circuit_breaker import FAILURE_THRESHOLD, CircuitBreaker
from provider.outbox import SUPERSEDED, WAITING, AttemptResult, Claim, Message, Outcome, Pause
from provider.outbox.claims import _claim_query
from provider.services import Services
from provider.storage.database import acquire_advisory_lock
from tests import factories
from tests.ats.workable_client import WorkableClient
from tests.core.emails.test_emails import smtp_server as smtp_server
from tests.factories import ManualClock
from tests.outbox.messages import claim, put, settle, state
from tests.postgres_server import PostgresServer
from tests.smtp_server import SmtpServer

QUEUE = "1/callback/a.test"
SCOPE = "destination/a.test"
REASON = "It answers 500"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def services(settings: Settings, clock: ManualClock, postgres_url: str) -> Iterator[Services]:
    services = factories.build_services(replace(settings, database_url=postgres_url), clock)
    yield services
    services.db.close()


@pytest.fixture
def second_thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


WaitForLock = Callable[[Future[Any]], None]


@pytest.fixture
def wait_for_lock(services: Services, postgres: PostgresServer) -> WaitForLock:
    """Return a function that waits until the server reports a lock wait.

    The function fails if the other thread finishes without waiting.
    """
    database = str(services.db.url.database)

    def wait(future: Future[Any]) -> None:
        deadline = time.monotonic() + 10
        while not postgres.has_lock_waiter(database):
            assert not future.done(), "the other thread did not wait"
            assert time.monotonic() < deadline

    return wait


def pause(services: Services, duration: timedelta = timedelta(0)) -> int:
    """Begin or prolong a pause; return the number of failed probes."""
    with services.db.writing() as session:
        return outbox.pause(
            session, SCOPE, REASON, services.now() + duration, services.now()
        ).failed_probes


def count_accounts(services: Services) -> int:
    with services.db.writing() as session:
        acquire_advisory_lock(session, "accounts")
        return len(session.scalars(select(Account.id)).all())


def requeue(services: Services, message: int) -> bool:
    with services.db.writing() as session:
        return outbox.requeue(session, session.get_one(Message, message), services.now())


def create_parked(services: Services) -> tuple[int, int]:
    """Return the ids of a parked message and of its successor, which is due."""
    first, later = (
        put(services, sequence=number, queue=QUEUE, supersedes_earlier=True) for number in (1, 2)
    )
    settle(services, claim(services, QUEUE)[0], Outcome("rejected"))
    return first, later


# Advisory locks


def test_advisory_lock_serialises_transactions(
    services: Services, second_thread: ThreadPoolExecutor, wait_for_lock: WaitForLock
) -> None:
    with services.db.writing() as session:
        acquire_advisory_lock(session, "accounts")
        count = second_thread.submit(count_accounts, services)
        wait_for_lock(count)
        session.add(Account(name="first", ats="workable", created_at=services.now()))
    assert count.result(10) == 1


def test_concurrent_pause_of_one_scope_counts_as_second_failure(
    services: Services, second_thread: ThreadPoolExecutor, wait_for_lock: WaitForLock
) -> None:
    with services.db.writing() as session:
        outbox.pause(session, SCOPE, REASON, services.now(), services.now())
        probes = second_thread.submit(pause, services)
        wait_for_lock(probes)
    assert probes.result(10) == 1


# Settling beside an erasure


def test_refused_email_is_settled_after_an_act_that_locks_the_order(
    services: Services,
    second_thread: ThreadPoolExecutor,
    wait_for_lock: WaitForLock,
    smtp_server: SmtpServer,
) -> None:
    account, _ = factories.create_account(services)
    order = factories.place_order(services, account, factories.create_test(services))
    smtp_server.rcpt_replies.append("550 5.1.1 No such user here")
    settings = replace(services.settings, mail_url=smtp_server.url)
    dispatcher = Dispatcher(replace(services, settings=settings))
    dispatcher.wake([f"{account}/email"])
    assert dispatcher.run_once() == 1
    dispatcher._send_threads.stop()
    with services.db.writing() as session:
        Order.find(session, order, lock=True)
        settled = second_thread.submit(dispatcher.run_once)
        wait_for_lock(settled)
        # An erasure locks them, too. They are free, because the dispatcher locks the order first.
        session.execute(select(Message.id).with_for_update()).all()
    settled.result(10)
    with services.db.reading() as session:
        assert Order.find(session, order).is_invitation_bounced


# Requeueing beside a dispatcher


def test_requeue_waits_for_claim_of_later_message(
    services: Services, second_thread: ThreadPoolExecutor, wait_for_lock: WaitForLock
) -> None:
    first, _ = create_parked(services)
    with services.db.writing() as session:
        assert len(outbox.claim(session, QUEUE, services.now(), 10)) == 1
        requeued = second_thread.submit(requeue, services, first)
        wait_for_lock(requeued)
    assert not requeued.result(10)
    assert state(services, first) == SUPERSEDED


def test_claim_skips_later_message_during_requeue(
    services: Services, second_thread: ThreadPoolExecutor
) -> None:
    first, _ = create_parked(services)
    with services.db.writing() as session:
        assert outbox.requeue(session, session.get_one(Message, first), services.now())
        assert second_thread.submit(claim, services, QUEUE).result(10) == []
    assert [message.message_id for message in claim(services, QUEUE)] == [first]


def test_claim_releases_later_message_if_earlier_was_requeued_meanwhile(
    services: Services, second_thread: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, later = create_parked(services)
    query = _claim_query(1)
    fetch_all = query.fetch_all

    def requeue_first() -> None:
        with services.db.writing() as session:
            values = {"state": WAITING, "due_at": services.now(), "settled_at": None}
            session.execute(update(Message).where(Message.id == first).values(values))

    def fetch_before_requeue(*args: Any) -> list[tuple[Any, ...]]:
        rows = fetch_all(*args)
        second_thread.submit(requeue_first).result(10)  # after the snapshot of this statement
        return rows

    with monkeypatch.context() as patched:
        patched.setattr(query, "fetch_all", fetch_before_requeue)
        assert claim(services, QUEUE, limit=1) == []
    (claimed,) = claim(services, QUEUE)
    assert claimed.message_id == first
    settle(services, claimed, Outcome("delivered"))
    assert [message.message_id for message in claim(services, QUEUE)] == [later]


def test_settle_does_not_wait_for_requeue(
    services: Services, second_thread: ThreadPoolExecutor
) -> None:
    first, later = create_parked(services)
    (claimed,) = claim(services, QUEUE)
    with services.db.writing() as session:
        assert not outbox.requeue(session, session.get_one(Message, first), services.now())
        assert second_thread.submit(settle, services, claimed, Outcome("retry")).result(10)
    assert state(services, later) == WAITING


def test_requeue_of_many_and_settle_lock_rows_in_one_order(
    services: Services, second_thread: ThreadPoolExecutor, wait_for_lock: WaitForLock
) -> None:
    older, newer = (put(services, key, queue=QUEUE, supersedes_earlier=True) for key in "ba")
    for claimed in claim(services, QUEUE):
        settle(services, claimed, Outcome("rejected"))
    for key in "ab":
        put(services, key, 2, queue=QUEUE, supersedes_earlier=True)
    claims = claim(services, QUEUE)

    def deliver() -> set[str]:
        with services.db.writing() as session:
            for scan in (
                "seqscan",
                "bitmapscan",
            ):  # these scans return the rows in the right order by chance
                session.execute(text(f"SET LOCAL enable_{scan} = off"))
            results = [
                AttemptResult(claimed, Outcome("delivered"), services.now(), services.now())
                for claimed in claims
            ]
            return outbox.settle(session, results, services.now())

    with services.db.writing() as session:
        outbox.requeue(session, session.get_one(Message, older), services.now())
        settled = second_thread.submit(deliver)
        wait_for_lock(settled)
        session.execute(text("SET LOCAL deadlock_timeout = '10ms'"))
        outbox.requeue(session, session.get_one(Message, newer), services.now())
    assert len(settled.result(10)) == 2


# Concurrent dispatchers


def test_concurrent_claims_take_different_messages(
    services: Services, second_thread: ThreadPoolExecutor
) -> None:
    for key in "ab":
        put(services, key, queue=QUEUE)
    with services.db.writing() as session:
        (claimed,) = outbox.claim(session, QUEUE, services.now(), 1)
        (other,) = second_thread.submit(claim, services, QUEUE).result(10)
    assert {claimed.ordering_key, other.ordering_key} == {"a", "b"}


def test_probe_does_not_wait_for_concurrent_probe(
    services: Services, second_thread: ThreadPoolExecutor
) -> None:
    pause(services)

    def probe() -> bool:
        now = services.now()
        with services.db.writing() as session:
            return outbox.probe(session, session.get_one(Pause, SCOPE), retry_at=now, now=now)

    with services.db.writing() as session:
        retry_at = services.now() + MINUTE
        assert outbox.probe(
            session, session.get_one(Pause, SCOPE), retry_at=retry_at, now=services.now()
        )
        assert not second_thread.submit(probe).result(10)


def test_pause_after_concurrent_resume_begins_anew(
    services: Services, second_thread: ThreadPoolExecutor
) -> None:
    pause(services)
    pause(services)

    def resume() -> None:
        with services.db.writing() as session:
            outbox.resume(session, SCOPE)

    with services.db.writing() as session:
        pauses = outbox.active_pauses(
            session, [SCOPE]
        )  # stays in the session, as the policy keeps it
        assert pauses[SCOPE].failed_probes == 1
        second_thread.submit(resume).result(10)
        assert (
            outbox.pause(session, SCOPE, REASON, services.now(), services.now()).failed_probes == 0
        )


def test_pause_after_concurrent_new_pause_returns_the_new_one(
    services: Services, clock: ManualClock, second_thread: ThreadPoolExecutor
) -> None:
    pause(services)
    pause(services)
    first_paused_at = services.now()

    def pause_again() -> None:
        clock.advance(MINUTE)
        with services.db.writing() as session:
            outbox.resume(session, SCOPE)
        pause(services)

    with services.db.writing() as session:
        pauses = outbox.active_pauses(session, [SCOPE])
        assert pauses[SCOPE].paused_at == first_paused_at
        second_thread.submit(pause_again).result(10)
        current = outbox.pause(session, SCOPE, REASON, services.now(), services.now())
        assert (current.paused_at, current.failed_probes) == (first_paused_at + MINUTE, 1)


def test_pauses_are_locked_in_one_order(services: Services) -> None:
    def failed_attempt(host: str, account: int, failure_scope: str) -> AttemptResult:
        queue = f"{account}/callback/{host}"
        claimed = Claim(0, "", queue, "a", 1, "status", b"", None, 0, services.now(), "x")
        return AttemptResult(
            claimed, Outcome("retry", failure_scope=failure_scope), services.now(), services.now()
        )

    refused = [failed_attempt("c.test", account, "account") for account in (2, 1)]
    unreachable = [
        failed_attempt(host, 3, "destination")
        for host in ("b.test", "a.test")
        for _ in range(FAILURE_THRESHOLD)
    ]
    with services.db.writing() as session, capture_logs() as logs:
        CircuitBreaker().update_pauses(session, [], unreachable + refused, services.now())
    scopes = [line["scope"] for line in logs if line["event"] == "deliveries_paused"]
    assert len(scopes) == 4
    assert scopes == sorted(scopes)


def test_probe_now_locks_message_before_pause(
    services: Services, second_thread: ThreadPoolExecutor, wait_for_lock: WaitForLock
) -> None:
    factories.create_account(services)
    put(services, queue=QUEUE)
    settle(services, claim(services, QUEUE)[0], Outcome("retry", retry_after=timedelta(minutes=5)))
    pause(services, timedelta(hours=1))

    def probe_by_staff() -> None:
        with services.db.writing() as session:
            probe_now(session, SCOPE, services.now())

    with services.db.writing() as session:
        session.execute(update(Message).values(attempts=2))
        probed = second_thread.submit(probe_by_staff)
        wait_for_lock(probed)
        session.execute(text("SELECT FROM delivery_pauses FOR UPDATE NOWAIT"))
    probed.result(10)


def test_concurrent_shared_link_requests_get_one_link(
    services: Services,
    client: FlaskClient,
    second_thread: ThreadPoolExecutor,
    wait_for_lock: WaitForLock,
) -> None:
    account, token = factories.create_account(services)
    order = factories.place_order(services, account, factories.create_test(services))
    factories.finish_test(services, order)
    ats = WorkableClient(client, token)
    with services.db.writing() as session:
        locked_order = Order.find(session, order, account, lock=True)
        link = Link.get_or_create_shared(
            session, services.secret_box, locked_order, None, None, services.now()
        )
        url = services.urls.shared(link.get_token(services.secret_box))
        response = second_thread.submit(ats.get, f"/assessments/{order}/shared-link")
        wait_for_lock(response)
    assert response.result(10).get_json() == {"url": url}
