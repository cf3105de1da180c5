"""Random tokens, their digests, and encryption that binds a ciphertext to its row."""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

from provider.errors import Unavailable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_ID_BYTES = 4  # at the beginning of a ciphertext
MIN_CIPHERTEXT_BYTES = KEY_ID_BYTES + 12 + 16  # the key's id, the nonce and the tag


def generate_token() -> str:
    """Return 32 random bytes as 43 URL-safe characters."""
    return secrets.token_urlsafe(32)


def generate_public_id() -> str:
    """Return a random 128-bit id as 22 URL-safe characters, the first a letter, a digit or `_`."""
    public_id = secrets.token_urlsafe(16)
    # A command line would read an id that begins with “-” as an option.
    return generate_public_id() if public_id.startswith("-") else public_id


def derive_token(token: str, purpose: str) -> str:
    """Return another token, which only who knows `token` can compute."""
    digest = hmac.digest(token.encode(), purpose.encode(), "sha256")
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def sha256_digest(secret: str) -> bytes:
    """Return the SHA-256 by which a random secret is looked up.

    SHA-256 is enough for 32 random bytes; passwords need argon2.
    """
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


class SecretBox:
    """Encrypts with the first key and decrypts with any key.

    A ciphertext begins with its key's id, so that keys can be replaced.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {_key_id(key): key for key in keys}
        self._first_key_id = _key_id(keys[0])
        self._ciphers: dict[bytes, AESGCM] = {}  # by key id

    @property
    def key_ids(self) -> list[bytes]:
        """The ids of the keys, in their order. An id does not reveal its key."""
        return list(self._keys)

    @property
    def first_key_id(self) -> bytes:
        return self._first_key_id

    def encrypt(self, text: str, row_name: str) -> bytes:
        """Encrypt with AES-256-GCM for the row `row_name`, like `accounts/ID/token`."""
        return self.encrypt_bytes(text.encode(), row_name)

    def decrypt(self, ciphertext: bytes, row_name: str) -> str:
        """Decrypt for the same row; Unavailable if the key is missing or the ciphertext damaged."""
        return self.decrypt_bytes(ciphertext, row_name).decode()

    def encrypt_bytes(self, data: bytes, row_name: str) -> bytes:
        nonce = secrets.token_bytes(12)
        ciphertext = self._cipher(self._first_key_id).encrypt(nonce, data, row_name.encode())
        return self._first_key_id + nonce + ciphertext

    def decrypt_bytes(self, ciphertext: bytes, row_name: str) -> bytes:
        from cryptography.exceptions import InvalidTag  # late: see `_cipher`

        if len(ciphertext) < MIN_CIPHERTEXT_BYTES:
            raise Unavailable("An encrypted value is cut short: was the table edited?")
        cipher = self._cipher(ciphertext[:4])
        try:
            return cipher.decrypt(ciphertext[4:16], ciphertext[16:], row_name.encode())
        except InvalidTag:
            raise Unavailable(
                "An encrypted value does not belong to its row: was the table edited?"
            ) from None

    def compute_mac(self, data: bytes, purpose: str) -> str:
        """Return an HMAC-SHA-256 in hex, after its key's id: `12345678.abc…`."""
        return self._compute_mac(self._first_key_id, data, purpose)

    def is_valid_mac(self, mac: str, data: bytes, purpose: str) -> bool:
        """Compare in constant time; Unavailable if the key is missing or `mac` is damaged."""
        match = re.fullmatch(r"([0-9a-f]{8})\.[0-9a-f]{64}", mac)
        if match is None:
            raise Unavailable("A stored MAC is damaged: was the table edited?")
        key_id = bytes.fromhex(match[1])
        self._find_key(key_id)
        return hmac.compare_digest(mac, self._compute_mac(key_id, data, purpose))

    def has_key_of_mac(self, mac: str) -> bool:
        """Whether `is_valid_mac` can tell anything: an old key may have been removed."""
        return mac[: 2 * KEY_ID_BYTES] in {key_id.hex() for key_id in self._keys}

    def blind_index(self, text: str, purpose: str) -> bytes:
        """Return the keyed digest to store, by which a value like an e-mail is looked up."""
        return self.blind_indexes(text, purpose)[0]

    def blind_indexes(self, text: str, purpose: str) -> list[bytes]:
        """Return the digests to look for: one for each key that may have been the first."""
        data = text.casefold().encode("utf-8", "surrogatepass")
        return [self._hmac(key_id, data, purpose) for key_id in self._keys]

    def derive_keys(self, purpose: str) -> list[bytes]:
        """Return a key for another purpose, like signing cookies, from each secret key in order."""
        return [self._hmac(key_id, b"", purpose) for key_id in self._keys]

    def _cipher(self, key_id: bytes) -> "AESGCM":
        """Return a key's cipher; Unavailable without the key. Threads may use it together."""
        if key_id not in self._ciphers:
            # Late: slow to import, and most commands encrypt and decrypt nothing.
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM

            self._ciphers[key_id] = AESGCM(self._find_key(key_id))
        return self._ciphers[key_id]

    def _find_key(self, key_id: bytes) -> bytes:
        if key_id not in self._keys:
            raise Unavailable(
                "PROVIDER_SECRET_KEY lacks the key of an encrypted value: "
                "add the old key at its end"
            )
        return self._keys[key_id]

    def _compute_mac(self, key_id: bytes, data: bytes, purpose: str) -> str:
        return f"{key_id.hex()}.{self._hmac(key_id, data, purpose).hex()}"

    def _hmac(self, key_id: bytes, data: bytes, purpose: str) -> bytes:
        return hmac.digest(self._keys[key_id], purpose.encode() + b"\x00" + data, "sha256")


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"provider key id\x00" + key).digest()[:4]
