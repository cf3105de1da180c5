"""The PostgreSQL server to measure on, as durable as its default settings make it."""

from itertools import count
from pathlib import Path

from sqlalchemy import make_url

from tests.bench.servers import CLOCK_TICKS_PER_SECOND, _process_tree
from tests.postgres_server import PostgresServer

# All other settings are the defaults: fsync, synchronous_commit and full_page_writes are on. The
# memory follows PostgreSQL's manual; the WAL may grow while a million orders are inserted.
SERVER_SETTINGS = {
    "listen_addresses": "''",
    "unix_socket_directories": "'..'",
    "max_connections": "200",
    "timezone": "'UTC'",
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
}


class Cluster:
    """A server with a database for each instance."""

    def __init__(self) -> None:
        self._server = PostgresServer.create(SERVER_SETTINGS)
        self._numbers = count()

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.release()

    def create_database(self, source: str = "template0") -> str:
        """Return the URL of an empty database, or of a copy of an unused one."""
        name, template = (
            f"bench_{next(self._numbers)}",
            make_url(source).database if "/" in source else source,
        )
        self._server.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self._server.url(name)

    def drop(self, url: str) -> None:
        """Drop a database despite open connections."""
        self._server.execute(f"DROP DATABASE {make_url(url).database} WITH (FORCE)")

    def cpu_seconds(self) -> float:
        """Return the CPU seconds of all its processes, including ended ones."""
        pid = int((self._server.folder / "data/postmaster.pid").read_text().split()[0])
        return sum(map(_cpu_seconds, _process_tree(pid)))


def _cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process and of its ended children."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii")
    except OSError:  # the process has just ended; its parent counts it
        return 0.0
    return sum(map(int, stat.rpartition(")")[2].split()[11:15])) / CLOCK_TICKS_PER_SECOND
