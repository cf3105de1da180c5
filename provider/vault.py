"""Secrets: random tokens, their digests, and encryption bound to the row that holds it."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence

from provider.errors import Unready

SHORTEST = 4 + 12 + 16  # bytes of a ciphertext: its key's id, the nonce, the tag


def token() -> str:
    """Return 32 random bytes as 43 URL-safe characters."""
    return secrets.token_urlsafe(32)


def public_id() -> str:
    """Return a random 128-bit id as 22 URL-safe characters, the first a letter, a digit or `_`."""
    made = secrets.token_urlsafe(16)
    # In a terminal an id that begins with “-” would be taken for an option.
    return public_id() if made.startswith("-") else made


def digest(secret: str) -> bytes:
    """Return the SHA-256 of a random secret, by which it is found again.

    Enough for 32 random bytes; a password would want argon2.
    """
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


class Vault:
    """Encrypts with the first key, decrypts with any; a ciphertext carries its key's id."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {_key_id(key): key for key in keys}
        self._first = _key_id(keys[0])

    def seal(self, text: str, row: str) -> bytes:
        """Encrypt (AES-256-GCM) for one row, named like `accounts/ID/token`."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # late: see `open`

        nonce = secrets.token_bytes(12)
        sealed = AESGCM(self._keys[self._first]).encrypt(nonce, text.encode(), row.encode())
        return self._first + nonce + sealed

    def open(self, sealed: bytes, row: str) -> str:
        """Decrypt what `seal` made for the same row; Unready when it or its key is not there."""
        # Late, for most commands open no secret, and this is slow to load.
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if len(sealed) < SHORTEST:
            raise Unready("A secret is cut short: was the table edited?")
        key = self._key(sealed[:4])
        try:
            return AESGCM(key).decrypt(sealed[4:16], sealed[16:], row.encode()).decode()
        except InvalidTag:
            raise Unready("A secret does not belong to its row: was the table edited?") from None

    def mac(self, data: bytes, purpose: str) -> str:
        """Return an HMAC-SHA-256 that carries its key's id, so that keys can be replaced."""
        return self._mac(self._first, data, purpose)

    def same(self, mac: str, data: bytes, purpose: str) -> bool:
        """Say whether `mac` was made of `data`, in constant time; Unready when nobody can tell."""
        found = re.fullmatch(r"([0-9a-f]{8})\.[0-9a-f]{64}", mac)
        if found is None:
            raise Unready("A fingerprint is damaged: was the table edited?")
        key_id = bytes.fromhex(found[1])
        self._key(key_id)
        return hmac.compare_digest(mac, self._mac(key_id, data, purpose))

    def index(self, text: str, purpose: str) -> bytes:
        """Return a keyed digest to keep, by which a value is found again (e.g. an e-mail)."""
        return self.indexes(text, purpose)[0]

    def indexes(self, text: str, purpose: str) -> list[bytes]:
        """Return the digests to look for, one for each key that `index` may have used."""
        data = text.casefold().encode("utf-8", "surrogatepass")
        return [self._keyed(key_id, data, purpose) for key_id in self._keys]

    def derive(self, purpose: str) -> list[bytes]:
        """Return one key per secret key for another use (cookie signing), the first first."""
        return [self._keyed(key_id, b"", purpose) for key_id in self._keys]

    def _key(self, key_id: bytes) -> bytes:
        if key_id not in self._keys:
            raise Unready(
                "A secret was made with a key that PROVIDER_SECRET_KEY lacks: "
                "add the old key at its end"
            )
        return self._keys[key_id]

    def _mac(self, key_id: bytes, data: bytes, purpose: str) -> str:
        return f"{key_id.hex()}.{self._keyed(key_id, data, purpose).hex()}"

    def _keyed(self, key_id: bytes, data: bytes, purpose: str) -> bytes:
        return hmac.digest(self._keys[key_id], purpose.encode() + b"\x00" + data, "sha256")


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"provider key id\x00" + key).digest()[:4]
