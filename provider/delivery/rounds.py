"""Rounds: the sources of the accounts are read page by page, and rules place orders.

A round reads one source of one account from its first page to its last. HTTP happens outside
transactions. Short transactions place the orders of a page, and the last of them moves the cursor.
A round that is killed goes on with the same page, and a record that is read again finds its order.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.ats import ADAPTERS
from provider.ats.api import (
    ApiResponse,
    AtsApi,
    Connection,
    Page,
    PageState,
    Source,
    SourceStopped,
    UnreadableAnswer,
    Window,
)
from provider.core.accounts import Account
from provider.core.connections import (
    Record,
    Rule,
    SourceCursor,
    open_rules,
)
from provider.core.connections.source_cursor import (
    acquire_lease,
    due_cursors,
    find_leased,
    has_due_cursor,
)
from provider.core.scheduled import ScheduledWork, WorkContext
from provider.delivery.api_client import ApiClient, open_api_client
from provider.delivery.api_errors import CallDelayed, CallFailed, CredentialsRefused, WrongHost
from provider.delivery.circuit_breaker import TOKEN_PROBE_INTERVAL
from provider.delivery.placing import load_rules, place_by_rules
from provider.errors import Unavailable
from provider.outbox.response_text import to_storable_text
from provider.services import Services

# The clocks of an ATS and of this server differ, and a change may be visible after its time.
OVERLAP = timedelta(minutes=5)
LEASE = timedelta(minutes=2)  # of one page: a request, and the transaction after it
# One account's long round must not keep the others waiting.
SLICE_SECONDS = 20.0
MAX_ORDERS_PER_ROUND = 500
RECORDS_PER_TRANSACTION = 20
MAX_PAGES_PER_ROUND = 50_000  # an address of a next page may lead back
MAX_ERROR_LENGTH = 500

log = structlog.get_logger()


class LeaseLost(Exception):
    """Another process reads this source now."""


@dataclass(frozen=True)
class Step:
    """The input of one page's request; read in one transaction."""

    api: AtsApi
    connection: Connection
    source: Source
    window: Window
    state: PageState


@dataclass(frozen=True)
class Round:
    """A part of a round: the pages that this process reads under one lease."""

    services: Services
    client: ApiClient
    lease: str

    def run(self) -> None:
        """Read pages until the round ends, fails, or has used its slice of time."""
        end = time.monotonic() + SLICE_SECONDS
        try:
            while (step := self._next_step()) is not None:
                page = self._read(step)
                if self._apply(step, page):
                    return
                if time.monotonic() > end:
                    self._release()
                    return
        except LeaseLost:
            log.warning("source_lease_lost")
        except CallDelayed as error:
            self._postpone("", error.wait)
        except CredentialsRefused as error:
            self._postpone(str(error), TOKEN_PROBE_INTERVAL)
        except SourceStopped as error:
            self._stop(str(error))
        except (UnreadableAnswer, WrongHost) as error:
            # The next round begins again with the first page. Its window has the same start.
            self._postpone(str(error), restart=True)
        except (CallFailed, Unavailable) as error:
            self._postpone(str(error))
        except Exception as error:
            log.exception("source_failed")
            self._postpone(f"Unexpected error: {type(error).__name__}", restart=True)

    def _next_step(self) -> Step | None:
        """Begin a round, or go on with it. None when there is nothing to read."""
        with self._leased() as (session, cursor):
            account = session.get_one(Account, cursor.account_id)
            api = ADAPTERS[account.ats].api
            source = api.find_source(cursor.source) if api else None
            rules = open_rules(session, account.id)
            if api is None or source is None or not rules:
                session.delete(cursor)
                return None
            connection = self.client.connection(session, account)
            if missing := api.missing(connection):
                raise CallFailed(f"Not set yet: {', '.join(missing)}")
            if cursor.page_state is None:
                conditions = [rule.match for rule in rules]
                _begin(cursor, source.first_state(connection, conditions), self.services.now())
            if cursor.page_state is None:  # the rules need no page of this source
                _finish(session, cursor, source, connection, self.services.now())
                return None
            assert cursor.round_started_at is not None
            window = Window(cursor.read_until - OVERLAP, cursor.round_started_at)
            return Step(api, connection, source, window, dict(cursor.page_state))

    def _read(self, step: Step) -> Page:
        request = step.source.request(step.connection, step.window, step.state)
        response = self.client.call(step.api, step.connection, request, is_round=True)
        return _parse(step, response)

    def _apply(self, step: Step, page: Page) -> bool:
        """Place the orders of a page and move the cursor; return True if the round has ended.

        Several short transactions place the orders: other writers would wait for a long one. After
        `MAX_ORDERS_PER_ROUND` orders the source stops. It keeps the page, which is read again when
        staff let the round go on.
        """
        problems = list(page.problems)
        for records in in_slices(page.records, RECORDS_PER_TRANSACTION):
            with self._leased() as (session, cursor):
                account = session.get_one(Account, cursor.account_id)
                now = self.services.now()
                context, rules = load_rules(session, self.services.secret_box, account, now)
                for record in records:
                    if cursor.orders >= MAX_ORDERS_PER_ROUND:
                        cursor.stopped_reason = (
                            f"{MAX_ORDERS_PER_ROUND} orders were placed in one round"
                        )
                        _release(cursor, now)
                        return True
                    cursor.orders += place_by_rules(context, rules, record, problems)
                cursor.leased_until = now + LEASE
        with self._leased() as (session, cursor):
            now = self.services.now()
            cursor.pages += 1
            if cursor.pages >= MAX_PAGES_PER_ROUND:
                raise UnreadableAnswer(f"The list has no end after {cursor.pages} pages")
            cursor.records += len(page.records)
            cursor.last_error = ""
            cursor.problems = cursor.problems or _problem_text(problems)
            cursor.page_state = page.next_state
            if page.next_state is None:
                _finish(session, cursor, step.source, step.connection, now)
                return True
            cursor.leased_until = now + LEASE
            return False

    def _postpone(
        self, error: str, wait: timedelta | None = None, *, restart: bool = False
    ) -> None:
        try:
            with self._leased() as (session, cursor):
                now = self.services.now()
                if restart:
                    cursor.page_state = None
                cursor.last_error = to_storable_text(error)[:MAX_ERROR_LENGTH]
                _release(cursor, now, wait or _interval(session, cursor))
        except LeaseLost:
            log.warning("source_lease_lost")
        if error:
            log.warning("source_not_read", error=error)

    def _stop(self, reason: str) -> None:
        """Read the source no more until staff let it go on, with the first page."""
        with suppress(LeaseLost), self._leased() as (_, cursor):
            cursor.page_state = None
            cursor.stopped_reason = to_storable_text(reason)[:MAX_ERROR_LENGTH]
            _release(cursor, self.services.now())
        log.warning("source_stopped", reason=reason)

    def _release(self) -> None:
        with self._leased() as (_, cursor):
            _release(cursor, self.services.now())

    @contextmanager
    def _leased(self) -> Iterator[tuple[Session, SourceCursor]]:
        with self.services.db.writing() as session:
            cursor = find_leased(session, self.lease)
            if cursor is None:
                raise LeaseLost
            yield session, cursor


