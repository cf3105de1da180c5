"""The OAuth server of Greenhouse, and the check of its tokens: what `FakeHarvest` stands on."""

import base64
import secrets
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.factories import ManualClock
from tests.fakes.vendor import FakeVendor, Reply, VendorRequest

MESSAGES = {
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Resource not found",
    410: "Gone", 422: "Unprocessable Content", 429: "Too Many Requests",
}  # fmt: skip
Auth = Literal["client_credentials", "code"]
GRANTS: dict[Auth, dict[str, set[str]]] = {  # grant → its parameters
    "client_credentials": {"client_credentials": {"grant_type", "sub"}},
    "code": {
        "authorization_code": {"grant_type", "code", "redirect_uri"},
        "refresh_token": {"grant_type", "refresh_token"},
    },
}
AUTHORIZE_PARAMETERS = {"response_type", "client_id", "redirect_uri", "scope", "state"}
SITE_ADMIN_ID, SERVICE_ACCOUNT_ID = 4080, 4000  # the two users of a new customer
LONG_AGO = datetime.min.replace(tzinfo=UTC)


class Refusal(Exception):
    """An answer with an error: of the API (`message` and `errors`) or of OAuth (`error`)."""

    def __init__(self, code: int, *errors: str | dict[str, str], oauth: str = "") -> None:
        super().__init__(code, oauth, *errors)
        body: dict[str, Any] = {"error": oauth} if oauth else {"message": MESSAGES[code]}
        self.reply = Reply(code, body | ({"errors": list(errors)} if errors else {}))


@dataclass
class Connection:
    """The tokens of one authorisation. A connection by client credentials cannot be refreshed."""

    user_id: int
    scopes: frozenset[str]
    code: str = ""
    code_ends_at: datetime = LONG_AGO
    access_token: str = ""
    access_ends_at: datetime = LONG_AGO
    refresh_token: str = ""
    refresh_ends_at: datetime = LONG_AGO
    used: set[str] = field(default_factory=set)  # the code, and the earlier refresh tokens
    is_revoked: bool = False


