"""A candidate without a browser who sends takes with tus, and goes on after every failure."""

import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import requests

from provider.services import Services
from tests import factories

TUS_HEADERS = {"Tus-Resumable": "1.0.0", "Accept": "application/json"}
PIECE_TYPE = "application/offset+octet-stream"
TIMEOUT_SECONDS = 30
PATIENCE_SECONDS = 60.0  # with a server that does not answer
PAUSE_SECONDS = 0.05  # between two attempts


class TakeSender:
    """The session of one candidate with a server at `url`."""

    def __init__(self, url: str, invitation: str, order: str) -> None:
        self._url, self._order = url, order
        self.session = requests.Session()
        self.session.get(invitation, timeout=TIMEOUT_SECONDS)
        page = self.session.get(f"{url}/c/o/{order}/decline", timeout=TIMEOUT_SECONDS).text
        self.session.headers.update(TUS_HEADERS)
        self.session.headers["X-CSRFToken"] = factories.csrf_token(page)

    @classmethod
    @contextmanager
    def opened(cls, url: str, services: Services, order: str) -> Iterator["TakeSender"]:
        sender = cls(url, factories.invitation_url(services, order), order)
        try:
            yield sender
        finally:
            sender.session.close()

    def announce(self, take: str, number: int = 1, mime: str = "video/webm") -> str:
        """Announce a take whose recording begins now; return the URL of its upload."""
        values = {"filetype": mime, "take": take}
        pairs = (f"{key} {b64encode(value.encode()).decode()}" for key, value in values.items())
        response = self._request(
            "POST",
            f"{self._url}/c/o/{self._order}/questions/{number}/takes",
            headers={"Upload-Defer-Length": "1", "Upload-Metadata": ",".join(pairs)},
        )
        response.raise_for_status()
        return self._url + response.headers["Location"]

    def send_piece(self, url: str, data: bytes, start: int, **headers: str) -> requests.Response:
        """Send one piece with its checksum, once; names of headers have underscores."""
        checksum = b64encode(sha256(data).digest()).decode()
        return self.session.patch(
            url,
            data=data,
            headers={
                "Content-Type": PIECE_TYPE,
                "Upload-Offset": str(start),
                "Upload-Checksum": f"sha256 {checksum}",
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
            timeout=TIMEOUT_SECONDS,
        )

    def send(self, url: str, data: bytes, piece_bytes: int) -> None:
        """Send all bytes and end the take, whatever happens to the server meanwhile."""
        offset = 0
        digest = f"sha-256=:{b64encode(sha256(data).digest()).decode()}:"
        end = {"Upload_Length": str(len(data)), "Repr_Digest": digest}
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            piece = data[offset : offset + piece_bytes]
            headers = end if offset + len(piece) == len(data) else {}
            try:
                response = self.send_piece(url, piece, offset, **headers)
            except requests.ConnectionError:
                response = None
            if response is not None and response.status_code == 204:
                deadline = time.monotonic() + PATIENCE_SECONDS
                offset += len(piece)
                if headers:
                    return
                continue
            time.sleep(PAUSE_SECONDS)
            state = self.state(url)
            if state["state"] != "receiving":
                return
            offset = state["offset"]
        raise TimeoutError("the server does not answer")

    def state(self, url: str) -> dict[str, Any]:
        state: dict[str, Any] = self._request("GET", url).json()
        return state

    def wait_for(self, url: str, condition: Callable[[dict[str, Any]], bool]) -> None:
        """Ask for the state of an upload until the condition is true."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition(state := self.state(url)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the upload stays {state}")
            time.sleep(PAUSE_SECONDS)

    def _request(self, method: str, url: str, **options: Any) -> requests.Response:
        """Send a request until the server answers it."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                response = self.session.request(method, url, timeout=TIMEOUT_SECONDS, **options)
                if response.status_code != 503:
                    return response
            except requests.ConnectionError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(PAUSE_SECONDS)
