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

from provider import (
    engine,
    kinds,  # noqa: F401  (every table is known once the kinds
    meter,  # noqa: F401  and the meter are)
)
from provider.db import Database, said_plainly
from provider.disk import make_folder
from provider.errors import Unready
from provider.postgres import wait_for_upgrade

HERE = Path(__file__).parent / "migrations"

if TYPE_CHECKING:
    from alembic.config import Config

UNFINISHED = "unfinished"  # stands before the version while rows still come from elsewhere


def upgrade(db: Database, revision: str = "head") -> None:
    """Create the database, or bring it to this program's version.

    On SQLite the foreign keys are off while tables are rebuilt, for a rebuilt table would take
    every child row with it; they are checked before the commit instead. Unready, and nothing is
    changed, where that cannot be.
    """
    from alembic import command

    if db.sqlite and db.url.database:
        make_folder(Path(db.url.database).parent)
    with (
        said_plainly(),
        db.engine.connect() as connection,
        _rebuilding(connection, sqlite=db.sqlite),
        connection.begin(),
    ):
        if not db.sqlite:
            wait_for_upgrade(connection)
        _refuse_newer(_version(connection))
        command.upgrade(_config(connection), revision)
        _check(connection, sqlite=db.sqlite)
    if not db.sqlite:
        engine.install(db.engine)


def require_current(db: Database) -> None:
    """Raise Unready, with the command that mends it, unless the database is of this version."""
    if db.sqlite and not Path(str(db.url.database)).exists():
        raise Unready("There is no database yet: run `provider init`")
    with db.reading() as session:
        found = version(session)
        lacks = not db.sqlite and engine.lacks(session.connection())
    newest = head()
    if found == newest and lacks:
        raise Unready(
            "What the workers share in the database is missing, or older than this program: "
            "run `provider init`"
        )
    if found == newest:
        return
    if found is None:
        raise Unready("The database is empty: run `provider init`")
    _refuse_newer(found)
    raise Unready(
        f"The database is of version {found}, this program needs {newest}: run `provider init`"
    )


def version(session: Session) -> str | None:
    """Return the database's version; None of an empty one."""
    return _version(session.connection())


def stamp(session: Session, version: str) -> None:
    """Write another version down, and nothing else."""
    session.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})


def head() -> str:
    """Return this program's version of the database."""
    return revisions()[-1]


def revisions() -> list[str]:
    """Return all versions, oldest first: each begins the name of its file."""
    return sorted(path.stem.partition("_")[0] for path in (HERE / "versions").glob("[0-9]*.py"))


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


@contextmanager
def _rebuilding(connection: Connection, *, sqlite: bool) -> Iterator[None]:
    if not sqlite:
        yield
        return
    driver: Any = connection.connection.dbapi_connection
    driver.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys=ON")


def _refuse_newer(found: str | None) -> None:
    if found is not None and found.startswith(UNFINISHED):
        raise Unready(
            "The database is not whole yet: run the `provider move` or `provider restore` that "
            "fills it again, it goes on where it stopped"
        )
    if found is not None and found not in revisions():
        raise Unready(
            f"The database (version {found}) is newer than this program, which knows {head()}: "
            "install the `provider` that made it"
        )


def _check(connection: Connection, *, sqlite: bool) -> None:
    if sqlite and (broken := connection.exec_driver_sql("PRAGMA foreign_key_check").all()):
        raise Unready(f"The upgrade would leave {len(broken)} rows without their parent: undone")


def _config(connection: Connection) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(HERE).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
