"""The version of the database schema: create, upgrade, and refuse another version.

Alembic is imported only for an upgrade: the import is slow, and every command checks the version.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

# Imported for their tables: a copy of an instance takes only the tables that are imported.
from provider.core import alerts, audit, connections, emails, kinds, staff  # noqa: F401
from provider.core.orders import compute_email_digest
from provider.errors import Unavailable
from provider.storage import migrations, procrastinate_schema
from provider.storage.database import Base, Database, translate_errors
from provider.storage.fsync import make_folder
from provider.storage.postgres import acquire_upgrade_lock
from provider.storage.secrets import SecretBox

MIGRATIONS_FOLDER = Path(migrations.__file__).parent

if TYPE_CHECKING:
    from alembic.config import Config

UNFINISHED_PREFIX = "unfinished"  # of the stored version while a copy or a restore runs


def upgrade(db: Database, revision: str = "head", *, secret_box: SecretBox | None = None) -> None:
    """Create the database, or upgrade it to this program's version, in one transaction.

    A database with rows needs `secret_box`: a revision may encrypt rows or compute their digests.

    On SQLite foreign keys are off while tables are rebuilt, or ON DELETE CASCADE would delete the
    child rows. The foreign keys are checked before the commit. Unavailable if a row breaks one.
    """
    from alembic import command

    if db.is_sqlite and db.url.database:
        make_folder(Path(db.url.database).parent)
    with (
        translate_errors(),
        db.engine.connect() as connection,
        _without_foreign_keys(connection, is_sqlite=db.is_sqlite),
        connection.begin(),
    ):
        if not db.is_sqlite:
            acquire_upgrade_lock(connection)
        _require_supported(_current_version(connection))
        command.upgrade(_alembic_config(connection, secret_box), revision)
        _check_foreign_keys(connection, is_sqlite=db.is_sqlite)
    if not db.is_sqlite:
        procrastinate_schema.install(db.engine)


def require_current(db: Database) -> None:
    """Raise Unavailable, with the command to run, unless the database has this version."""
    if db.is_sqlite and not Path(str(db.url.database)).exists():
        raise Unavailable("There is no database yet: run `provider init`")
    with db.reading() as session:
        version = current_version(session)
        needs_install = not db.is_sqlite and procrastinate_schema.is_missing_or_outdated(
            session.connection()
        )
    newest = head()
    if version == newest and needs_install:
        raise Unavailable(
            "Procrastinate's schema in the database is missing, or older than this program: "
            "run `provider init`"
        )
    if version == newest:
        return
    if version is None:
        raise Unavailable("The database is empty: run `provider init`")
    _require_supported(version)
    raise Unavailable(
        f"The database has version {version}, this program needs {newest}: run `provider init`"
    )


def current_version(session: Session) -> str | None:
    """Return the database's version; None if the database is empty."""
    return _current_version(session.connection())


def stamp(session: Session, version: str) -> None:
    """Store another version without an upgrade."""
    session.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})


def head() -> str:
    """Return the version that this program needs."""
    return revisions()[-1]


def revisions() -> list[str]:
    """Return all versions, oldest first, from the names of the migrations' files."""
    return sorted(
        path.stem.partition("_")[0] for path in (MIGRATIONS_FOLDER / "versions").glob("[0-9]*.py")
    )


def _current_version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return version


@contextmanager
def _without_foreign_keys(connection: Connection, *, is_sqlite: bool) -> Iterator[None]:
    if not is_sqlite:
        yield
        return
    driver: Any = connection.connection.dbapi_connection
    driver.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys=ON")


def _require_supported(version: str | None) -> None:
    if version is not None and version.startswith(UNFINISHED_PREFIX):
        raise Unavailable(
            "The database is incomplete: run the same `provider copy-instance` or "
            "`provider restore` again to complete it"
        )
    if version is not None and version not in revisions():
        raise Unavailable(
            f"The database (version {version}) is newer than this program, which knows {head()}: "
            "install a newer `provider`"
        )


def _check_foreign_keys(connection: Connection, *, is_sqlite: bool) -> None:
    if is_sqlite and (orphans := connection.exec_driver_sql("PRAGMA foreign_key_check").all()):
        raise Unavailable(
            f"The upgrade was undone: it would leave {len(orphans)} rows without their parent"
        )


def _alembic_config(connection: Connection, secret_box: SecretBox | None) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["metadata"] = Base.metadata
    # A migration imports nothing of the program, so it gets the functions.
    if secret_box:
        config.attributes["encrypt"] = secret_box.encrypt_bytes
        config.attributes["compute_email_digest"] = partial(compute_email_digest, secret_box)
    return config
