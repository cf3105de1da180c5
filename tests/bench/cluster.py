"""PostgreSQL to measure on: a server of our own that is as durable as its makers have it."""

from itertools import count
from pathlib import Path

from sqlalchemy import make_url

from tests.bench.servers import CLOCK_TICKS_PER_SECOND, _process_tree
from tests.postgres_server import PostgresServer

# All else is as it comes: fsync, synchronous_commit and full_page_writes are on. Of memory it gets
# what its manual says for a server of this size, and its log may grow while a million are laid.
SERVER_SETTINGS = {
    "listen_addresses": "''",
    "unix_socket_directories": "'..'",
    "max_connections": "200",
    "timezone": "'UTC'",
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
}


class Cluster:
    """A server, with a database for each house."""

    def __init__(self) -> None:
        self._server = PostgresServer.create(SERVER_SETTINGS)
        self._numbers = count()

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.release()

    def create_database(self, source: str = "template0") -> str:
        """Return the address of an empty database, or of a copy of one that nobody is using."""
        name, template = (
            f"bench_{next(self._numbers)}",
            make_url(source).database if "/" in source else source,
        )
        self._server.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self._server.url(name)

    def drop(self, url: str) -> None:
        """Remove a database, whoever uses it."""
        self._server.execute(f"DROP DATABASE {make_url(url).database} WITH (FORCE)")

    def cpu_seconds(self) -> float:
        """Return the seconds of processor time that it has taken, with those who have ended."""
        pid = int((self._server.folder / "data/postmaster.pid").read_text().split()[0])
        return sum(map(_cpu_seconds, _process_tree(pid)))


def _cpu_seconds(pid: int) -> float:
    """Return the seconds of a process and of its children that have ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii")
    except OSError:  # it ends as we look: its parent counts it by now
        return 0.0
    return sum(map(int, stat.rpartition(")")[2].split()[11:15])) / CLOCK_TICKS_PER_SECOND
