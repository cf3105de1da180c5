"""The HTTP client of every outgoing call: libcurl, public addresses only, one total time-out.

The client follows no redirect, keeps no cookie, and reads neither proxy variables nor `.netrc`.
"""

import time
import weakref
from collections.abc import Mapping
from contextlib import suppress

import certifi
import pycurl

from provider.delivery.http import addresses
from provider.delivery.http.addresses import AddressNotAllowed, Endpoint, Resolver
from provider.delivery.http.curl_handle import (
    WEIRD_SERVER_REPLY,
    CurlHandle,
    HttpRequest,
    HttpResponse,
    InvalidResponse,
    NoKeptConnection,
)
from provider.delivery.http.handle_pool import HandlePool

# For a whole exchange: name, connection, TLS, request and response. Shorter than the lease of any
# channel that uses the client, or a second dispatcher would send the same message.
TIMEOUT_SECONDS = 10.0
MAX_CALLBACK_RESPONSE_BYTES = 64 * 1024  # of a body after decompression
MAX_IDLE_HANDLES = 64
TOO_LARGE = 100  # libcurl's code for more than 5000 headers or 100 kB in one

TIMED_OUT = "The receiver did not answer in time"
UNREACHABLE = "The receiver could not be reached"
INVALID_TLS = "The receiver's certificate or TLS is not right"
NO_RESPONSE = "The receiver hung up without an answer"
NOT_HTTP = "The receiver's answer is not HTTP"
TOO_MANY_HEADERS = "The receiver's answer has too many headers"
UNSENDABLE = "The address or the token holds a sign that cannot be sent"

MESSAGES_BY_CURL_ERROR: dict[int | str, str] = {
    pycurl.E_BAD_CONTENT_ENCODING: NOT_HTTP,
    pycurl.E_GOT_NOTHING: NO_RESPONSE,
    pycurl.E_OPERATION_TIMEDOUT: TIMED_OUT,
    pycurl.E_PARTIAL_FILE: NO_RESPONSE,
    pycurl.E_PEER_FAILED_VERIFICATION: INVALID_TLS,
    pycurl.E_RECV_ERROR: NO_RESPONSE,
    pycurl.E_SEND_ERROR: NO_RESPONSE,
    pycurl.E_SSL_CIPHER: INVALID_TLS,
    pycurl.E_SSL_CONNECT_ERROR: INVALID_TLS,
    pycurl.E_UNSUPPORTED_PROTOCOL: NOT_HTTP,
    pycurl.E_URL_MALFORMAT: UNSENDABLE,
    TOO_LARGE: TOO_MANY_HEADERS,
    WEIRD_SERVER_REPLY: NOT_HTTP,
}


class RequestFailed(Exception):
    """No response came; the message is one sentence that is safe to show and to log."""


class RequestTimedOut(RequestFailed):
    """No response came in time."""


class HttpClient:
    """Sends requests and returns responses, from any number of threads.

    With `allow_private` http, private addresses and any port are allowed.
    """

    def __init__(
        self,
        *,
        allow_private: bool,
        ca_file: str = certifi.where(),
        max_idle_handles: int = MAX_IDLE_HANDLES,
    ) -> None:
        self._allow_private = allow_private
        self._resolver = Resolver()
        self._pool = HandlePool(
            lambda: CurlHandle(allow_private=allow_private, ca_file=ca_file), max_idle_handles
        )
        weakref.finalize(self, self._pool.close)

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        max_response_bytes: int = MAX_CALLBACK_RESPONSE_BYTES,
        timeout_seconds: float | None = None,
        may_repeat: bool = True,
    ) -> HttpResponse:
        """Send once and return the response; raises RequestFailed.

        Without `may_repeat` the request uses a new connection: over a kept one that the receiver
        closes at this moment it would be sent twice.

        A response counts as soon as its headers are complete. `is_complete` is False when its body
        was longer than `max_response_bytes` or broke off.
        """
        deadline = time.monotonic() + (
            TIMEOUT_SECONDS if timeout_seconds is None else timeout_seconds
        )
        try:
            endpoint, target = self._parse_endpoint(url)
            request = HttpRequest(
                method, endpoint, target, headers, body, max_response_bytes, may_repeat
            )
            return self._exchange(endpoint, request, deadline)
        except TimeoutError:
            raise RequestTimedOut(TIMED_OUT) from None
        except AddressNotAllowed as error:
            raise RequestFailed(str(error)) from None
        except InvalidResponse:
            raise RequestFailed(NOT_HTTP) from None
        except OSError:
            raise RequestFailed(UNREACHABLE) from None
        except ValueError:
            raise RequestFailed(UNSENDABLE) from None
        except pycurl.error as error:
            code = error.args[0]
            failure = RequestTimedOut if code == pycurl.E_OPERATION_TIMEDOUT else RequestFailed
            # libcurl's own message would name the address.
            raise failure(MESSAGES_BY_CURL_ERROR.get(code, UNREACHABLE)) from None

    def close(self) -> None:
        """Close idle connections; a connection in use is closed after its exchange."""
        self._pool.close()

    def _parse_endpoint(self, url: str) -> tuple[Endpoint, str]:
        endpoint, target = addresses.parse_endpoint(url)
        if not (self._allow_private or endpoint.is_standard_https):
            raise AddressNotAllowed("The address is not https on port 443")
        return endpoint, target

    def _exchange(self, endpoint: Endpoint, request: HttpRequest, deadline: float) -> HttpResponse:
        """Use a kept connection, or resolve the host and connect.

        A receiver may close a kept connection at the moment of its reuse. Then the same bytes are
        sent once more over a new connection, or an attempt would be spent on a closed connection.
        """
        handle = self._pool.take(endpoint)
        try:
            if request.may_repeat and handle.may_have_connection(endpoint):
                with suppress(NoKeptConnection):
                    return handle.perform(request, _remaining(deadline), may_connect=False)
            resolved = self._resolver.resolve(
                endpoint,
                allow_private=self._allow_private,
                timeout_seconds=_remaining(deadline),
            )
            handle.pin_addresses(endpoint, resolved)
            return handle.perform(request, _remaining(deadline), may_connect=True)
        finally:
            self._pool.put_back(handle)


def _remaining(deadline: float) -> float:
    """Return the seconds that are left; raises TimeoutError."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds
