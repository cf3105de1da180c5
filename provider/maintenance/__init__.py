"""Schema version, backup, restore, copy of an instance, erasure, and pruning of files."""

from provider.maintenance.backup import create_backup
from provider.maintenance.copy_instance import InstanceCopyReport, copy_instance
from provider.maintenance.digest_renewal import count_fixed_digests
from provider.maintenance.erasure import Erasure, NotErasable, erase_order, require_erasable
from provider.maintenance.instance import initialise, open_database, open_media
from provider.maintenance.key_renewal import KeyRenewal, KeyUse, count_key_use, renew_keys
from provider.maintenance.manifest import Manifest
from provider.maintenance.person_export import PersonExport, export_person
from provider.maintenance.prune_media import find_unreferenced_files
from provider.maintenance.restore import restore_backup, restore_key
from provider.maintenance.retention import RetentionPreview
from provider.maintenance.retention import preview as preview_retention
from provider.maintenance.table_copy import ProgressCallback, TableChecksums

__all__ = [
    "Erasure",
    "InstanceCopyReport",
    "KeyRenewal",
    "KeyUse",
    "Manifest",
    "NotErasable",
    "PersonExport",
    "ProgressCallback",
    "RetentionPreview",
    "TableChecksums",
    "copy_instance",
    "count_fixed_digests",
    "count_key_use",
    "create_backup",
    "erase_order",
    "export_person",
    "find_unreferenced_files",
    "initialise",
    "open_database",
    "open_media",
    "preview_retention",
    "renew_keys",
    "require_erasable",
    "restore_backup",
    "restore_key",
]
