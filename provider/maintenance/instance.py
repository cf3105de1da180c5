"""Opening and initialising an instance's database and media store, by their URLs."""

from contextlib import closing

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from provider.config import Settings
from provider.errors import Invalid
from provider.maintenance import schema_version
from provider.storage.database import Database
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
