"""The keys for encryption: from the settings, or from the key file of the instance folder."""

import os
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import suppress
from pathlib import Path

from provider.errors import Invalid
from provider.storage.fsync import fsync_path, make_folder


def parse_secret_keys(text: str | None, database_url: str, instance: Path) -> tuple[bytes, ...]:
    if text:
        return tuple(_decode_key(part, "PROVIDER_SECRET_KEY") for part in text.split(","))
    if not database_url.startswith("sqlite"):
        raise Invalid(
            "PROVIDER_SECRET_KEY is missing: set it to the output of "
            "`python -c 'import secrets; print(secrets.token_urlsafe(32))'` on every machine"
        )
    try:
        return (_instance_key(instance),)
    except OSError as error:
        raise Invalid(
            f"PROVIDER_INSTANCE: {instance} cannot be used ({error.strerror}): choose another one"
        ) from None


def _decode_key(text: str, error_prefix: str) -> bytes:
    text = text.strip()
    if not re.fullmatch(r"[A-Za-z0-9_-]{43}=?", text):
        raise Invalid(f"{error_prefix}: keys are 32 bytes in URL-safe base64, separated by commas")
    return urlsafe_b64decode(text[:43] + "=")


def _instance_key(instance: Path) -> bytes:
    """Read the key file of the instance folder; create it (mode 0600) at first use."""
    path = instance / "secret.key"
    make_folder(instance)
    if not path.exists():
        _create_key_file(path)
    error_prefix = f"PROVIDER_SECRET_KEY is unset and {path} is damaged, restore it"
    return _decode_key(path.read_text("ascii", "replace"), error_prefix)


def _create_key_file(path: Path) -> None:
    # Write a temporary file, then link it: processes that start at the same time agree on one key.
    # The key is on the disk before anything is encrypted with it.
    temporary = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    temporary.touch(mode=0o600, exist_ok=False)
    with temporary.open("wb") as file:
        file.write(urlsafe_b64encode(secrets.token_bytes(32)))
        file.flush()
        os.fsync(file.fileno())
    with suppress(FileExistsError):
        os.link(temporary, path)
    temporary.unlink()
    fsync_path(path.parent)
