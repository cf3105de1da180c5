"""The addresses at which an ATS tells us of changes: `/hooks/ADDRESS/EVENT`."""

from collections.abc import Sequence
from contextlib import suppress

import structlog
from flask import Blueprint, Response, request
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from provider.ats import ADAPTERS
from provider.ats.api import Connection, Event, UnreadableAnswer
from provider.ats.http_api import abort_with_message
from provider.core.accounts import Account
from provider.core.connections import get_previous_secrets, get_secrets
from provider.core.connections.webhook_event import (
    MAX_KEY_LENGTH,
    add_event,
    count_open_events,
    find_account,
)
from provider.services import Services, current_services

MAX_BODY_BYTES = 1_000_000
MAX_OPEN_EVENTS = 10_000  # of one account

log = structlog.get_logger()


def build_blueprint() -> Blueprint:
    """Build the endpoint of every adapter's webhooks."""
    routes = Blueprint("hooks", __name__)
    routes.add_url_rule("/hooks/<address>/<event_name>", view_func=receive, methods=["POST"])
    return routes


def receive(address: str, event_name: str) -> Response:
    """Store the ids of a signed request's events, and answer 200.

    The transaction is one insert for each event. The records are read later.
    """
    services = current_services()
    request.max_content_length = MAX_BODY_BYTES
    body = request.get_data()
    headers = {name.lower(): value for name, value in request.headers.items()}
    with services.db.reading() as session:
        account = find_account(session, services.secret_box, address)
        api = ADAPTERS[account.ats].api if account else None
        webhook = api.webhook if api else None
        is_known = webhook is not None and event_name in webhook.event_names
        if account is None or webhook is None or not is_known or account.disabled_at:
            abort_with_message(404, "There is no such address")
        connection, previous = _connections(services, session, account)
        is_full = count_open_events(session, account.id) >= MAX_OPEN_EVENTS
    keys = [*webhook.signing_keys(connection), *webhook.signing_keys(previous)]
    if not any(key and webhook.is_signed(body, headers, key) for key in keys):
        abort_with_message(401, "The signature is missing or wrong")
    try:
        events = webhook.read(body, headers, connection)
    except (UnreadableAnswer, AttributeError, KeyError, TypeError, ValueError, RecursionError):
        abort_with_message(400, "The event cannot be read")
    if events and is_full:  # the ATS sends them again later
        abort_with_message(429, "Too many events are waiting to be read")
    _store(services, account.id, events)
    return Response(status=200)


def _connections(
    services: Services, session: Session, account: Account
) -> tuple[Connection, Connection]:
    """Return the connection, and one with the secrets that were replaced some days ago."""
    settings = ADAPTERS[account.ats].setting_values(account.options)
    current = get_secrets(session, services.secret_box, account)
    previous = get_previous_secrets(session, services.secret_box, account, services.now())
    return (
        Connection(account.id, settings, current),
        Connection(account.id, settings, {**current, **previous}),
    )


def _store(services: Services, account_id: int, events: Sequence[Event]) -> None:
    for event in filter(_is_storable, events):
        # The same event may come twice at the same moment.
        with suppress(IntegrityError), services.db.writing() as session:
            add_event(session, account_id, event.id, event.record_key, services.now())
    log.info("webhook_received", account_id=account_id, events=len(events))


def _is_storable(event: Event) -> bool:
    texts = (event.id, event.record_key)
    return all(0 < len(text) <= MAX_KEY_LENGTH and text.isprintable() for text in texts)
