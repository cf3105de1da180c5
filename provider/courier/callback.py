"""Callbacks over HTTP: where they may go, how long they may take."""

import ipaddress
import time
from dataclasses import dataclass
from http.cookiejar import CookiePolicy
from importlib.metadata import version
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests_hardened.ip_filter import InvalidIPAddress
from requests_hardened.ip_filter_adapter import IPFilterAdapter
from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.ats import DIALECTS, Answer, Dialect, News, Request
from provider.house import House
from provider.orders import Order, Result
from provider.outbox import ANSWER_KEPT, Claim, Outcome

CONNECT = 5.0  # seconds to reach the receiver
DEADLINE = 10.0  # seconds that a whole exchange may take
MOST_READ = 64 * 1024  # bytes of an answer that are read
AGENT = f"provider/{version('provider')}"

# Special-use addresses that the library lets through: Azure's metadata host, IPv4-compatible
# IPv6 and deprecated site-local addresses.
ALSO_PRIVATE = tuple(
    ipaddress.ip_network(net) for net in ("168.63.129.16/32", "::/96", "fec0::/10")
)


@dataclass(frozen=True)
class Callback:
    """A status for an ATS: the bytes to send, where to, and who judges the answer."""

    sink: "CallbackSink"
    claim: Claim
    rendered: bytes
    request: Request
    dialect: Dialect

    def send(self) -> Outcome:
        """Send once, within the deadline; whatever the receiver does is an outcome."""
        try:
            answer = self.sink.exchange(self.request, self.rendered, self._headers())
        except InvalidIPAddress:
            return Outcome("again", error="The host's address is not a public one")
        except requests.RequestException as error:
            return Outcome("again", error=_reason(error))
        return self.dialect.judge(answer, self.claim.attempts, self.sink.house.now())

    def _headers(self) -> dict[str, str]:
        return {
            "User-Agent": AGENT,
            "Idempotency-Key": self.claim.public_id,
            "X-Provider-Sequence": str(self.claim.sequence),
        }


class CallbackSink:
    """Renders news once through the account's dialect and sends the same bytes at every try."""

    def __init__(self, house: House) -> None:
        self.house = house
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy variables, no .netrc
        self._session.cookies.set_policy(_NoCookies())
        private = house.settings.private_callbacks
        self._session.mount("https://", HTTPAdapter(**POOL) if private else Guarded(https=True))
        self._session.mount("http://", HTTPAdapter(**POOL) if private else Guarded(https=False))

    def prepare(self, session: Session, claim: Claim) -> Callback:
        """Render a status as it stood at the message's revision, and address it."""
        order = session.scalars(select(Order).where(Order.public_id == claim.key)).one()
        dialect = DIALECTS[order.account.ats]
        rendered = claim.rendered
        if rendered is None:
            kept = claim.payload["result"]
            result = session.get(Result, kept) if kept else None
            rendered = dialect.render(
                News.of(
                    session,
                    self.house.vault,
                    self.house.links,
                    order,
                    claim.payload["status"],
                    result,
                )
            )
        token = order.account.open_callback_token(self.house.vault)
        return Callback(self, claim, rendered, dialect.address(order.reply, token), dialect)

    def exchange(self, request: Request, body: bytes, headers: dict[str, str]) -> Answer:
        """Make one request: no redirects, no cookies, one deadline for all of it."""
        began = time.monotonic()
        with self._session.request(
            request.method,
            request.url,
            data=body,
            headers=request.headers | headers,
            timeout=(CONNECT, DEADLINE),
            allow_redirects=False,
            stream=True,
        ) as response:
            read = _beginning(response, until=began + DEADLINE)
            return Answer(response.status_code, dict(response.headers), read)


POOL: dict[str, Any] = {"pool_connections": 64, "pool_maxsize": 32}


class Guarded(IPFilterAdapter):  # type: ignore[misc]
    """Connects to public addresses only; judged on the address that is really dialled."""

    def __init__(self, *, https: bool) -> None:
        super().__init__(is_https_proto=https)
        self.init_poolmanager(64, 32)

    def build_connection_pool_key_attributes(
        self, request: Any, verify: Any, cert: Any = None
    ) -> Any:
        """Let the library judge and pin the address, then judge what it lets through."""
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        address = ipaddress.ip_address(host["host"].strip("[]"))
        if not address.is_global or any(address in net for net in ALSO_PRIVATE):
            raise InvalidIPAddress(address)
        return host, pool


class _NoCookies(CookiePolicy):
    """A cookie policy that keeps none and sends none."""

    netscape = True
    rfc2965 = hide_cookie2 = False

    def set_ok(self, cookie: object, request: object) -> bool:
        """Keep no cookie."""
        return False

    def return_ok(self, cookie: object, request: object) -> bool:
        """Send no cookie."""
        return False


def _beginning(response: requests.Response, until: float) -> str:
    """Read what comes, not what is announced: the status is known, a drip must not hold a hand."""
    read = b""
    try:
        while chunk := response.raw.read1(4096, decode_content=True):
            read += chunk
            if time.monotonic() > until or len(read) >= MOST_READ:
                response.raw.close()  # what is left unread makes the connection useless
                break
    except urllib3.exceptions.HTTPError:
        response.raw.close()
    return read[:ANSWER_KEPT].decode("utf-8", "replace")


def _reason(error: requests.RequestException) -> str:
    """Say what went wrong without an address or a token in it."""
    if isinstance(error, requests.Timeout):
        return "The receiver did not answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return "The receiver's certificate or TLS is not right"
    if isinstance(error, requests.ConnectionError):
        return "The receiver could not be reached"
    return f"The request failed ({type(error).__name__})"