def read_due_sources(services: Services, client: ApiClient) -> None:
    """Run a slice of each round that is due."""
    with services.db.reading() as session:
        names = [(row.account_id, row.source) for row in due_cursors(session, services.now())]
    for account_id, source in names:
        with services.db.writing() as session:
            lease = acquire_lease(session, account_id, source, services.now(), LEASE)
        if lease is not None:
            with structlog.contextvars.bound_contextvars(account_id=account_id, source=source):
                try:
                    Round(services, client, lease).run()
                except Exception:  # one account must not keep the others waiting
                    log.exception("source_failed")


def _run(context: WorkContext) -> None:
    services = cast(Services, context)  # both runners give their services
    with open_api_client(services) as client:
        read_due_sources(services, client)


READ_SOURCES = ScheduledWork(
    "read_sources",
    every=timedelta(seconds=5),
    run=_run,
    is_needed=has_due_cursor,
    lease=timedelta(minutes=5),
)


def _parse(step: Step, response: ApiResponse) -> Page:
    """Read a page. An error of the adapter's code here means that the answer has another form."""
    try:
        return step.source.read(step.connection, step.window, step.state, response)
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise UnreadableAnswer(
            f"The ATS's answer has another form than documented ({type(error).__name__})"
        ) from error


def _begin(cursor: SourceCursor, state: PageState | None, now: datetime) -> None:
    cursor.round_started_at, cursor.page_state = now, state
    cursor.pages = cursor.records = cursor.orders = 0
    cursor.problems = ""


def _finish(
    session: Session, cursor: SourceCursor, source: Source, connection: Connection, now: datetime
) -> None:
    """End a round: the next window begins where this one ended."""
    started_at = cursor.round_started_at or now
    cursor.page_state, cursor.finished_at, cursor.read_until = None, now, started_at
    if source.is_full:
        rules = select(Rule).where(
            Rule.account_id == cursor.account_id,
            Rule.baseline_at.is_(None),
            Rule.created_at <= started_at,
        )
        for rule in session.scalars(rules):
            rule.baseline_at = now
    _release(cursor, now)
    cursor.due_at = max(started_at + source.interval(connection), now)


def _release(cursor: SourceCursor, now: datetime, wait: timedelta = timedelta(0)) -> None:
    cursor.lease = cursor.leased_until = None
    cursor.due_at = now + wait


def _interval(session: Session, cursor: SourceCursor) -> timedelta:
    account = session.get_one(Account, cursor.account_id)
    api = ADAPTERS[account.ats].api
    source = api.find_source(cursor.source) if api else None
    settings = ADAPTERS[account.ats].setting_values(account.options)
    return source.interval(Connection(account.id, settings)) if source else timedelta(hours=1)


def in_slices(records: Sequence[Record], size: int) -> Iterator[Sequence[Record]]:
    """Yield slices of at most `size` records."""
    for start in range(0, len(records), size):
        yield records[start : start + size]


def _problem_text(problems: Sequence[str]) -> str:
    if not problems:
        return ""
    text = f"{len(problems)} entries could not be read; the first: {problems[0]}"
    return to_storable_text(text)[:MAX_ERROR_LENGTH]
