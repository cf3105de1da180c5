"""Opening and initialising an instance's database and media store, by their URLs."""

from contextlib import closing
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from provider.config import Settings
from provider.errors import Invalid
from provider.maintenance import schema_version
from provider.maintenance.manifest import EMAIL_FOLDER, KEY_FILE
from provider.storage.database import Database
from provider.storage.fsync import make_private, make_tree_private
from provider.storage.media import MediaStore
from provider.storage.secrets import SecretBox

DATABASE_URL_PREFIXES = ("sqlite:///", "postgresql+psycopg://")


def initialise(settings: Settings) -> None:
    """Create or upgrade the database; raise Unavailable if an S3 bucket cannot be used."""
    with closing(Database(settings.with_direct_database().database_url)) as db:
        db.require_direct_connection()
        schema_version.upgrade(db, secret_box=SecretBox(settings.secret_keys))
    if settings.media_url.startswith("s3:"):
        MediaStore(settings.media_url).check()
    _make_files_private(settings)


def _make_files_private(settings: Settings) -> None:
    """Take other users' permissions from the files of an instance that was there before.

    The instance folder keeps its mode: it may be a folder of the system, such as `/srv`.
    """
    if settings.media_url.startswith("file:"):
        make_tree_private(Path(settings.media_url.removeprefix("file:").removeprefix("//")))
    make_tree_private(settings.instance / EMAIL_FOLDER)
    make_private(settings.instance / KEY_FILE)


def open_database(url: str) -> Database:
    """Return the database at a URL that a person typed; Invalid if the URL names none."""
    try:
        if url.startswith(DATABASE_URL_PREFIXES) and make_url(url).database:
            return Database(url)
    except (ArgumentError, ValueError):
        pass
    raise Invalid(
        f"“{url}” is not the address of a database: write it like "
        "sqlite:////srv/provider/provider.db or postgresql+psycopg://user@host/name"
    )


def open_media(url: str) -> MediaStore:
    """Return the media store at a URL like those of PROVIDER_MEDIA_URL."""
    return MediaStore(url)
