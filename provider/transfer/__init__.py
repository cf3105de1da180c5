"""A whole instance from one place to another: moved, backed up, restored, and proved equal."""

from provider.transfer.backup import create_backup
from provider.transfer.manifest import Manifest
from provider.transfer.move import InstanceCopyReport, copy_instance
from provider.transfer.purge import find_unreferenced_files
from provider.transfer.restore import restore_backup, restore_key
from provider.transfer.tables import ProgressCallback, TableChecksums

__all__ = [
    "InstanceCopyReport",
    "Manifest",
    "ProgressCallback",
    "TableChecksums",
    "copy_instance",
    "create_backup",
    "find_unreferenced_files",
    "restore_backup",
    "restore_key",
]
