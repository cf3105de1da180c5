"""A whole instance from one database to another, with its files where that is asked for."""

from dataclasses import dataclass
from pathlib import Path

from provider import schema
from provider.db import Database
from provider.errors import Invalid
from provider.media import Media
from provider.transfer.alone import alone, keep_still
from provider.transfer.files import Copied, copy, named
from provider.transfer.tables import Sums, Tell, begin, fill


@dataclass(frozen=True)
class Moved:
    """What a move took along."""

    tables: Sums
    files: Copied


def move(
    source: Database, target: Database, tell: Tell, *, files: tuple[Media, Media] | None = None
) -> Moved:
    """Copy a whole instance into an empty database; one that broke off goes on where it stopped.

    Nobody else may use either meanwhile. `files` says from where to where the media go. The source
    stays as it is. Conflict and Unready say what is in the way.
    """
    if _place(source) == _place(target):
        raise Invalid("FROM and TO are the same database")
    schema.require_current(source)
    with alone(source), alone(target), source.writing() as session:
        keep_still(session)
        begin(target)
        taken = copy(list(named(session)), *files, tell) if files else Copied()
        return Moved(fill(session, target, tell), taken)


def _place(db: Database) -> str:
    return str(Path(str(db.url.database)).resolve() if db.sqlite else db.url)
