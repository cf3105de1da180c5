"""`requests` over the HTTP client, for libraries that speak `requests`."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers

from provider.delivery.http.client import HttpClient, RequestFailed, RequestTimedOut

MAX_LIST_RESPONSE_BYTES = 8 * 1024 * 1024  # of a page of an API's list


class CurlAdapter(BaseAdapter):
    """A transport adapter: the client checks addresses and certificates, and has the time-outs.

    So `verify`, `cert` and `proxies` of a session have no effect.
    """

    def __init__(self, client: HttpClient, max_response_bytes: int) -> None:
        super().__init__()
        self._client = client
        self._max_response_bytes = max_response_bytes

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: float | tuple[float | None, float | None] | None = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send once. A pair of time-outs counts as its sum, for the whole exchange."""
        if isinstance(timeout, tuple):
            timeout = sum(filter(None, timeout)) or None
        body = request.body.encode() if isinstance(request.body, str) else request.body
        if not isinstance(body, bytes | None):
            raise TypeError("The body of a request should be bytes or text, not a stream")
        # libcurl counts the bytes itself. A header of `requests` may be bytes.
        headers = {
            name: value.decode("latin-1") if isinstance(value, bytes) else value
            for name, value in request.headers.items()
            if name.lower() != "content-length"
        }
        try:
            answer = self._client.send(
                request.method or "GET",
                request.url or "",
                headers,
                body,
                max_response_bytes=self._max_response_bytes,
                timeout_seconds=timeout,
            )
        except RequestTimedOut as error:
            raise requests.Timeout(str(error), request=request) from None
        except RequestFailed as error:
            raise requests.ConnectionError(str(error), request=request) from None
        if not answer.is_complete:
            raise requests.ConnectionError("The receiver's answer broke off or is too long")
        response = UnfollowedResponse()
        response.status_code = answer.status_code
        response.headers = CaseInsensitiveDict(answer.headers)
        response.encoding = get_encoding_from_headers(response.headers)
        response.raw = BytesIO(answer.body)
        response.url, response.request = request.url or "", request
        return response

    def close(self) -> None:
        """Do nothing: other sessions use the client too."""


class UnfollowedResponse(requests.Response):
    """A response whose redirect no session follows."""

    @property
    def is_redirect(self) -> bool:
        """False, or a session would send the request's credentials to another address."""
        return False


def mount_client(
    session: requests.Session,
    client: HttpClient,
    max_response_bytes: int = MAX_LIST_RESPONSE_BYTES,
) -> None:
    """Send every request of a session, such as an OAuth library's, through the client."""
    session.trust_env = False
    for prefix in ("https://", "http://"):
        session.mount(prefix, CurlAdapter(client, max_response_bytes))


def create_session(
    client: HttpClient, max_response_bytes: int = MAX_LIST_RESPONSE_BYTES
) -> requests.Session:
    """Return a session that sends through the client; it follows no redirect, keeps no cookie."""
    session = requests.Session()
    mount_client(session, client, max_response_bytes)
    return session
