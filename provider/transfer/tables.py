"""All tables from one database to another, and the proof that they are equal."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Table, func, select
from sqlalchemy.orm import Session

from provider import schema  # which knows every table
from provider.db import Base, Database
from provider.errors import Conflict
from provider.transfer.rows import Row, batches, count, last, put

Tell = Callable[[str, int, int], None]  # what is done, so much, of so much


@dataclass(frozen=True)
class Sum:
    """How many rows a table has, and the SHA-256 of them in the order of their keys.

    The same on every database: of plain values in JSON, bytes in hex.
    """

    rows: int
    sha256: str


Sums = Mapping[str, Sum]


def tables() -> Sequence[Table]:
    """Return every table, parents first."""
    return Base.metadata.sorted_tables


def sums(session: Session, tell: Tell) -> Sums:
    """Add up every table."""
    return {table.name: _sum(session, table, tell) for table in tables()}


def begin(target: Database) -> None:
    """Make an empty database ready to be filled, or go on with one that is not whole yet.

    It counts as unfinished from then on, which all else refuses. Conflict when it holds anything.
    """
    mark = f"{schema.UNFINISHED} {schema.head()}"
    with target.writing() as session:
        found = schema.version(session)
    if found == mark:
        return
    if found and found.startswith(schema.UNFINISHED):
        raise Conflict("Another version of this program began to fill the target: empty it first")
    schema.upgrade(target)
    with target.writing() as session:
        if held := [table.name for table in tables() if last(session, table)]:
            raise Conflict(f"The target holds something already ({', '.join(held)}): empty it")
        schema.stamp(session, mark)


def fill(source: Session, target: Database, tell: Tell, *, expected: Sums | None = None) -> Sums:
    """Copy every row into a database that was begun, and prove it; only then is that one whole.

    What is there already is compared first. Conflict when something differs, or is not `expected`.
    """
    copied = {table.name: _copy(source, target, table, tell) for table in tables()}
    if expected not in (None, copied):
        raise Conflict("What was read is not what it should be: the file is damaged")
    with target.writing() as session:
        there = sums(session, tell)
        if differ := [name for name in copied if copied[name] != there[name]]:
            raise Conflict(f"The copy differs in {', '.join(differ)}: empty the target, try again")
        if not target.sqlite:
            _go_on_counting(session)
        schema.stamp(session, schema.head())
    return copied


def _copy(source: Session, target: Database, table: Table, tell: Tell) -> Sum:
    adding = _Adding(f"Copying {table.name}", count(source, table), tell)
    with target.writing() as session:
        there = last(session, table)
        if there:
            adding.add_all(source, table, upto=there)
            if adding.sum() != _sum(session, table, tell):
                raise Conflict(
                    f"The target holds in {table.name} what the source does not (any more): "
                    "empty the target and begin again"
                )
    for batch in batches(source, table, after=there):
        with target.writing() as session:
            put(session, table, batch)
        adding.add(batch)
    return adding.sum()


def _sum(session: Session, table: Table, tell: Tell) -> Sum:
    adding = _Adding(f"Checking {table.name}", count(session, table), tell)
    adding.add_all(session, table)
    return adding.sum()


class _Adding:
    """A sum on its way."""

    def __init__(self, what: str, total: int, tell: Tell) -> None:
        self._what, self._total, self._tell = what, total, tell
        self._rows, self._seen = 0, hashlib.sha256()

    def add(self, rows: Sequence[Row]) -> None:
        self._rows += len(rows)
        self._seen.update(f"{_encode(rows)[1:-1]},".encode())
        self._tell(self._what, self._rows, self._total)

    def add_all(self, session: Session, table: Table, *, upto: Row | None = None) -> None:
        for batch in batches(session, table, upto=upto):
            self.add(batch)

    def sum(self) -> Sum:
        return Sum(self._rows, self._seen.hexdigest())


_encode = json.JSONEncoder(separators=(",", ":"), default=bytes.hex).encode


def _go_on_counting(session: Session) -> None:
    """Let PostgreSQL number new rows after those that came with their numbers."""
    for table in tables():
        column = table.autoincrement_column
        if column is not None:
            numbers = func.pg_get_serial_sequence(table.name, column.name)
            newest = session.scalar(select(func.max(column)))
            session.execute(select(func.setval(numbers, newest)))
