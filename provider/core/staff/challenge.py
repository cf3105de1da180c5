"""Challenges of sign-ins that are on their way: each is good once, for the browser that asked."""

from datetime import datetime, timedelta

from sqlalchemy import LargeBinary, String, delete
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.storage import secrets
from provider.storage.database import Base

CHALLENGE_LIFETIME = timedelta(minutes=10)


class SignInChallenge(Base):
    """A challenge that waits for its answer. The table has digests only, so a copy is useless."""

    __tablename__ = "sign_in_challenges"

    id: Mapped[int] = mapped_column(primary_key=True)
    purpose: Mapped[str] = mapped_column(String(10))
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    # Of the browser's cookie: the answer to another browser's challenge is refused.
    browser_digest: Mapped[bytes] = mapped_column(LargeBinary(32))
    created_at: Mapped[datetime]


def create_challenge(session: Session, purpose: str, browser_token: str, now: datetime) -> str:
    """Return a new challenge; those that are too old are deleted."""
    session.execute(
        delete(SignInChallenge).where(SignInChallenge.created_at <= now - CHALLENGE_LIFETIME)
    )
    challenge = secrets.generate_token()
    session.add(
        SignInChallenge(
            purpose=purpose,
            digest=secrets.sha256_digest(challenge),
            browser_digest=secrets.sha256_digest(browser_token),
            created_at=now,
        )
    )
    return challenge


def use_challenge(
    session: Session, purpose: str, challenge: str, browser_token: str, now: datetime
) -> bool:
    """Delete a challenge; return whether it was good.

    Commit before the answer is verified, or an error would bring the challenge back.
    """
    used = delete(SignInChallenge).where(
        SignInChallenge.purpose == purpose,
        SignInChallenge.digest == secrets.sha256_digest(challenge),
        SignInChallenge.browser_digest == secrets.sha256_digest(browser_token),
        SignInChallenge.created_at > now - CHALLENGE_LIFETIME,
    )
    return session.scalar(used.returning(SignInChallenge.id)) is not None
