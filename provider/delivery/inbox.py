"""The inbox: the record behind each webhook's event is read again, and rules judge its state.

A bulk move at the ATS may be a mistake. After `rounds.MAX_ORDERS_PER_ROUND` orders by events within
an hour the account's rules stop, and its events wait until staff let the rules go on.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

import structlog
from sqlalchemy.orm import Session

from provider.ats import ADAPTERS
from provider.ats.api import UnreadableAnswer
from provider.core.accounts import Account
from provider.core.connections import Record, WebhookEvent, open_rules
from provider.core.connections.source_cursor import EVENTS, lock_cursor, stop_sources
from provider.core.connections.webhook_event import (
    drop_old_events,
    due_events,
    find_leased_event,
    has_old_events,
    lease_event,
)
from provider.core.scheduled import ScheduledWork, WorkContext
from provider.delivery import rounds
from provider.delivery.api_client import ApiClient, open_api_client
from provider.delivery.api_errors import CallDelayed, CallFailed, CredentialsRefused
from provider.delivery.circuit_breaker import TOKEN_PROBE_INTERVAL
from provider.delivery.placing import load_rules, place_by_rules
from provider.errors import Unavailable
from provider.outbox.response_text import to_storable_text
from provider.services import Services

LEASE = timedelta(minutes=2)  # of one event: a few requests, and the transaction after them
MAX_EVENTS_PER_RUN = 200
BRAKE_INTERVAL = timedelta(hours=1)
# Waits before a record is read again that could not be read. It may appear late, or never.
RETRY_WAITS = tuple(timedelta(seconds=seconds) for seconds in (10, 60, 600, 3600, 21_600))
NOT_READABLE = "The record of the event cannot be read"

log = structlog.get_logger()


@dataclass(frozen=True)
class LeasedEvent:
    """One event, leased by this process."""

    services: Services
    client: ApiClient
    lease: str

    def process(self) -> bool:
        """Read the record and place its orders; or note when to try again.

        Returns False where the account can read no other record at present.
        """
        try:
            record, has_rules = self._read()
            if record is None and has_rules:
                self._retry(NOT_READABLE)
            else:
                return self._finish(record)
        except CallDelayed as error:
            self._retry(str(error), error.wait, counts=False)
            return False
        except CredentialsRefused as error:
            self._retry(str(error), TOKEN_PROBE_INTERVAL, counts=False)
            return False
        except (CallFailed, Unavailable, UnreadableAnswer) as error:
            self._retry(str(error))
        except Exception as error:
            log.exception("webhook_event_failed")
            self._retry(f"Unexpected error: {type(error).__name__}")
        return True

    def _read(self) -> tuple[Record | None, bool]:
        """Return the record, None if it cannot be read, and whether any rule could want it."""
        with self.services.db.reading() as session:
            event = find_leased_event(session, self.lease, lock=False)
            if event is None:
                return None, False
            account = session.get_one(Account, event.account_id)
            api = ADAPTERS[account.ats].api
            if api is None or api.webhook is None or not open_rules(session, account.id):
                return None, False
            connection = self.client.connection(session, account)
            steps = api.webhook.lookup(event.record_key, connection)
        if missing := api.missing(connection):
            raise CallFailed(f"Not set yet: {', '.join(missing)}")
        try:
            return self.client.run(api, connection, steps, is_round=True), True
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UnreadableAnswer(
                f"The record has another form than documented ({type(error).__name__})"
            ) from error

    def _finish(self, record: Record | None) -> bool:
        """Place the orders of a record; return False where the account's rules have stopped."""
        with self.services.db.writing() as session:
            event = find_leased_event(session, self.lease)
            if event is None:  # the lease is lost: another process reads the record
                return True
            now = self.services.now()
            problems: list[str] = []
            event.lease = event.leased_until = None
            if record is not None and not self._place(session, event, record, problems):
                return False
            event.done_at, event.last_error = now, " ".join(problems)
            return True

    def _place(
        self, session: Session, event: WebhookEvent, record: Record, problems: list[str]
    ) -> bool:
        account, now = session.get_one(Account, event.account_id), self.services.now()
        # Locked before any order is placed, or two processes could deadlock.
        cursor = lock_cursor(session, account.id, EVENTS, now)
        if cursor.stopped_reason:
            return False
        if cursor.round_started_at is None or now >= cursor.round_started_at + BRAKE_INTERVAL:
            cursor.round_started_at, cursor.records, cursor.orders = now, 0, 0
        context, rules = load_rules(session, self.services.secret_box, account, now)
        limit = rounds.MAX_ORDERS_PER_ROUND
        if cursor.orders >= limit and any(rule.matches(record) for rule in rules):
            stop_sources(session, account.id, f"{limit} orders were placed by events in one hour")
            return False
        cursor.orders += place_by_rules(context, rules, record, problems)
        cursor.records += 1
        cursor.finished_at = now
        return True

    def _retry(self, error: str, wait: timedelta | None = None, *, counts: bool = True) -> None:
        with self.services.db.writing() as session:
            event = find_leased_event(session, self.lease)
            if event is None:
                return
            now = self.services.now()
            event.last_error = to_storable_text(error)
            event.lease = event.leased_until = None
            if counts:
                event.tries += 1
            if event.tries > len(RETRY_WAITS):
                event.done_at = now
                log.warning("webhook_event_given_up", error=error)
                return
            event.due_at = now + (wait or RETRY_WAITS[max(event.tries, 1) - 1])


def process_due_events(services: Services, client: ApiClient) -> None:
    """Process the events that are due, the oldest first.

    An account that can read nothing at present does not keep the others waiting.
    """
    with services.db.reading() as session:
        events = due_events(session, services.now(), MAX_EVENTS_PER_RUN)
    blocked_accounts: set[int] = set()
    for event_id, account_id in events:
        if account_id in blocked_accounts:
            continue
        with services.db.writing() as session:
            lease = lease_event(session, event_id, services.now(), LEASE)
        if lease is not None and not LeasedEvent(services, client, lease).process():
            blocked_accounts.add(account_id)


def _run(context: WorkContext) -> None:
    services = cast(Services, context)  # both runners give their services
    with open_api_client(services) as client:
        process_due_events(services, client)


def _is_needed(session: Session, now: datetime) -> bool:
    return bool(due_events(session, now, 1))


def _drop(context: WorkContext) -> None:
    with context.db.writing() as session:
        drop_old_events(session, context.now())


READ_EVENTS = ScheduledWork(
    "read_webhook_events",
    every=timedelta(seconds=2),
    run=_run,
    is_needed=_is_needed,
    lease=timedelta(minutes=5),
)
DROP_OLD_EVENTS = ScheduledWork(
    "drop_old_webhook_events", every=timedelta(hours=1), run=_drop, is_needed=has_old_events
)
