"""Files in media storage that are encrypted by `SecretBox`, each bound to its key in the store."""

from contextlib import suppress

from provider.errors import Unavailable
from provider.storage.media import MediaStore, StoredFile
from provider.storage.secrets import KEY_ID_BYTES, SecretBox


def put_encrypted(media: MediaStore, secret_box: SecretBox, key: str, data: bytes) -> StoredFile:
    """Store a file; return the size and the digest of its ciphertext."""
    return media.put(key, [secret_box.encrypt_bytes(data, key)])


def read_encrypted(media: MediaStore, secret_box: SecretBox, key: str) -> bytes:
    """Return the content of a file. Raises NotFound, and Unavailable."""
    with suppress(Unavailable):
        return secret_box.decrypt_bytes(_read(media, key), key)
    # A file is read in pieces, and `renew_encrypted` may have replaced it in between.
    return secret_box.decrypt_bytes(_read(media, key), key)


def read_key_id(media: MediaStore, key: str) -> bytes:
    """Return the id of the key that encrypted a file. Raises NotFound."""
    return b"".join(media.read_range(key, 0, KEY_ID_BYTES))


def renew_encrypted(media: MediaStore, secret_box: SecretBox, key: str) -> tuple[StoredFile, bool]:
    """Encrypt a file with the first key; return it, and whether it had another key."""
    if read_key_id(media, key) == secret_box.first_key_id:
        return StoredFile.of(_read(media, key)), False
    return put_encrypted(media, secret_box, key, read_encrypted(media, secret_box, key)), True


def _read(media: MediaStore, key: str) -> bytes:
    return b"".join(media.read_range(key, 0, media.size(key)))
