"""Token flows (OAuth 2.0, RFC 6749): how an adapter gets the token that its requests carry."""

from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import quote, urlencode

from provider.ats.api.connection import Connection
from provider.ats.api.http import ApiRequest, ApiResponse

FORM_TYPE = "application/x-www-form-urlencoded"
DEFAULT_LIFETIME = timedelta(hours=1)  # of a token whose answer names no time


class TokenRefused(Exception):
    """The ATS grants no token; the message is one sentence for the staff."""


@dataclass(frozen=True)
class Tokens:
    """The tokens of a grant. `refresh` is empty where there is no refresh token."""

    access: str = field(repr=False)
    expires_at: datetime
    refresh: str = field(default="", repr=False)
    refresh_expires_at: datetime | None = None


class TokenFlow(ABC):
    """The requests to a token endpoint, and the meaning of its answers."""

    has_consent: ClassVar[bool] = False  # True if some settings need a person's consent

    def is_used(self, settings: Mapping[str, Any]) -> bool:
        """Return whether the account's settings choose this flow."""
        return True

    def needs_consent(self, options: Mapping[str, Any]) -> bool:
        """Return whether a person must let us in; `options` are the account's settings."""
        return False

    def grant_request(self, connection: Connection) -> ApiRequest | None:
        """Return the request for a token; None where a person must connect the account."""
        return None

    def refresh_request(self, connection: Connection, refresh_token: str) -> ApiRequest:
        """Return the request that exchanges a refresh token for new tokens."""
        raise NotImplementedError

    def authorize_url(self, connection: Connection, redirect_uri: str, state: str) -> str:
        """Return the address at which a person lets us in; empty without such a step."""
        return ""

    def code_request(self, connection: Connection, code: str, redirect_uri: str) -> ApiRequest:
        """Return the request that exchanges the code of that step for tokens."""
        raise NotImplementedError

    def revoke_requests(
        self, connection: Connection, access_token: str, refresh_token: str
    ) -> Sequence[ApiRequest]:
        """Return the requests that end a consent, of which one must succeed; none without an
        address for this.
        """
        return ()

    def refresh_lifetime(self, settings: Mapping[str, Any]) -> timedelta | None:
        """Return how long an unused refresh token lives; None if it does not end."""
        return None

    @abstractmethod
    def allowed_hosts(self, connection: Connection) -> frozenset[str]:
        """Return the hosts of the token endpoint."""

    def parse(self, connection: Connection, response: ApiResponse, now: datetime) -> Tokens:
        """Return the granted tokens; TokenRefused says why there are none.

        Both `expires_in` in seconds and `expires_at` as ISO 8601 are read.
        """
        if not response.is_success:
            raise TokenRefused(f"The ATS grants no token: it answers {response.status_code}")
        document = response.json()
        access = document.get("access_token") if isinstance(document, dict) else None
        if not isinstance(access, str) or not access:
            raise TokenRefused("The ATS's answer has no token")
        lifetime = self.refresh_lifetime(connection.settings)
        return Tokens(
            access,
            _expiry(document, now),
            str(document.get("refresh_token") or ""),
            now + lifetime if lifetime else None,
        )


def form_request(
    url: str, fields: Mapping[str, str], *, basic: tuple[str, str] | None = None
) -> ApiRequest:
    """Return a POST of a form; `basic` are the client's id and secret (RFC 6749, 2.3.1)."""
    headers = {"Content-Type": FORM_TYPE, "Accept": "application/json"}
    if basic:
        pair = ":".join(quote(part, safe="") for part in basic)
        headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    return ApiRequest("POST", url, headers, urlencode(fields).encode())


def _expiry(document: Mapping[str, Any], now: datetime) -> datetime:
    if isinstance(text := document.get("expires_at"), str):
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    seconds = document.get("expires_in")
    if isinstance(seconds, int | float) and seconds > 0:
        return now + timedelta(seconds=seconds)
    return now + DEFAULT_LIFETIME
