"""Scheduled work: the subscriptions at the ATSes are there, right, and renewed in time."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import cast

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.ats import ADAPTERS
from provider.ats.api import UnreadableAnswer
from provider.ats.webhook_urls import webhook_urls
from provider.core.accounts import Account
from provider.core.scheduled import ScheduledWork, WorkContext
from provider.delivery.api_client import ApiClient, open_api_client
from provider.delivery.api_errors import CallFailed
from provider.errors import Unavailable
from provider.services import Services

log = structlog.get_logger()


def keep_subscriptions(services: Services, client: ApiClient, account_id: int) -> Sequence[str]:
    """Make the subscriptions of one account right; return the events subscribed to just now.

    Nothing is done for an account that wants none or lacks credentials. Raises CallFailed or
    UnreadableAnswer.
    """
    with services.db.reading() as session:
        account = session.get_one(Account, account_id)
        api = ADAPTERS[account.ats].api
        if api is None or api.subscriptions is None:
            return ()
        connection = client.connection(session, account)
        addresses = webhook_urls(services.secret_box, account, services.settings.base_url)
    if not api.subscriptions.is_wanted(connection.settings) or api.missing(connection):
        return ()
    steps = api.subscriptions.keep(connection, addresses, services.now())
    return client.run(api, connection, steps)


def _account_ids(session: Session) -> Sequence[int]:
    """Return the accounts that want events."""
    subscriptions = {
        name: adapter.api.subscriptions
        for name, adapter in ADAPTERS.items()
        if adapter.api and adapter.api.subscriptions
    }
    query = select(Account.id, Account.ats, Account.options).where(Account.ats.in_(subscriptions))
    return [
        row.id
        for row in session.execute(query)
        if subscriptions[row.ats].is_wanted(ADAPTERS[row.ats].setting_values(row.options))
    ]


def _is_needed(session: Session, _now: datetime) -> bool:
    return bool(_account_ids(session))


def _run(context: WorkContext) -> None:
    services = cast(Services, context)  # both runners give their services
    with services.db.reading() as session:
        account_ids = _account_ids(session)
    with open_api_client(services) as client:
        for account_id in account_ids:
            try:
                keep_subscriptions(services, client, account_id)
            except (CallFailed, UnreadableAnswer, Unavailable) as error:
                log.warning("subscriptions_not_kept", account_id=account_id, error=str(error))


KEEP_SUBSCRIPTIONS = ScheduledWork(
    "keep_subscriptions",
    every=timedelta(hours=6),
    run=_run,
    is_needed=_is_needed,
    lease=timedelta(minutes=5),
)
