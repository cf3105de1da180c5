"""Encryption of messages: a payload and a body are bound to their message and their column.

Sessions of `Database.writing` know the secret box, so that a message is encrypted wherever it is
appended. Whoever reads a message passes the secret box.
"""

import json
from typing import Any

from sqlalchemy.orm import Session

from provider.storage.secrets import SecretBox


def secret_box_of(session: Session) -> SecretBox:
    """Return the secret box of a session; RuntimeError if its database was opened without one."""
    secret_box = session.info.get("secret_box")
    if not isinstance(secret_box, SecretBox):
        raise RuntimeError("open the database with a secret box: messages are encrypted")  # noqa: TRY004
    return secret_box


def encrypt_payload(secret_box: SecretBox, public_id: str, payload: dict[str, Any]) -> bytes:
    return secret_box.encrypt(json.dumps(payload), _row_name(public_id, "payload"))


def decrypt_payload(secret_box: SecretBox, public_id: str, ciphertext: bytes) -> dict[str, Any]:
    """Return the payload; Unavailable if the ciphertext belongs to another row or key."""
    payload: dict[str, Any] = json.loads(
        secret_box.decrypt(ciphertext, _row_name(public_id, "payload"))
    )
    return payload


def encrypt_body(secret_box: SecretBox, public_id: str, body: bytes) -> bytes:
    return secret_box.encrypt_bytes(body, _row_name(public_id, "body"))


def decrypt_body(secret_box: SecretBox, public_id: str, ciphertext: bytes | None) -> bytes | None:
    """Return the body, or None without one; Unavailable as `decrypt_payload`."""
    if ciphertext is None:
        return None
    return secret_box.decrypt_bytes(ciphertext, _row_name(public_id, "body"))


def _row_name(public_id: str, column: str) -> str:
    return f"messages/{public_id}/{column}"
