"""Finds the encrypted files of each key, and has those of older keys encrypted anew."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import select

from provider.core.kinds import KINDS
from provider.core.kinds.base import FileRenewal, KindMedia
from provider.errors import NotFound
from provider.storage.database import Database
from provider.storage.encrypted_files import read_key_id
from provider.storage.media import MediaStore
from provider.storage.secrets import SecretBox


def count_files(db: Database, media: MediaStore) -> Mapping[bytes, int]:
    """Count the encrypted files by key id. Files without a row do not count."""
    counts: Counter[bytes] = Counter()
    for kind_media in _encrypted_media():
        for row_id, key_id in _read_key_ids(media, kind_media):
            counts[key_id] += _has_row(db, kind_media, row_id)
    return +counts


def renew_files(db: Database, media: MediaStore, secret_box: SecretBox) -> FileRenewal:
    """Encrypt the files that have another key than the first one."""
    total = FileRenewal()
    for kind_media in _encrypted_media():
        assert kind_media.renew_files
        done = set()
        for row_id, key_id in _read_key_ids(media, kind_media):
            if key_id != secret_box.first_key_id and row_id not in done:
                done.add(row_id)
                renewal = kind_media.renew_files(db, media, secret_box, row_id)
                total.renewed += renewal.renewed
                total.failed += renewal.failed
    return total


def _encrypted_media() -> Iterator[KindMedia]:
    return (kind.media for kind in KINDS.values() if kind.media and kind.media.is_encrypted)


def _read_key_ids(media: MediaStore, kind_media: KindMedia) -> Iterator[tuple[str, bytes]]:
    """Yield the id of the row of each file, and the id of the file's key."""
    for key, size in media.list_files():
        if match := kind_media.key_pattern.fullmatch(key):
            try:
                yield match[1], read_key_id(media, key) if size else b""
            except NotFound:  # deleted meanwhile
                continue


def _has_row(db: Database, kind_media: KindMedia, row_id: str) -> bool:
    id_column: Any = kind_media.id_column
    with db.reading() as session:
        return session.scalar(select(id_column).where(id_column == row_id)) is not None
