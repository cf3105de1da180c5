"""The idle libcurl handles of an HTTP client.

libcurl cannot share connections between threads, so each handle has connections of its own. The
pool gives an exchange the handle that probably has a connection to its endpoint.
"""

import threading
from collections.abc import Callable

from provider.delivery.http.addresses import Endpoint
from provider.delivery.http.curl_handle import CurlHandle


class HandlePool:
    """Idle handles, the one that was used last at the end."""

    def __init__(self, create_handle: Callable[[], CurlHandle], max_idle_handles: int) -> None:
        self._create_handle = create_handle
        self._max_idle_handles = max_idle_handles
        self._lock = threading.Lock()
        self._idle: list[CurlHandle] = []
        self._is_closed = False

    def take(self, endpoint: Endpoint) -> CurlHandle:
        """Return a handle with a connection to the endpoint, else one with room, else a new one.

        A new handle is expensive: its first TLS connection reads all certificates again.
        """
        with self._lock:
            handle = self._find(endpoint)
            if handle:
                self._idle.remove(handle)
                return handle
        return self._create_handle()

    def _find(self, endpoint: Endpoint) -> CurlHandle | None:
        for handle in reversed(self._idle):
            if handle.may_have_connection(endpoint):
                return handle
        for handle in self._idle:
            if handle.has_room:
                return handle
        is_full = len(self._idle) == self._max_idle_handles
        return self._idle[0] if is_full else None

    def put_back(self, handle: CurlHandle) -> None:
        """Keep a handle for the next exchange, or close it when there are enough."""
        with self._lock:
            is_kept = not self._is_closed and len(self._idle) < self._max_idle_handles
            if is_kept:
                self._idle.append(handle)
        if not is_kept:
            handle.close()

    def close(self) -> None:
        """Close the idle handles, and from now on each handle that is put back."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for handle in idle:
            handle.close()
