"""All tables from one database to another, and the proof that they are equal."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Table, func, select
from sqlalchemy.orm import Session

from provider.errors import Conflict
from provider.maintenance import schema_version  # which knows every table
from provider.maintenance.row_codec import Row, count_rows, insert_rows, last_key, read_batches
from provider.storage.database import Base, Database

ProgressCallback = Callable[[str, int, int], None]  # what is done, so much, of so much


@dataclass(frozen=True)
class TableChecksum:
    """How many rows a table has, and the SHA-256 of them in the order of their keys.

    The same on every database: of plain values in JSON, bytes in hex.
    """

    rows: int
    sha256: str


TableChecksums = Mapping[str, TableChecksum]


def all_tables() -> Sequence[Table]:
    """Return every table, parents first."""
    return Base.metadata.sorted_tables


def table_checksums(session: Session, report_progress: ProgressCallback) -> TableChecksums:
    """Add up every table."""
    return {table.name: _table_checksum(session, table, report_progress) for table in all_tables()}


def prepare_target(target: Database) -> None:
    """Make an empty database ready to be filled, or go on with one that is not whole yet.

    It counts as unfinished from then on, which all else refuses. Conflict when it holds anything.
    """
    mark = f"{schema_version.UNFINISHED_PREFIX} {schema_version.head()}"
    with target.writing() as session:
        found = schema_version.current_version(session)
    if found == mark:
        return
    if found and found.startswith(schema_version.UNFINISHED_PREFIX):
        raise Conflict("Another version of this program began to fill the target: empty it first")
    schema_version.upgrade(target)
    with target.writing() as session:
        if held := [table.name for table in all_tables() if last_key(session, table)]:
            raise Conflict(f"The target holds something already ({', '.join(held)}): empty it")
        schema_version.stamp(session, mark)


def copy_all_rows(
    source: Session,
    target: Database,
    report_progress: ProgressCallback,
    *,
    expected: TableChecksums | None = None,
) -> TableChecksums:
    """Copy every row into a database that was begun, and prove it; only then is that one whole.

    What is there already is compared first. Conflict when something differs, or is not `expected`.
    """
    copied = {
        table.name: _copy_table(source, target, table, report_progress) for table in all_tables()
    }
    if expected not in (None, copied):
        raise Conflict("What was read is not what it should be: the file is damaged")
    with target.writing() as session:
        there = table_checksums(session, report_progress)
        if differ := [name for name in copied if copied[name] != there[name]]:
            raise Conflict(f"The copy differs in {', '.join(differ)}: empty the target, try again")
        if not target.is_sqlite:
            _advance_sequences(session)
        schema_version.stamp(session, schema_version.head())
    return copied


def _copy_table(
    source: Session, target: Database, table: Table, report_progress: ProgressCallback
) -> TableChecksum:
    adding = _ChecksumBuilder(f"Copying {table.name}", count_rows(source, table), report_progress)
    with target.writing() as session:
        there = last_key(session, table)
        if there:
            adding.add_all(source, table, up_to_key=there)
            if adding.checksum() != _table_checksum(session, table, report_progress):
                raise Conflict(
                    f"The target holds in {table.name} what the source does not (any more): "
                    "empty the target and begin again"
                )
    for batch in read_batches(source, table, after_key=there):
        with target.writing() as session:
            insert_rows(session, table, batch)
        adding.add(batch)
    return adding.checksum()


def _table_checksum(
    session: Session, table: Table, report_progress: ProgressCallback
) -> TableChecksum:
    adding = _ChecksumBuilder(f"Checking {table.name}", count_rows(session, table), report_progress)
    adding.add_all(session, table)
    return adding.checksum()


class _ChecksumBuilder:
    """A sum on its way."""

    def __init__(self, label: str, total_rows: int, report_progress: ProgressCallback) -> None:
        self._label, self._total_rows, self._report_progress = label, total_rows, report_progress
        self._rows, self._hash = 0, hashlib.sha256()

    def add(self, rows: Sequence[Row]) -> None:
        self._rows += len(rows)
        self._hash.update(f"{_encode(rows)[1:-1]},".encode())
        self._report_progress(self._label, self._rows, self._total_rows)

    def add_all(self, session: Session, table: Table, *, up_to_key: Row | None = None) -> None:
        for batch in read_batches(session, table, up_to_key=up_to_key):
            self.add(batch)

    def checksum(self) -> TableChecksum:
        return TableChecksum(self._rows, self._hash.hexdigest())


_encode = json.JSONEncoder(separators=(",", ":"), default=bytes.hex).encode


def _advance_sequences(session: Session) -> None:
    """Let PostgreSQL number new rows after those that came with their numbers."""
    for table in all_tables():
        column = table.autoincrement_column
        if column is not None:
            numbers = func.pg_get_serial_sequence(table.name, column.name)
            newest = session.scalar(select(func.max(column)))
            session.execute(select(func.setval(numbers, newest)))
