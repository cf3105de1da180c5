"""The database's version: create, upgrade, and refuse what is not of this version.

Alembic is loaded only to upgrade: it takes a while, and every command asks for the version.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

from provider import metrics  # noqa: F401  (every table is known once the metrics
from provider.core import kinds  # noqa: F401  and the kinds are loaded)
from provider.errors import Unavailable
from provider.storage import migrations, procrastinate_schema
from provider.storage.database import Base, Database, translate_errors
from provider.storage.fsync import make_folder
from provider.storage.postgres import acquire_upgrade_lock

MIGRATIONS_FOLDER = Path(migrations.__file__).parent

if TYPE_CHECKING:
    from alembic.config import Config

UNFINISHED_PREFIX = "unfinished"  # stands before the version while rows still come from elsewhere


def upgrade(db: Database, revision: str = "head") -> None:
    """Create the database, or bring it to this program's version.

    On SQLite the foreign keys are off while tables are rebuilt, for a rebuilt table would take
    every child row with it; they are checked before the commit instead. Unready, and nothing is
    changed, where that cannot be.
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
        command.upgrade(_alembic_config(connection), revision)
        _check_foreign_keys(connection, is_sqlite=db.is_sqlite)
    if not db.is_sqlite:
        procrastinate_schema.install(db.engine)


def require_current(db: Database) -> None:
    """Raise Unready, with the command that mends it, unless the database is of this version."""
    if db.is_sqlite and not Path(str(db.url.database)).exists():
        raise Unavailable("There is no database yet: run `provider init`")
    with db.reading() as session:
        found = current_version(session)
        lacks = not db.is_sqlite and procrastinate_schema.is_missing_or_outdated(
            session.connection()
        )
    newest = head()
    if found == newest and lacks:
        raise Unavailable(
            "What the workers share in the database is missing, or older than this program: "
            "run `provider init`"
        )
    if found == newest:
        return
    if found is None:
        raise Unavailable("The database is empty: run `provider init`")
    _require_supported(found)
    raise Unavailable(
        f"The database is of version {found}, this program needs {newest}: run `provider init`"
    )


def current_version(session: Session) -> str | None:
    """Return the database's version; None of an empty one."""
    return _current_version(session.connection())


def stamp(session: Session, version: str) -> None:
    """Write another version down, and nothing else."""
    session.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})


def head() -> str:
    """Return this program's version of the database."""
    return revisions()[-1]


def revisions() -> list[str]:
    """Return all versions, oldest first: each begins the name of its file."""
    return sorted(
        path.stem.partition("_")[0] for path in (MIGRATIONS_FOLDER / "versions").glob("[0-9]*.py")
    )


def _current_version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


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


def _require_supported(found_version: str | None) -> None:
    if found_version is not None and found_version.startswith(UNFINISHED_PREFIX):
        raise Unavailable(
            "The database is not whole yet: run the `provider copy-instance` or `provider restore` that "
            "fills it again, it goes on where it stopped"
        )
    if found_version is not None and found_version not in revisions():
        raise Unavailable(
            f"The database (version {found_version}) is newer than this program, which knows {head()}: "
            "install the `provider` that made it"
        )


def _check_foreign_keys(connection: Connection, *, is_sqlite: bool) -> None:
    if is_sqlite and (broken := connection.exec_driver_sql("PRAGMA foreign_key_check").all()):
        raise Unavailable(
            f"The upgrade would leave {len(broken)} rows without their parent: undone"
        )


def _alembic_config(connection: Connection) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["metadata"] = Base.metadata
    return config
