"""Files that no row names: a crash between upload and commit leaves them."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice

from sqlalchemy import select

from provider.core.kinds import list_stored_media
from provider.core.kinds.base import StoredMedia
from provider.errors import Conflict
from provider.storage.database import Database
from provider.storage.media import LIST_PAGE_SIZE, MediaStore

UPLOAD_GRACE_PERIOD = timedelta(days=1)  # a younger file may still get its row

MediaFile = tuple[str, int]  # key, size in bytes


def find_unreferenced_files(db: Database, media: MediaStore, now: datetime) -> list[MediaFile]:
    """Return the files that no row names and that are a day old.

    Conflict if no row names any file of the store: it probably belongs to another database.
    """
    unreferenced: list[MediaFile] = []
    referenced_count = 0
    for stored_media in list_stored_media():
        files = media.list_files(modified_before=now - UPLOAD_GRACE_PERIOD)
        for batch in _batches(files, stored_media):
            known = _known_ids(db, stored_media, {row_id for row_id, _ in batch})
            unreferenced += (file for row_id, file in batch if row_id not in known)
            referenced_count += len(known)
    if unreferenced and not referenced_count:
        raise Conflict(
            f"None of the {len(unreferenced):,} files in PROVIDER_MEDIA_URL belongs to this "
            "database, so nothing is deleted: check both settings"
        )
    return unreferenced


def _batches(
    files: Iterator[MediaFile], stored_media: StoredMedia
) -> Iterator[list[tuple[str, MediaFile]]]:
    own_files = (
        (match[1], file) for file in files if (match := stored_media.key_pattern.fullmatch(file[0]))
    )
    while batch := list(islice(own_files, LIST_PAGE_SIZE)):
        yield batch


def _known_ids(db: Database, stored_media: StoredMedia, row_ids: set[str]) -> set[str]:
    with db.reading() as session:
        query = select(stored_media.id_column).where(stored_media.id_column.in_(row_ids))
        return set(session.scalars(query))
