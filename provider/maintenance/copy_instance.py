"""Copy an instance from one database to another, with or without its files."""

from dataclasses import dataclass
from pathlib import Path

from provider.errors import Invalid
from provider.maintenance import schema_version
from provider.maintenance.exclusive_access import block_writes, exclusive
from provider.maintenance.media_copy import CopyReport, copy_files, list_media_references
from provider.maintenance.table_copy import (
    ProgressCallback,
    TableChecksums,
    copy_all_rows,
    prepare_target,
)
from provider.storage.database import Database
from provider.storage.media import MediaStore


@dataclass(frozen=True)
class InstanceCopyReport:
    """Checksums of the copied tables, and the result for each copied file."""

    tables: TableChecksums
    files: CopyReport


def copy_instance(
    source: Database,
    target: Database,
    report_progress: ProgressCallback,
    *,
    files: tuple[MediaStore, MediaStore] | None = None,
) -> InstanceCopyReport:
    """Copy every row into an empty database, or continue an interrupted copy.

    Both databases are locked against other programs. `files` is the source and target of the media;
    None copies no media. Conflict or Unavailable if that is not possible.
    """
    if _database_location(source) == _database_location(target):
        raise Invalid("FROM and TO are the same database")
    schema_version.require_current(source)
    with exclusive(source), exclusive(target), source.writing() as session:
        block_writes(session)
        prepare_target(target)
        copied_files = (
            copy_files(list(list_media_references(session)), *files, report_progress)
            if files
            else CopyReport()
        )
        return InstanceCopyReport(copy_all_rows(session, target, report_progress), copied_files)


def _database_location(db: Database) -> str:
    return str(Path(str(db.url.database)).resolve() if db.is_sqlite else db.url)
