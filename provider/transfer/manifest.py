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

from provider import schema
from provider.errors import Conflict, Invalid, Unready
from provider.media import CHUNK, Kept
from provider.transfer.tables import Sum, Sums, Tell
from provider.vault import Vault

FORM = 1  # of the folder
DATABASE, MEDIA, LETTERS, KEY, LIST = "provider.db", "media", "mail", "secret.key", "manifest.json"
SIGN = "backup"  # what every key signs, to be known again


@dataclass(frozen=True)
class Manifest:
    """What a backup holds."""

    form: int
    made_at: str
    program: str
    version: str  # of the database
    tables: Sums
    files: dict[str, Kept]  # by their paths in the folder
    amiss: dict[str, str]  # media that rows name, and what was wrong with them
    keys: list[str]  # a signature by each key that was in use

    def write(self, folder: Path) -> None:
        """Put it into the backup's folder."""
        (folder / LIST).write_text(json.dumps(asdict(self), indent=1), "utf-8")

    def of(self, part: str) -> list[str]:
        """Return the files of one folder, by their paths in it."""
        return [path.removeprefix(f"{part}/") for path in self.files if path.startswith(f"{part}/")]


def signatures(keys: Iterable[bytes]) -> list[str]:
    """Return what tells which keys are needed, without giving them away."""
    return [Vault([key]).mac(b"", SIGN) for key in keys]


def require_keys(manifest: Manifest, keys: tuple[bytes, ...], folder: Path) -> None:
    """Raise Unready unless all that is encrypted in a backup can be read with these keys."""
    vault, hint = Vault(keys), f" to what is in {folder / KEY}" if KEY in manifest.files else ""
    try:
        known = all(vault.same(each, b"", SIGN) for each in manifest.keys)
    except Unready:
        known = False
    if not known:
        raise Unready(
            "The backup's secrets were made with a key that is not among those of this instance: "
            f"set PROVIDER_SECRET_KEY{hint}"
        )


def read(folder: Path) -> Manifest:
    """Read a backup's manifest; Invalid when there is none that this program understands."""
    try:
        told = json.loads((folder / LIST).read_text("utf-8"))
    except FileNotFoundError:
        raise Invalid(f"{folder} is no backup: there is no {LIST} in it") from None
    except ValueError:
        raise Invalid(f"The backup is damaged: {LIST} cannot be read") from None
    if not isinstance(told, dict) or told.get("form") != FORM:
        raise Invalid(f"The backup is of a form that this program does not know: {folder / LIST}")
    manifest = _manifest(told)
    if manifest.version not in schema.revisions():
        raise Invalid(
            f"The backup (version {manifest.version}, by provider {manifest.program}) is newer "
            f"than this program, which knows {schema.head()}: install the `provider` that made it"
        )
    return manifest


def check_files(folder: Path, manifest: Manifest, tell: Tell) -> None:
    """Read every file of a backup; Conflict when one is not there, or not what it was."""
    for number, (path, kept) in enumerate(manifest.files.items(), 1):
        try:
            found = what_is(folder / path)
        except FileNotFoundError:
            raise Conflict(f"The backup is damaged: {path} is not there") from None
        if found != kept:
            raise Conflict(f"The backup is damaged: {path} is not what it was")
        tell("Reading the backup", number, len(manifest.files))


def what_is(path: Path) -> Kept:
    """Return a file's size and hash."""
    seen = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            seen.update(piece)
    return Kept(path.stat().st_size, seen.hexdigest())


def _manifest(told: dict[str, Any]) -> Manifest:
    try:
        tables = {name: Sum(**each) for name, each in told["tables"].items()}
        files = {path: Kept(**each) for path, each in told["files"].items()}
        return Manifest(**(told | {"tables": tables, "files": files}))
    except (KeyError, TypeError, AttributeError):
        raise Invalid(f"The backup is damaged: {LIST} lacks something") from None
