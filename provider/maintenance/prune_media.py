"""Recordings' files that no row names: a crash came between their last byte and the row."""

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
UPLOAD_GRACE_PERIOD = timedelta(days=1)  # after which an upload has its row, or never will

MediaFile = tuple[str, int]


def find_unreferenced_files(db: Database, media: MediaStore, now: datetime) -> list[MediaFile]:
    """Return the key and the size in bytes of every file that no row names, a day old or more.

    Only what looks like a recording of ours is looked at. Conflict when none of them is this
    database's: then they are more likely another's than all of them nobody's.
    """
    found: list[MediaFile] = []
    named = 0
    for batch in _batches(media.list_files(modified_before=now - UPLOAD_GRACE_PERIOD)):
        known = _known_recordings(db, {public_id for public_id, _ in batch})
        found += (file for public_id, file in batch if public_id not in known)
        named += len(known)
    if found and not named:
        raise Conflict(
            f"None of the {len(found):,} files in PROVIDER_MEDIA_URL is this database's: "
            "is that the right place? Nothing is deleted"
        )
    return found


def _batches(files: Iterator[MediaFile]) -> Iterator[list[tuple[str, MediaFile]]]:
    ours = (
        (match[1], file) for file in files if (match := RECORDING_KEY_PATTERN.fullmatch(file[0]))
    )
    while batch := list(islice(ours, LIST_PAGE_SIZE)):
        yield batch


def _known_recordings(db: Database, public_ids: set[str]) -> set[str]:
    with db.reading() as session:
        query = select(Recording.public_id).where(Recording.public_id.in_(public_ids))
        return set(session.scalars(query))
