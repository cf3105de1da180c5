"""Secrets: random tokens, their digests, and encryption bound to the row that holds it."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence

from provider.errors import Unavailable

MIN_CIPHERTEXT_BYTES = 4 + 12 + 16  # bytes of a ciphertext: its key's id, the nonce, the tag


def generate_token() -> str:
    """Return 32 random bytes as 43 URL-safe characters."""
    return secrets.token_urlsafe(32)


def generate_public_id() -> str:
    """Return a random 128-bit id as 22 URL-safe characters, the first a letter, a digit or `_`."""
    made = secrets.token_urlsafe(16)
    # In a terminal an id that begins with “-” would be taken for an option.
    return generate_public_id() if made.startswith("-") else made


def sha256_digest(secret: str) -> bytes:
    """Return the SHA-256 of a random secret, by which it is found again.

    Enough for 32 random bytes; a password would want argon2.
    """
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


class SecretBox:
    """Encrypts with the first key, decrypts with any; a ciphertext carries its key's id."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {_key_id(key): key for key in keys}
        self._first_key_id = _key_id(keys[0])

    def encrypt(self, text: str, row_name: str) -> bytes:
        """Encrypt (AES-256-GCM) for one row, named like `accounts/ID/token`."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # late: see `open`

        nonce = secrets.token_bytes(12)
        sealed = AESGCM(self._keys[self._first_key_id]).encrypt(
            nonce, text.encode(), row_name.encode()
        )
        return self._first_key_id + nonce + sealed

    def decrypt(self, ciphertext: bytes, row_name: str) -> str:
        """Decrypt what `seal` made for the same row; Unready when it or its key is not there."""
        # Late, for most commands open no secret, and this is slow to load.
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if len(ciphertext) < MIN_CIPHERTEXT_BYTES:
            raise Unavailable("A secret is cut short: was the table edited?")
        key = self._find_key(ciphertext[:4])
        try:
            return (
                AESGCM(key).decrypt(ciphertext[4:16], ciphertext[16:], row_name.encode()).decode()
            )
        except InvalidTag:
            raise Unavailable(
                "A secret does not belong to its row: was the table edited?"
            ) from None

    def compute_mac(self, data: bytes, purpose: str) -> str:
        """Return an HMAC-SHA-256 that carries its key's id, so that keys can be replaced."""
        return self._compute_mac(self._first_key_id, data, purpose)

    def is_valid_mac(self, mac: str, data: bytes, purpose: str) -> bool:
        """Say whether `mac` was made of `data`, in constant time; Unready when nobody can tell."""
        found = re.fullmatch(r"([0-9a-f]{8})\.[0-9a-f]{64}", mac)
        if found is None:
            raise Unavailable("A fingerprint is damaged: was the table edited?")
        key_id = bytes.fromhex(found[1])
        self._find_key(key_id)
        return hmac.compare_digest(mac, self._compute_mac(key_id, data, purpose))

    def blind_index(self, text: str, purpose: str) -> bytes:
        """Return a keyed digest to keep, by which a value is found again (e.g. an e-mail)."""
        return self.blind_indexes(text, purpose)[0]

    def blind_indexes(self, text: str, purpose: str) -> list[bytes]:
        """Return the digests to look for, one for each key that `index` may have used."""
        data = text.casefold().encode("utf-8", "surrogatepass")
        return [self._hmac(key_id, data, purpose) for key_id in self._keys]

    def derive_keys(self, purpose: str) -> list[bytes]:
        """Return one key per secret key for another use (cookie signing), the first first."""
        return [self._hmac(key_id, b"", purpose) for key_id in self._keys]

    def _find_key(self, key_id: bytes) -> bytes:
        if key_id not in self._keys:
            raise Unavailable(
                "A secret was made with a key that PROVIDER_SECRET_KEY lacks: "
                "add the old key at its end"
            )
        return self._keys[key_id]

    def _compute_mac(self, key_id: bytes, data: bytes, purpose: str) -> str:
        return f"{key_id.hex()}.{self._hmac(key_id, data, purpose).hex()}"

    def _hmac(self, key_id: bytes, data: bytes, purpose: str) -> bytes:
        return hmac.digest(self._keys[key_id], purpose.encode() + b"\x00" + data, "sha256")


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"provider key id\x00" + key).digest()[:4]
