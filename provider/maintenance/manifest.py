"""What a backup says it holds, and whether it does.

A backup is a folder laid out like an instance folder:

provider.db     the database as it was at one moment; always SQLite, wherever it came from
media/ mail/    the files that its rows name, and the letters that were kept
secret.key      the key, where that was kept in the instance folder
manifest.json   versions, every table's sum, every file's size and SHA-256
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

FORMAT_VERSION = 1  # of the folder
DATABASE_FILE, MEDIA_FOLDER, EMAIL_FOLDER, KEY_FILE, MANIFEST_FILE = (
    "provider.db",
    "media",
    "mail",
    "secret.key",
    "manifest.json",
)
KEY_SIGNATURE_LABEL = "backup"  # what every key signs, to be known again


@dataclass(frozen=True)
class Manifest:
    """What a backup holds."""

    form: int
    made_at: str
    program: str
    version: str  # of the database
    tables: TableChecksums
    files: dict[str, StoredFile]  # by their paths in the folder
    amiss: dict[str, str]  # media that rows name, and what was wrong with them
    keys: list[str]  # a signature by each key that was in use

    def write(self, folder: Path) -> None:
        """Put it into the backup's folder."""
        (folder / MANIFEST_FILE).write_text(json.dumps(asdict(self), indent=1), "utf-8")

    def files_in(self, subfolder: str) -> list[str]:
        """Return the files of one folder, by their paths in it."""
        return [
            path.removeprefix(f"{subfolder}/")
            for path in self.files
            if path.startswith(f"{subfolder}/")
        ]


def key_signatures(keys: Iterable[bytes]) -> list[str]:
    """Return what tells which keys are needed, without giving them away."""
    return [SecretBox([key]).compute_mac(b"", KEY_SIGNATURE_LABEL) for key in keys]


def require_keys(manifest: Manifest, keys: tuple[bytes, ...], folder: Path) -> None:
    """Raise Unready unless all that is encrypted in a backup can be read with these keys."""
    vault, hint = (
        SecretBox(keys),
        f" to what is in {folder / KEY_FILE}" if KEY_FILE in manifest.files else "",
    )
    try:
        known = all(vault.is_valid_mac(each, b"", KEY_SIGNATURE_LABEL) for each in manifest.keys)
    except Unavailable:
        known = False
    if not known:
        raise Unavailable(
            "The backup's secrets were made with a key that is not among those of this instance: "
            f"set PROVIDER_SECRET_KEY{hint}"
        )


def read_manifest(folder: Path) -> Manifest:
    """Read a backup's manifest; Invalid when there is none that this program understands."""
    try:
        told = json.loads((folder / MANIFEST_FILE).read_text("utf-8"))
    except FileNotFoundError:
        raise Invalid(f"{folder} is no backup: there is no {MANIFEST_FILE} in it") from None
    except ValueError:
        raise Invalid(f"The backup is damaged: {MANIFEST_FILE} cannot be read") from None
    if not isinstance(told, dict) or told.get("form") != FORMAT_VERSION:
        raise Invalid(
            f"The backup is of a form that this program does not know: {folder / MANIFEST_FILE}"
        )
    manifest = _parse_manifest(told)
    if manifest.version not in schema_version.revisions():
        raise Invalid(
            f"The backup (version {manifest.version}, by provider {manifest.program}) is newer "
            f"than this program, which knows {schema_version.head()}: install the `provider` that made it"
        )
    return manifest


def verify_files(folder: Path, manifest: Manifest, report_progress: ProgressCallback) -> None:
    """Read every file of a backup; Conflict when one is not there, or not what it was."""
    for number, (path, kept) in enumerate(manifest.files.items(), 1):
        try:
            found = inspect_file(folder / path)
        except FileNotFoundError:
            raise Conflict(f"The backup is damaged: {path} is not there") from None
        if found != kept:
            raise Conflict(f"The backup is damaged: {path} is not what it was")
        report_progress("Reading the backup", number, len(manifest.files))


def inspect_file(path: Path) -> StoredFile:
    """Return a file's size and hash."""
    seen = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            seen.update(piece)
    return StoredFile(path.stat().st_size, seen.hexdigest())


def _parse_manifest(data: dict[str, Any]) -> Manifest:
    try:
        tables = {name: TableChecksum(**each) for name, each in data["tables"].items()}
        files = {path: StoredFile(**each) for path, each in data["files"].items()}
        return Manifest(**(data | {"tables": tables, "files": files}))
    except (KeyError, TypeError, AttributeError):
        raise Invalid(f"The backup is damaged: {MANIFEST_FILE} lacks something") from None
