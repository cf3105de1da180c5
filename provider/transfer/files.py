"""The files that rows name: recordings, their copies and posters."""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.errors import NotFound, Unready
from provider.kinds.interview import READY, Recording
from provider.media import Kept, Media
from provider.media.bucket import reason
from provider.transfer.tables import Tell


@dataclass(frozen=True)
class Named:
    """A file that a row names; of one as it was sent the row knows the SHA-256."""

    key: str
    sha256: str | None = None
    needed: bool = True


@dataclass(frozen=True)
class Copied:
    """The files that were copied, and those with which something is wrong, by their keys."""

    kept: dict[str, Kept] = field(default_factory=dict)
    amiss: dict[str, str] = field(default_factory=dict)


def named(session: Session) -> Iterator[Named]:
    """Return every file that a row names."""
    query = select(Recording).order_by(Recording.id).execution_options(yield_per=1000)
    for recording in session.scalars(query):
        yield Named(recording.original, recording.sha256)
        if recording.state == READY:
            yield Named(recording.copy)
            yield Named(recording.poster, needed=False)  # not every take has a picture


def copy(files: Sequence[Named], source: Media, target: Media, tell: Tell) -> Copied:
    """Copy files; one that the target has whole is left as it is."""
    copied = Copied()
    for number, file in enumerate(files, 1):
        try:
            kept = copy_one(file.key, source, target)
        except NotFound:
            if file.needed:
                copied.amiss[file.key] = "is not there"
            continue
        copied.kept[file.key] = kept
        if file.sha256 not in (None, kept.sha256):
            copied.amiss[file.key] = "is not what was sent: its SHA-256 differs"
        tell("Copying files", number, len(files))
    return copied


def hash_of(media: Media, key: str) -> Kept:
    """Read a file and say what it is; NotFound."""
    seen, size = hashlib.sha256(), media.size(key)
    for chunk in media.read(key, 0, size):
        seen.update(chunk)
    return Kept(size, seen.hexdigest())


def copy_one(key: str, source: Media, target: Media, told: Kept | None = None) -> Kept:
    """Copy a file unless it is there already, whole; NotFound. Invalid when it is not as `told`."""
    try:
        size = source.size(key)
        # Files are written whole and never change, so that the size tells enough.
        if target.holds(key) and target.size(key) == size:
            found = hash_of(target, key)
            if told in (None, found):
                return found
        return target.keep(key, _aside(source.read(key, 0, size)), told)
    except Unready as error:
        why = reason(error.__cause__ or error)
        raise Unready(f"The file {key} cannot be copied: {why}") from error


def _aside(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Read in another thread: obstore cannot read in the one in which it asks what to write."""
    with ThreadPoolExecutor(1) as reader:
        while piece := reader.submit(next, pieces, b"").result():
            yield piece
