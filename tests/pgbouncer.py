"""A real PgBouncer in transaction mode before a test's PostgreSQL server."""

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url

from tests.postgres_server import PostgresServer

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
CONFIG = """
[databases]
* = host={postgres} user=postgres
[pgbouncer]
listen_addr =
listen_port = 6432
unix_socket_dir = {folder}
auth_type = any
pool_mode = transaction
default_pool_size = 4
max_client_conn = 200
"""


@contextmanager
def pgbouncer(postgres: PostgresServer, database_url: str) -> Iterator[str]:
    """Yield the URL of a test's database through PgBouncer."""
    assert PROGRAM
    folder = Path(tempfile.mkdtemp(prefix="provider-pgbouncer-"))
    (folder / "pgbouncer.ini").write_text(CONFIG.format(postgres=postgres.folder, folder=folder))
    owner = "nobody" if os.geteuid() == 0 else None  # PgBouncer refuses to run as root
    if owner:
        shutil.chown(folder, owner)
        shutil.chown(folder / "pgbouncer.ini", owner)
    process = subprocess.Popen(
        [PROGRAM, str(folder / "pgbouncer.ini")], user=owner, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    try:
        assert any("process up" in line for line in process.stderr), "PgBouncer did not start"
        reader = threading.Thread(target=process.stderr.read)  # or the pipe of its log fills
        reader.start()
        name = make_url(database_url).database
        yield f"postgresql+psycopg://postgres@/{name}?host={folder}&port=6432"
    finally:
        process.terminate()
        process.wait()
        reader.join()
        process.stderr.close()
        shutil.rmtree(folder)
