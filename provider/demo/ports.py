"""The demo's two neighbouring ports: the ATS has the first one, the server the second one.

The ports are below those that systems give to outgoing connections, so that
`provider demo --show` finds them free later.
"""

import socket

from provider.demo.receiver import HOST
from provider.errors import Conflict

ATS_PORTS = range(8600, 8700, 2)


def reserve_ports(ats_port: int | None = None) -> socket.socket:
    """Return a socket that is bound to the ATS's port; the next port is free for the server.

    Without `ats_port` the first free pair is taken. Conflict if there is none.
    """
    for port in [ats_port] if ats_port else ATS_PORTS:
        listener = _bind(port)
        if listener is None:
            continue
        if server_socket := _bind(port + 1):
            server_socket.close()
            return listener
        listener.close()
    first, last = (ats_port, ats_port + 1) if ats_port else (ATS_PORTS[0], ATS_PORTS[-1] + 1)
    raise Conflict(
        f"The demo's ports {first} to {last} are in use: end the program that uses them, "
        "perhaps another demo"
    )


def _bind(port: int) -> socket.socket | None:
    listener = socket.socket()
    # The port of a demo that has just ended may have connections that wait for their end.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()  # until then, Linux lets another socket have the same port
    except OSError:
        listener.close()
        return None
    return listener
