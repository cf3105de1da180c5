"""The manifest of a backup, and the check of a backup against its manifest.

A backup is a folder with the layout of an instance folder:

provider.db     a snapshot of the database; always SQLite
media/ mail/    the files that its rows name, and the stored e-mails
secret.key      the key, if the instance folder has it
manifest.json   versions, the checksum of each table, the size and SHA-256 of each file
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from provider.errors import Conflict, Invalid, Unavailable
from provider.maintenance import schema_version
from provider.maintenance.table_copy import ProgressCallback, TableChecksum, TableChecksums
from provider.storage.media import CHUNK_BYTES, StoredFile
from provider.storage.secrets import SecretBox

FORMAT_VERSION = 1
DATABASE_FILE, MEDIA_FOLDER, EMAIL_FOLDER, KEY_FILE, MANIFEST_FILE = (
    "provider.db",
    "media",
    "mail",
    "secret.key",
    "manifest.json",
)
KEY_SIGNATURE_LABEL = "backup"  # the purpose of the MACs that identify keys


@dataclass(frozen=True)
class Manifest:
    """The content of a backup; the fields are those of manifest.json."""

    format_version: int
    created_at: str  # ISO 8601
    program_version: str
    database_version: str
    tables: TableChecksums
    files: dict[str, StoredFile]  # by path in the folder
    problems: dict[str, str]  # problems of media files that rows name, by key
    key_signatures: list[str]  # one MAC by each key that was in use

    def write(self, folder: Path) -> None:
        (folder / MANIFEST_FILE).write_text(json.dumps(asdict(self), indent=1), "utf-8")

    def files_in(self, subfolder: str) -> list[str]:
        """Return the paths of the files in a subfolder, relative to it."""
        return [
            path.removeprefix(f"{subfolder}/")
            for path in self.files
            if path.startswith(f"{subfolder}/")
        ]


def key_signatures(keys: Iterable[bytes]) -> list[str]:
    """Return a MAC by each key, which identifies the key without revealing it."""
    return [SecretBox([key]).compute_mac(b"", KEY_SIGNATURE_LABEL) for key in keys]


def require_keys(manifest: Manifest, keys: tuple[bytes, ...], folder: Path) -> None:
    """Raise Unavailable unless these keys decrypt everything in a backup."""
    secret_box = SecretBox(keys)
    try:
        has_all_keys = all(
            secret_box.is_valid_mac(signature, b"", KEY_SIGNATURE_LABEL)
            for signature in manifest.key_signatures
        )
    except Unavailable:
        has_all_keys = False
    if not has_all_keys:
        hint = f" to the content of {folder / KEY_FILE}" if KEY_FILE in manifest.files else ""
        raise Unavailable(
            "The backup is encrypted with a key that this instance does not have: "
            f"set PROVIDER_SECRET_KEY{hint}"
        )


def read_manifest(folder: Path) -> Manifest:
    """Read a backup's manifest; Invalid if it is missing, damaged or of a newer program."""
    try:
        data = json.loads((folder / MANIFEST_FILE).read_text("utf-8"))
    except FileNotFoundError:
        raise Invalid(f"{folder} is not a backup: it has no {MANIFEST_FILE}") from None
    except ValueError:
        raise Invalid(f"The backup is damaged: {MANIFEST_FILE} cannot be read") from None
    if not isinstance(data, dict) or data.get("format_version") != FORMAT_VERSION:
        raise Invalid(
            f"The backup has a format that this program does not know: {folder / MANIFEST_FILE}"
        )
    manifest = _parse_manifest(data)
    if manifest.database_version not in schema_version.revisions():
        raise Invalid(
            f"The backup (version {manifest.database_version}, by provider "
            f"{manifest.program_version}) is newer than this program, which knows "
            f"{schema_version.head()}: install the `provider` that made the backup"
        )
    return manifest


def verify_files(folder: Path, manifest: Manifest, report_progress: ProgressCallback) -> None:
    """Read every file of a backup; Conflict if one is missing or differs from the manifest."""
    for number, (path, expected) in enumerate(manifest.files.items(), 1):
        try:
            actual = inspect_file(folder / path)
        except FileNotFoundError:
            raise Conflict(f"The backup is damaged: {path} is missing") from None
        if actual != expected:
            raise Conflict(f"The backup is damaged: {path} has changed")
        report_progress("Reading the backup", number, len(manifest.files))


def inspect_file(path: Path) -> StoredFile:
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            sha256.update(chunk)
    return StoredFile(path.stat().st_size, sha256.hexdigest())


def _parse_manifest(data: dict[str, Any]) -> Manifest:
    try:
        tables = {name: TableChecksum(**fields) for name, fields in data["tables"].items()}
        files = {path: StoredFile(**fields) for path, fields in data["files"].items()}
        return Manifest(**(data | {"tables": tables, "files": files}))
    except (KeyError, TypeError, AttributeError):
        raise Invalid(f"The backup is damaged: {MANIFEST_FILE} is incomplete") from None
