"""Recordings' files that no row names: a crash came between their last byte and the row."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice

from sqlalchemy import select

from provider.db import Database
from provider.errors import Conflict
from provider.kinds.interview import Recording
from provider.media import PAGE, Media

RECORDING = re.compile(r"recordings/([\w-]{22})/(?:original|playable|poster\.jpg)", re.ASCII)
SETTLED = timedelta(days=1)  # after which an upload has its row, or never will

File = tuple[str, int]


def unnamed(db: Database, media: Media, at: datetime) -> list[File]:
    """Return the key and the size in bytes of every file that no row names, a day old or more.

    Only what looks like a recording of ours is looked at. Conflict when none of them is this
    database's: then they are more likely another's than all of them nobody's.
    """
    found: list[File] = []
    named = 0
    for batch in _batches(media.keys(before=at - SETTLED)):
        known = _known(db, {public_id for public_id, _ in batch})
        found += (file for public_id, file in batch if public_id not in known)
        named += len(known)
    if found and not named:
        raise Conflict(
            f"None of the {len(found):,} files in PROVIDER_MEDIA_URL is this database's: "
            "is that the right place? Nothing is deleted"
        )
    return found


def _batches(files: Iterator[File]) -> Iterator[list[tuple[str, File]]]:
    ours = ((match[1], file) for file in files if (match := RECORDING.fullmatch(file[0])))
    while batch := list(islice(ours, PAGE)):
        yield batch


def _known(db: Database, public_ids: set[str]) -> set[str]:
    with db.reading() as session:
        query = select(Recording.public_id).where(Recording.public_id.in_(public_ids))
        return set(session.scalars(query))
