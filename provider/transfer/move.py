"""A whole instance from one database to another, with its files where that is asked for."""

from dataclasses import dataclass
from pathlib import Path

from provider import schema
from provider.db import Database
from provider.errors import Invalid
from provider.media import MediaStore
from provider.transfer.alone import block_writes, exclusive
from provider.transfer.files import CopyReport, copy_files, list_media_references
from provider.transfer.tables import ProgressCallback, TableChecksums, copy_all_rows, prepare_target


@dataclass(frozen=True)
class InstanceCopyReport:
    """What a move took along."""

    tables: TableChecksums
    files: CopyReport


def copy_instance(
    source: Database,
    target: Database,
    report_progress: ProgressCallback,
    *,
    files: tuple[MediaStore, MediaStore] | None = None,
) -> InstanceCopyReport:
    """Copy a whole instance into an empty database; one that broke off goes on where it stopped.

    Nobody else may use either meanwhile. `files` says from where to where the media go. The source
    stays as it is. Conflict and Unready say what is in the way.
    """
    if _database_location(source) == _database_location(target):
        raise Invalid("FROM and TO are the same database")
    schema.require_current(source)
    with exclusive(source), exclusive(target), source.writing() as session:
        block_writes(session)
        prepare_target(target)
        taken = (
            copy_files(list(list_media_references(session)), *files, report_progress)
            if files
            else CopyReport()
        )
        return InstanceCopyReport(copy_all_rows(session, target, report_progress), taken)


def _database_location(db: Database) -> str:
    return str(Path(str(db.url.database)).resolve() if db.is_sqlite else db.url)
