"""Calls of an ATS's API go on at once when people have changed its settings or secrets."""

from datetime import datetime

from sqlalchemy import update
from sqlalchemy.orm import Session

from provider import outbox
from provider.core.accounts import Account
from provider.core.connections.api_token import ApiToken
from provider.core.connections.source_cursor import SourceCursor
from provider.core.connections.webhook_event import WebhookEvent
from provider.outbox import WRITER


def resume_api(session: Session, account: Account, now: datetime) -> None:
    """End the pause of an account's writers, and let its sources and events be read.

    The access token is dropped: it was obtained with the old settings and secrets.
    """
    session.execute(
        update(ApiToken)
        .where(ApiToken.account_id == account.id)
        .values(
            access_encrypted=None, renew_at=None, expires_at=None, lease=None, leased_until=None
        )
        .execution_options(synchronize_session=False)
    )
    resume_calls(session, account, now)


def resume_calls(session: Session, account: Account, now: datetime) -> None:
    """Do the same after a new consent, whose access token stays."""
    session.execute(
        update(WebhookEvent)
        .where(WebhookEvent.account_id == account.id, WebhookEvent.done_at.is_(None))
        .values(due_at=now)
        .execution_options(synchronize_session=False)
    )
    outbox.resume(session, f"account/{account.id}/{WRITER}")
    session.execute(
        update(SourceCursor)
        .where(SourceCursor.account_id == account.id)
        .values(due_at=now, lease=None, leased_until=None)
        .execution_options(synchronize_session=False)
    )
