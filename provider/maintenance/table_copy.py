"""Copy every table from one database to another, and compare their checksums."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Table, func, select
from sqlalchemy.orm import Session

from provider.errors import Conflict
from provider.maintenance import schema_version  # imports every table
from provider.maintenance.row_codec import Row, count_rows, insert_rows, last_key, read_batches
from provider.storage.database import Base, Database

ProgressCallback = Callable[[str, int, int], None]  # label, done, total


@dataclass(frozen=True)
class TableChecksum:
    """The number of a table's rows, and the SHA-256 of the rows in the order of their keys.

    The rows are hashed as JSON of plain values, bytes in hex, so it is equal on every database.
    """

    rows: int
    sha256: str


TableChecksums = Mapping[str, TableChecksum]


def all_tables() -> Sequence[Table]:
    """Return every table, parents first."""
    return Base.metadata.sorted_tables


def table_checksums(session: Session, report_progress: ProgressCallback) -> TableChecksums:
    return {table.name: _table_checksum(session, table, report_progress) for table in all_tables()}


def prepare_target(target: Database) -> None:
    """Mark an empty database as unfinished, so that no server starts on it.

    An interrupted copy is continued. Conflict if the database has rows.
    """
    unfinished_version = f"{schema_version.UNFINISHED_PREFIX} {schema_version.head()}"
    with target.writing() as session:
        version = schema_version.current_version(session)
    if version == unfinished_version:
        return
    if version and version.startswith(schema_version.UNFINISHED_PREFIX):
        raise Conflict("Another version of this program began the copy: empty the target first")
    schema_version.upgrade(target)
    with target.writing() as session:
        if filled := [table.name for table in all_tables() if last_key(session, table)]:
            raise Conflict(f"The target has rows already ({', '.join(filled)}): empty it first")
        schema_version.stamp(session, unfinished_version)


def copy_all_rows(
    source: Session,
    target: Database,
    report_progress: ProgressCallback,
    *,
    expected: TableChecksums | None = None,
    finish: Callable[[Session], None] | None = None,
) -> TableChecksums:
    """Copy every row into a prepared target, compare the checksums, and mark the target complete.

    Rows that the target has already are compared first. Conflict if checksums differ. `finish`
    changes the copy in the transaction that marks it complete.
    """
    copied = {
        table.name: _copy_table(source, target, table, report_progress) for table in all_tables()
    }
    if expected not in (None, copied):
        raise Conflict("The rows differ from the manifest: the backup is damaged")
    with target.writing() as session:
        stored = table_checksums(session, report_progress)
        if different := [name for name in copied if copied[name] != stored[name]]:
            raise Conflict(
                f"The copy differs in {', '.join(different)}: empty the target and try again"
            )
        if not target.is_sqlite:
            _advance_sequences(session)
        if finish is not None:
            finish(session)
        schema_version.stamp(session, schema_version.head())
    return copied


def _copy_table(
    source: Session, target: Database, table: Table, report_progress: ProgressCallback
) -> TableChecksum:
    builder = _ChecksumBuilder(f"Copying {table.name}", count_rows(source, table), report_progress)
    with target.writing() as session:
        copied_up_to = last_key(session, table)
        if copied_up_to:
            builder.add_all(source, table, up_to_key=copied_up_to)
            if builder.checksum() != _table_checksum(session, table, report_progress):
                raise Conflict(
                    f"The source has changed in {table.name} since the copy began: "
                    "empty the target and begin again"
                )
    for batch in read_batches(source, table, after_key=copied_up_to):
        with target.writing() as session:
            insert_rows(session, table, batch)
        builder.add(batch)
    return builder.checksum()


def _table_checksum(
    session: Session, table: Table, report_progress: ProgressCallback
) -> TableChecksum:
    builder = _ChecksumBuilder(
        f"Checking {table.name}", count_rows(session, table), report_progress
    )
    builder.add_all(session, table)
    return builder.checksum()


class _ChecksumBuilder:
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
    """Set PostgreSQL's sequences after the copied ids, or new rows would collide with them."""
    for table in all_tables():
        column = table.autoincrement_column
        if column is not None:
            sequence = func.pg_get_serial_sequence(table.name, column.name)
            highest = session.scalar(select(func.max(column)))
            session.execute(select(func.setval(sequence, highest)))
