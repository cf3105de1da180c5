"""States of consents: who of the staff has gone to an ATS's consent page, and for which account."""

from datetime import datetime, timedelta

from sqlalchemy import ForeignKey, LargeBinary, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.storage import secrets
from provider.storage.database import Base

STATE_LIFETIME = timedelta(minutes=10)


class ConnectState(Base):
    """A state that is on its way. It is good once, for the same session, for ten minutes."""

    __tablename__ = "connect_states"

    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    # The digest of the cookie of the session, so that the state of another browser is refused.
    session_digest: Mapped[bytes] = mapped_column(LargeBinary(32))
    created_at: Mapped[datetime]


def create_state(session: Session, account_id: int, session_token: str, now: datetime) -> str:
    """Return a new state; those that have ended are deleted."""
    session.execute(delete(ConnectState).where(ConnectState.created_at <= now - STATE_LIFETIME))
    state = secrets.generate_token()
    session.add(
        ConnectState(
            digest=secrets.sha256_digest(state),
            account_id=account_id,
            session_digest=secrets.sha256_digest(session_token),
            created_at=now,
        )
    )
    return state


def use_state(session: Session, state: str, session_token: str, now: datetime) -> int | None:
    """Return the account of a state and delete it; None for one that is not good."""
    query = select(ConnectState).where(ConnectState.digest == secrets.sha256_digest(state))
    row = session.scalar(query.with_for_update())
    if row is None:
        return None
    session.delete(row)
    is_own = row.session_digest == secrets.sha256_digest(session_token)
    return row.account_id if is_own and now < row.created_at + STATE_LIFETIME else None
