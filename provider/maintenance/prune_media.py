"""Files of recordings that no row names: a crash between upload and commit leaves them."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice

from sqlalchemy import select

from provider.core.kinds.interview import Recording
from provider.errors import Conflict
from provider.storage.database import Database
from provider.storage.media import LIST_PAGE_SIZE, MediaStore

RECORDING_KEY_PATTERN = re.compile(
    r"recordings/([\w-]{22})/(?:original|playable|poster\.jpg)", re.ASCII
)
UPLOAD_GRACE_PERIOD = timedelta(days=1)  # a younger file may still get its row

MediaFile = tuple[str, int]  # key, size in bytes


def find_unreferenced_files(db: Database, media: MediaStore, now: datetime) -> list[MediaFile]:
    """Return the recordings' files that no row names and that are a day old.

    Conflict if no row names any file of the store: it probably belongs to another database.
    """
    unreferenced: list[MediaFile] = []
    referenced_count = 0
    for batch in _batches(media.list_files(modified_before=now - UPLOAD_GRACE_PERIOD)):
        known = _known_recordings(db, {public_id for public_id, _ in batch})
        unreferenced += (file for public_id, file in batch if public_id not in known)
        referenced_count += len(known)
    if unreferenced and not referenced_count:
        raise Conflict(
            f"None of the {len(unreferenced):,} files in PROVIDER_MEDIA_URL belongs to this "
            "database, so nothing is deleted: check both settings"
        )
    return unreferenced


def _batches(files: Iterator[MediaFile]) -> Iterator[list[tuple[str, MediaFile]]]:
    recording_files = (
        (match[1], file) for file in files if (match := RECORDING_KEY_PATTERN.fullmatch(file[0]))
    )
    while batch := list(islice(recording_files, LIST_PAGE_SIZE)):
        yield batch


def _known_recordings(db: Database, public_ids: set[str]) -> set[str]:
    with db.reading() as session:
        query = select(Recording.public_id).where(Recording.public_id.in_(public_ids))
        return set(session.scalars(query))
