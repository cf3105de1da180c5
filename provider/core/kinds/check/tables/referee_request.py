"""Requests to referees: each has a link of its own, and the answers are encrypted."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ForeignKey, Index, LargeBinary, String, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.core.kinds.check.packages.referee import Referee
from provider.storage import secrets
from provider.storage.database import Base
from provider.storage.encrypted import Encrypted
from provider.storage.secrets import SecretBox
from provider.texts import text_from_json

LINK_LIFETIME = timedelta(days=21)
REMINDER_DELAY = timedelta(days=4)
# The states of a request. An answer, a refusal and a bounce are the referee's last word.
SENT, ANSWERED, DECLINED = "sent", "answered", "declined"
BOUNCED, EXPIRED, REVOKED = "bounced", "expired", "revoked"
REQUEST_LABELS = {
    SENT: "Waits for the referee",
    ANSWERED: "Answered",
    DECLINED: "Declined by the referee",
    BOUNCED: "The e-mail came back",
    EXPIRED: "Not answered in time",
    REVOKED: "Withdrawn",
}
_SENT_SQL = text("state = 'sent'")


@dataclass(frozen=True)
class GivenAnswer:
    """A question as the referee has read it, and the answer."""

    question: str
    answer: str


class RefereeRequest(Base):
    """A request to one referee about one screening.

    `token_hash` finds the request; `token_encrypted` is for the e-mails. `due_at` is the time of
    the reminder, afterwards of the expiry; None once the request is settled.
    """

    __tablename__ = "referee_requests"
    __table_args__ = (
        Index("ix_referee_requests_order", "order_id", "screening"),
        Index(
            "ix_referee_requests_due",
            "due_at",
            sqlite_where=_SENT_SQL,
            postgresql_where=_SENT_SQL,
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(
        String(22), unique=True, default=secrets.generate_public_id
    )
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    screening: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(10), default=SENT)
    referee_encrypted: Mapped[bytes] = mapped_column(
        Encrypted("referee_requests/{public_id}/referee")
    )
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    token_encrypted: Mapped[bytes] = mapped_column(Encrypted("referee_requests/{public_id}/token"))
    answers_encrypted: Mapped[bytes | None] = mapped_column(
        Encrypted("referee_requests/{public_id}/answers")
    )
    actor: Mapped[str] = mapped_column(String(254))  # a staff e-mail, or the system
    sent_at: Mapped[datetime]
    reminded_at: Mapped[datetime | None]
    due_at: Mapped[datetime | None]
    expires_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]

    @classmethod
    def create(
        cls,
        secret_box: SecretBox,
        order_id: int,
        screening: str,
        referee: Referee,
        actor: str,
        now: datetime,
    ) -> "RefereeRequest":
        """Return a new request with a new token. The caller adds it to the session."""
        public_id, token = secrets.generate_public_id(), secrets.generate_token()
        return cls(
            public_id=public_id,
            order_id=order_id,
            screening=screening,
            state=SENT,
            referee_encrypted=secret_box.encrypt(referee.to_json(), _path(public_id, "referee")),
            token_hash=secrets.sha256_digest(token),
            token_encrypted=secret_box.encrypt(token, _path(public_id, "token")),
            actor=actor,
            sent_at=now,
            due_at=now + REMINDER_DELAY,
            expires_at=now + LINK_LIFETIME,
        )

    @classmethod
    def find_by_token(cls, session: Session, token: str) -> "RefereeRequest | None":
        """Return the request of a link, in whatever state."""
        digest = secrets.sha256_digest(token)
        return session.scalar(select(cls).where(cls.token_hash == digest))

    def is_open(self, now: datetime) -> bool:
        return self.state == SENT and now < self.expires_at

    def get_referee(self, secret_box: SecretBox) -> Referee:
        encoded = secret_box.decrypt(self.referee_encrypted, _path(self.public_id, "referee"))
        return Referee.from_fields(json.loads(encoded))

    def get_token(self, secret_box: SecretBox) -> str:
        return secret_box.decrypt(self.token_encrypted, _path(self.public_id, "token"))

    def get_answers(self, secret_box: SecretBox) -> list[GivenAnswer]:
        """Return the answers in the order of the questions; empty before the referee answers."""
        if self.answers_encrypted is None:
            return []
        path = _path(self.public_id, "answers")
        entries = json.loads(secret_box.decrypt(self.answers_encrypted, path))
        return [
            GivenAnswer(text_from_json(entry["question"]), entry["answer"]) for entry in entries
        ]

    def set_answers(self, secret_box: SecretBox, entries: Sequence[Mapping[str, Any]]) -> None:
        """Store (question, answer) entries; a question is a text or `LazyText.to_json`."""
        encoded = json.dumps(list(entries), ensure_ascii=False)
        self.answers_encrypted = secret_box.encrypt(encoded, _path(self.public_id, "answers"))

    def settle(self, state: str, now: datetime) -> None:
        self.state, self.settled_at, self.due_at = state, now, None


def list_requests(session: Session, order_id: int, screening: str = "") -> list[RefereeRequest]:
    """Return the requests of a check, or of one of its screenings, the oldest first."""
    query = select(RefereeRequest).where(RefereeRequest.order_id == order_id)
    if screening:
        query = query.where(RefereeRequest.screening == screening)
    return list(session.scalars(query.order_by(RefereeRequest.id)))


def _path(public_id: str, column: str) -> str:
    return f"referee_requests/{public_id}/{column}"
