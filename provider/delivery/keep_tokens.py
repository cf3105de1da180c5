"""Scheduled work: refresh tokens that end when nobody uses them are used in time."""

from datetime import datetime, timedelta
from typing import cast

import structlog
from sqlalchemy.orm import Session

from provider.ats import ADAPTERS
from provider.core.accounts import Account
from provider.core.connections.api_token import tokens_to_keep_alive
from provider.core.scheduled import ScheduledWork, WorkContext
from provider.delivery.api_client import ApiClient, open_api_client
from provider.delivery.api_errors import CallFailed
from provider.errors import Unavailable
from provider.services import Services

log = structlog.get_logger()


def keep_tokens_alive(services: Services, client: ApiClient) -> None:
    """Renew each token that would end; an account that fails stops no other."""
    with services.db.reading() as session:
        account_ids = tokens_to_keep_alive(session, services.now())
    for account_id in account_ids:
        try:
            _renew(services, client, account_id)
        except (CallFailed, Unavailable) as error:
            log.warning("api_token_not_renewed", account_id=account_id, error=str(error))


def _renew(services: Services, client: ApiClient, account_id: int) -> None:
    with services.db.reading() as session:
        account = session.get_one(Account, account_id)
        api = ADAPTERS[account.ats].api
        connection = client.connection(session, account)
    flow = api.used_flow(connection.settings) if api else None
    if flow is not None:
        client.tokens.renew(flow, connection)


def _is_needed(session: Session, now: datetime) -> bool:
    return bool(tokens_to_keep_alive(session, now))


def _run(context: WorkContext) -> None:
    services = cast(Services, context)  # both runners give their services
    with open_api_client(services) as client:
        keep_tokens_alive(services, client)


KEEP_TOKENS = ScheduledWork(
    "keep_tokens", every=timedelta(minutes=1), run=_run, is_needed=_is_needed
)
