"""Connectors: how an account sends screenings to a vendor over HTTP, described by data only."""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import JSON, ForeignKey, String, Text, UniqueConstraint, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.storage import secrets
from provider.storage.database import Base
from provider.storage.encrypted import Encrypted
from provider.storage.secrets import SecretBox

# A signed callback counts while its time differs from ours by at most this.
REPLAY_WINDOW = timedelta(minutes=5)


class Connector(Base):
    """The way to one vendor. `key` is what a screening's `connector` names.

    `request_template` is JSON with placeholders. `paths` say where an answer has its parts, and
    `statuses` what the vendor's words mean. `headers_encrypted` is a JSON object with secrets,
    which no page shows again. Callbacks are signed with the signing key. Orders are polled at
    `poll_url` every `poll_minutes`; 0 is never.
    """

    __tablename__ = "connectors"
    __table_args__ = (UniqueConstraint("account_id", "key"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(
        String(22), unique=True, default=secrets.generate_public_id
    )
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    key: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(120))
    url: Mapped[str] = mapped_column(String(1000))
    method: Mapped[str] = mapped_column(String(6))
    request_template: Mapped[str] = mapped_column(Text)
    headers_encrypted: Mapped[bytes | None] = mapped_column(
        Encrypted("connectors/{public_id}/headers")
    )
    signing_key_encrypted: Mapped[bytes] = mapped_column(
        Encrypted("connectors/{public_id}/signing_key")
    )
    paths: Mapped[dict[str, str]] = mapped_column(JSON)
    statuses: Mapped[dict[str, str]] = mapped_column(JSON)
    poll_url: Mapped[str] = mapped_column(String(1000), default="")
    poll_minutes: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]

    def get_headers(self, secret_box: SecretBox) -> dict[str, str]:
        if self.headers_encrypted is None:
            return {}
        path = _path(self.public_id, "headers")
        headers: dict[str, str] = json.loads(secret_box.decrypt(self.headers_encrypted, path))
        return headers

    def set_headers(self, secret_box: SecretBox, headers: Mapping[str, str]) -> None:
        path = _path(self.public_id, "headers")
        encoded = json.dumps(dict(headers))
        self.headers_encrypted = secret_box.encrypt(encoded, path) if headers else None

    def replace_signing_key(self, secret_box: SecretBox) -> str:
        """Store a new signing key and return it. Callbacks with the old one are refused."""
        key = secrets.generate_token()
        path = _path(self.public_id, "signing_key")
        self.signing_key_encrypted = secret_box.encrypt(key, path)
        return key

    def is_signed(
        self, secret_box: SecretBox, body: bytes, timestamp: str, signature: str, now: datetime
    ) -> bool:
        """Return whether a callback is signed, and no older than the replay window."""
        if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12):
            return False
        if abs(now.timestamp() - int(timestamp)) > REPLAY_WINDOW.total_seconds():
            return False
        path = _path(self.public_id, "signing_key")
        key = secret_box.decrypt(self.signing_key_encrypted, path)
        expected = sign_callback(key, body, timestamp)
        return hmac.compare_digest(expected.encode(), signature.lower().encode())

    def path(self, name: str) -> str:
        return self.paths.get(name, "")


def sign_callback(key: str, body: bytes, timestamp: str) -> str:
    """Return the signature of a callback: HMAC-SHA256 in hex over `TIMESTAMP.BODY`."""
    return hmac.new(key.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def find_connector(session: Session, account_id: int, key: str) -> Connector | None:
    """Return the connector of an account that is in use, by its key."""
    return session.scalar(
        select(Connector).where(
            Connector.account_id == account_id,
            Connector.key == key,
            Connector.disabled_at.is_(None),
        )
    )


def list_connectors(session: Session, account_id: int) -> Sequence[Connector]:
    query = select(Connector).where(Connector.account_id == account_id)
    return session.scalars(query.order_by(Connector.key)).all()


def _path(public_id: str, column: str) -> str:
    return f"connectors/{public_id}/{column}"
