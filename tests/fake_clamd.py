"""A daemon that speaks the part of ClamAV's protocol that INSTREAM needs."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Anti-virus programs take this text for a virus. It is in two parts, or they would take this file.
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


class FakeClamd:
    """Answers at `address`; `received` has the files, `answer` replaces the usual answer."""

    def __init__(self, listener: socket.socket) -> None:
        self.received: list[bytes] = []
        self.answer: bytes | None = None
        self._listener = listener
        name = listener.getsockname()
        self.address = name if isinstance(name, str) else f"{name[0]}:{name[1]}"

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as stream:
                assert stream.read(10) == b"zINSTREAM\0"
                content = b""
                while length := struct.unpack(">I", stream.read(4))[0]:
                    content += stream.read(length)
                self.received.append(content)
                usual = b"stream: Eicar-Signature FOUND\0" if EICAR in content else b"stream: OK\0"
                connection.sendall(usual if self.answer is None else self.answer)


@contextmanager
def running_clamd(path: Path | None = None) -> Iterator[FakeClamd]:
    """Run the daemon at a port of its own, or at a socket `path`."""
    listener = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
    with listener:
        listener.bind(str(path) if path else ("127.0.0.1", 0))
        listener.listen()
        daemon = FakeClamd(listener)
        thread = threading.Thread(target=daemon.serve)
        thread.start()
        yield daemon
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()
