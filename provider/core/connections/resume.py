"""Calls of an ATS's API go on at once when people have changed its settings or secrets."""

from datetime import datetime

from sqlalchemy import update
from sqlalchemy.orm import Session

from provider import outbox
from provider.core.accounts import Account
from provider.core.connections.source_cursor import SourceCursor
from provider.outbox import WRITER


def resume_api(session: Session, account: Account, now: datetime) -> None:
    """End the pause of an account's writers, and let its sources be read."""
    outbox.resume(session, f"account/{account.id}/{WRITER}")
    session.execute(
        update(SourceCursor)
        .where(SourceCursor.account_id == account.id, SourceCursor.due_at > now)
        .values(due_at=now)
        .execution_options(synchronize_session=False)
    )
