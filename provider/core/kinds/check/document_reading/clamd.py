"""Asks ClamAV's daemon whether a file has a virus, by its command INSTREAM (see `man clamd`)."""

import socket
import struct
from pathlib import Path

from provider.errors import Invalid, Unavailable

TIMEOUT_SECONDS = 30  # of one answer: a large PDF takes a second
CHUNK_BYTES = 256 * 1024
MAX_ANSWER_BYTES = 4096


def scan(content: bytes, address: str) -> None:
    """Ask the daemon at `address`, which is host:port or the path of a socket.

    Raises Invalid for a file with a virus, and Unavailable unless the daemon says that it has none.
    """
    try:
        with _connect(address) as connection:
            connection.sendall(b"zINSTREAM\0")
            for start in range(0, len(content), CHUNK_BYTES):
                chunk = content[start : start + CHUNK_BYTES]
                connection.sendall(struct.pack(">I", len(chunk)) + chunk)
            connection.sendall(struct.pack(">I", 0))
            answer = _read_answer(connection)
    except OSError as error:
        raise _unavailable(str(error)) from error
    if answer.endswith(" FOUND"):
        raise Invalid("A virus scanner refuses this file. Please send another one")
    if answer != "stream: OK":
        raise _unavailable(answer)


def _connect(address: str) -> socket.socket:
    if address.startswith("/"):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(TIMEOUT_SECONDS)
        try:
            connection.connect(str(Path(address)))
        except OSError:
            connection.close()
            raise
        return connection
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), TIMEOUT_SECONDS)


def _read_answer(connection: socket.socket) -> str:
    answer = b""
    while b"\0" not in answer and len(answer) < MAX_ANSWER_BYTES:
        received = connection.recv(MAX_ANSWER_BYTES)
        if not received:
            break
        answer += received
    return answer.partition(b"\0")[0].decode("utf-8", "replace").strip()


def _unavailable(reason: str) -> Unavailable:
    from structlog import get_logger  # late: see `logging_config`

    get_logger().error("clamd_unavailable", reason=reason)
    return Unavailable("Files cannot be accepted just now: please send yours again in a moment")