class OAuthVendor(FakeVendor):
    """A vendor with `/authorize` and `/token`. A subclass answers the API's requests.

    `auth` is `client_credentials` (a customer's own client) or `code` (a partner's client).
    """

    client_id, client_secret = "gh-client-5520", "gh-secret-a81f03"
    redirect_uri = "https://provider.example.org/greenhouse/connected"  # the registered address
    token_limit: int | None = None  # requests of tokens in a window of `token_window` seconds
    token_window = 60
    code_lifetime_seconds = 60
    access_lifetime_seconds = 3600
    refresh_lifetime_seconds = 24 * 3600
    expiry_field: Literal["expires_at", "expires_in"] = "expires_at"
    denies_consent = False
    consenting_user_id = SITE_ADMIN_ID

    def __init__(self, clock: ManualClock, scopes: frozenset[str], auth: Auth) -> None:
        super().__init__(clock)
        self.auth = auth
        self.token_url, self.authorize_url = f"{self.url}/token", f"{self.url}/authorize"
        self.scopes = set(scopes)  # of the client; a removed scope is lost at once
        self._connections: list[Connection] = []
        self._token_counts: Counter[int] = Counter()

    def revoke(self) -> None:
        """Withdraw every token and code: the customer has to connect again."""
        for connection in self._connections:
            connection.is_revoked = True

    def expire(self, *, refresh_too: bool = False) -> None:
        """Let the life of every access token, or of the refresh tokens too, end now."""
        for connection in self._connections:
            connection.access_ends_at = self.clock.now()
            if refresh_too:
                connection.refresh_ends_at = self.clock.now()

    def is_user(self, user_id: int) -> bool:
        """Return whether a token may act as this user."""
        raise NotImplementedError

    def answer_api(self, request: VendorRequest) -> Reply:
        """Answer a request that is not of OAuth."""
        raise NotImplementedError

    def answer(self, request: VendorRequest) -> Reply:
        try:
            if (request.method, request.path) == ("GET", "/authorize"):
                return self._authorize(request)
            if (request.method, request.path) == ("POST", "/token"):
                return self._issue_tokens(request)
            return self.answer_api(request)
        except Refusal as refusal:
            return refusal.reply

    def connection(self, request: VendorRequest) -> Connection:
        """Return the connection of a request's token; 401 without one that is valid."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme == "Bearer" and token:
            for connection in self._connections:
                is_alive = not connection.is_revoked and self.is_user(connection.user_id)
                is_in_time = self.clock.now() < connection.access_ends_at
                if token == connection.access_token and is_alive and is_in_time:
                    return connection
        raise Refusal(401, "The token is missing, expired or revoked.")

    def require_scope(self, connection: Connection, scope: str) -> None:
        if scope not in connection.scopes & self.scopes:
            raise Refusal(403, f"The scope {scope} is missing.")

    def _answer_within_budget(self, request: VendorRequest) -> Reply:
        if request.path in ("/token", "/authorize"):  # these have no part of the API's budget
            return self.answer(request)
        reply = super()._answer_within_budget(request)
        if reply.status_code == 429:
            reply.body = {"message": MESSAGES[429]}
        return reply

    def _authorize(self, request: VendorRequest) -> Reply:
        query = _pairs(urlsplit(request.target).query)
        if query.get("client_id") != self.client_id or self.auth != "code":
            raise Refusal(400, oauth="invalid_client")
        if query.get("redirect_uri") != self.redirect_uri:
            raise Refusal(400, "The redirect_uri is not registered.", oauth="invalid_request")
        scopes, answer = frozenset(query.get("scope", "").split()), {}
        if query.get("response_type") != "code":
            answer["error"] = "unsupported_response_type"
        elif query.keys() != AUTHORIZE_PARAMETERS or not query["state"]:
            answer["error"] = "invalid_request"
        elif not scopes or not scopes <= self.scopes:
            answer["error"] = "invalid_scope"
        elif self.denies_consent:
            answer["error"] = "access_denied"
        else:
            answer["code"] = secrets.token_urlsafe(24)
            ends_at = self._moment(self.code_lifetime_seconds)
            connection = Connection(self.consenting_user_id, scopes, answer["code"], ends_at)
            self._connections.append(connection)
        if "state" in query:
            answer["state"] = query["state"]
        return Reply(302, None, {"Location": f"{self.redirect_uri}?{urlencode(answer)}"})

    def _issue_tokens(self, request: VendorRequest) -> Reply:
        window, seconds = divmod(int(self.clock.now().timestamp()), self.token_window)
        self._token_counts[window] += 1
        if self.token_limit is not None and self._token_counts[window] > self.token_limit:
            refusal = Refusal(429)
            refusal.reply.headers["Retry-After"] = str(self.token_window - seconds)
            raise refusal
        form = self._token_form(request)
        if form["grant_type"] == "client_credentials":
            connection = self._connect_client(form)
        else:
            connection = self._exchange(form)
        tokens: dict[str, Any] = {
            "token_type": "Bearer",
            "expires_in": self.access_lifetime_seconds,
        }
        connection.access_token = tokens["access_token"] = secrets.token_urlsafe(32)
        connection.access_ends_at = self._moment(self.access_lifetime_seconds)
        if self.expiry_field == "expires_at":
            del tokens["expires_in"]
            tokens["expires_at"] = connection.access_ends_at.strftime("%Y-%m-%dT%H:%M:%SZ")
        if self.auth == "code":
            connection.refresh_token = tokens["refresh_token"] = secrets.token_urlsafe(32)
            connection.refresh_ends_at = self._moment(self.refresh_lifetime_seconds)
            tokens["scope"] = " ".join(sorted(connection.scopes))
        return Reply(200, tokens)

    def _token_form(self, request: VendorRequest) -> dict[str, str]:
        """Return the parameters, of the body or (as the guide shows for partners) of the query."""
        query, body = urlsplit(request.target).query, request.body.decode(errors="replace")
        content_type = request.headers.get("content-type", "").partition(";")[0]
        if body and content_type != "application/x-www-form-urlencoded":
            raise Refusal(400, "Send a form.", oauth="invalid_request")
        form = _pairs(f"{query}&{body}" if self.auth == "code" else body)
        pair = base64.b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
        is_client = request.headers.get("authorization") == f"Basic {pair}"
        if not is_client or form.keys() & {"client_id", "client_secret"}:
            refusal = Refusal(401, oauth="invalid_client")
            refusal.reply.headers["WWW-Authenticate"] = "Basic"
            raise refusal
        known = {name for grants in GRANTS.values() for name in grants}
        grant, grants = form.get("grant_type", ""), GRANTS[self.auth]
        if grant not in grants:
            error = "unauthorized_client" if grant in known else "unsupported_grant_type"
            raise Refusal(400, oauth=error)
        if not form.keys() <= grants[grant]:
            raise Refusal(400, "A parameter is not known.", oauth="invalid_request")
        return form

    def _connect_client(self, form: dict[str, str]) -> Connection:
        user_id = form.get("sub", str(SERVICE_ACCOUNT_ID))
        if not user_id.isdecimal() or not self.is_user(int(user_id)):
            raise Refusal(400, "The sub is not an active user.", oauth="invalid_request")
        self._connections.append(Connection(int(user_id), frozenset(self.scopes)))
        return self._connections[-1]

    def _exchange(self, form: dict[str, str]) -> Connection:
        """Use up a code or refresh token. A second use revokes the connection."""
        is_code = form["grant_type"] == "authorization_code"
        text = form.get("code" if is_code else "refresh_token", "")
        if not text or (is_code and "redirect_uri" not in form):
            raise Refusal(400, "A parameter is missing.", oauth="invalid_request")
        for connection in self._connections:
            if text in connection.used:
                connection.is_revoked = True
            current = connection.code if is_code else connection.refresh_token
            ends_at = connection.code_ends_at if is_code else connection.refresh_ends_at
            if text != current or connection.is_revoked or self.clock.now() >= ends_at:
                continue
            if is_code and form["redirect_uri"] != self.redirect_uri:
                continue
            connection.used.add(text)
            return connection
        raise Refusal(400, oauth="invalid_grant")

    def _moment(self, seconds: int) -> datetime:
        return self.clock.now() + timedelta(seconds=seconds)


def _pairs(text: str) -> dict[str, str]:
    pairs = parse_qsl(text, keep_blank_values=True)
    if len(dict(pairs)) < len(pairs):
        raise Refusal(400, "A parameter appears twice.", oauth="invalid_request")
    return dict(pairs)
