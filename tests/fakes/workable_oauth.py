"""Workable's credentials: tokens, scopes, the budget of each client, and the OAuth server."""

import email
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.factories import ManualClock
from tests.fakes.vendor import FakeVendor, Reply, VendorRequest

API_PATH = "/spi/v3"
SCOPES = ("r_jobs", "r_candidates", "w_candidates", "w_comments")
ACCESS_TOKEN_SECONDS, CODE_SECONDS = 7200, 600
GRANT_FIELDS = {
    "authorization_code": {"code", "redirect_uri"},
    "refresh_token": {"refresh_token"},
}
Kind = Literal["account", "partner", "oauth"]


class Refusal(Exception):
    """An answer with an error; without a text its body is `{}`."""

    def __init__(self, code: int, error: str = "", **more: Any) -> None:
        super().__init__(code, error)
        self.reply = Reply(code, ({"error": error} if error else {}) | more)


@dataclass
class Grant:
    """A user's consent to the application; each refresh token replaces the one before."""

    subdomains: tuple[str, ...]
    scopes: frozenset[str]
    refresh_token: str = ""
    replaced_at: dict[str, datetime] = field(default_factory=dict)  # old refresh token → time
    is_revoked: bool = False


@dataclass
class Credential:
    """A token of the API. Only a token of OAuth has a grant."""

    kind: Kind
    token: str
    subdomains: tuple[str, ...]
    scopes: frozenset[str]
    expires_at: datetime | None = None
    grant: Grant | None = None


@dataclass(frozen=True)
class Call:
    """A request of the API whose credential is valid; `path` begins after version and account."""

    request: VendorRequest
    credential: Credential
    subdomain: str
    path: str


class WorkableOAuth(FakeVendor):
    """The accounts and their tokens. A subclass answers a call in `answer_call`.

    An account has a token of its own and a partner's token from the start.
    """

    client_id, client_secret = "oauth-client-31", "oauth-secret-7d20c4"
    redirect_uri = "https://provider.example/connect/callback"
    partner_id = "partner-uid-5"  # the header X-WORKABLE-CLIENT-ID
    deny = False  # the user refuses the consent
    returns_state = True
    user_subdomains: tuple[str, ...] = ()  # accounts of the user who consents; empty: all
    refresh_grace_seconds = 0  # a replaced refresh token may be used again for so long
    refresh_revokes_access = True  # a refresh ends the access tokens that were there before
    revocable: tuple[str, ...] = ("refresh_token", "access_token")  # what /oauth/revoke takes
    sends_retry_after = False
    budget_scope: Literal["client", "account"] = "client"
    reset_unit: Literal["epoch", "milliseconds", "seconds"] = "epoch"

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.budgets: dict[Kind, int | None] = {"account": 10, "partner": 50, "oauth": 50}
        self.accounts: dict[str, str] = {}  # subdomain → name
        self.credentials: dict[str, Credential] = {}  # by token
        self.grants: dict[str, Grant] = {}  # by each refresh token that was ever issued
        self._codes: dict[str, tuple[Grant, datetime]] = {}  # code → grant, end of its life
        self.before_request.append(self._choose_budget)

    def add_account(self, subdomain: str, name: str = "") -> str:
        """Add an account and return its account token."""
        self.accounts[subdomain] = name or subdomain.replace("-", " ").title()
        return self.issue_token("account", subdomain)

    def issue_token(
        self,
        kind: Literal["account", "partner"],
        subdomain: str,
        scopes: tuple[str, ...] = SCOPES,
        lifetime: timedelta | None = None,
    ) -> str:
        """Return a new token that an admin made in Workable; without a lifetime it stays valid."""
        expires_at = self.clock.now() + lifetime if lifetime else None
        return self._issue(kind, (subdomain,), frozenset(scopes), expires_at)

    def connect(self, *subdomains: str, scopes: tuple[str, ...] = SCOPES[:3]) -> dict[str, Any]:
        """Return the answer of the token endpoint for a new grant, without the user's browser."""
        return self._issue_pair(Grant(subdomains or tuple(self.accounts), frozenset(scopes)))

    def rotate(self, token: str) -> str:
        """Replace a token by a new one: it opens the API, and signs the events from now on."""
        credential = self.credentials.pop(token)
        credential.token, credential.expires_at = secrets.token_hex(16), None
        self.credentials[credential.token] = credential
        return credential.token

    def revoke(self, token: str | None = None) -> None:
        """End a token's life, by default every token's; of OAuth the whole grant ends."""
        for credential in self._named(token):
            credential.expires_at = self.clock.now()
            if credential.grant:
                credential.grant.is_revoked = True

    def expire(self, token: str | None = None) -> None:
        """Let a token's life, by default every token's, be over; a grant can be refreshed."""
        for credential in self._named(token):
            credential.expires_at = self.clock.now()

    def answer(self, request: VendorRequest) -> Reply:
        endpoints = {
            ("GET", "/oauth/authorize"): self._authorize,
            ("POST", "/oauth/token"): self._answer_token,
            ("POST", "/oauth/revoke"): self._revoke,
        }
        try:
            if endpoint := endpoints.get((request.method, request.path)):
                return endpoint(request)
            return self.answer_call(self._check_call(request))
        except Refusal as refusal:
            return refusal.reply

    def answer_call(self, call: Call) -> Reply:
        raise NotImplementedError

    def require_scope(self, call: Call, scopes: str) -> None:
        """Refuse a call whose token has none of these scopes, which are apart by a space."""
        if call.credential.scopes.isdisjoint(scopes.split()):
            raise Refusal(403, f"Missing scope: {scopes.replace(' ', ' or ')}")

    def budget_client(self, request: VendorRequest) -> str:
        kind, credential = self._client(request)
        if credential is None:
            return request.headers.get("authorization", "")
        account = credential.subdomains[0]
        client = {"account": account, "partner": self.partner_id, "oauth": self.client_id}[kind]
        return f"{kind}:{client}" + (f":{account}" if self.budget_scope == "account" else "")

    def budget_headers(self, remaining: int, resets_at: int, is_over: bool) -> dict[str, str]:
        seconds = resets_at - self.clock.now().timestamp()
        units = {"epoch": resets_at, "milliseconds": resets_at * 1000, "seconds": round(seconds)}
        reset, names = units[self.reset_unit], ("Limit", "Remaining", "Reset")
        values = (self.budget_limit, remaining, reset)
        return {
            f"X-Rate-Limit-{name}": str(value) for name, value in zip(names, values, strict=True)
        }

    def _choose_budget(self, request: VendorRequest) -> None:
        is_api = request.path.startswith(API_PATH)
        self.budget_limit = self.budgets[self._client(request)[0]] if is_api else None

    def _client(self, request: VendorRequest) -> tuple[Kind, Credential | None]:
        """Return whose budget a request spends: an account token with a client id is a partner."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        credential = self.credentials.get(token) if scheme == "Bearer" else None
        if credential is None or credential.kind == "oauth":
            return ("oauth" if credential else "account"), credential
        is_partner = request.headers.get("x-workable-client-id") == self.partner_id
        return ("partner" if is_partner else "account"), credential

    def _check_call(self, request: VendorRequest) -> Call:
        match = re.fullmatch(rf"{API_PATH}(?:/accounts/([^/]+)(?=/))?(/.*)", request.path)
        if match is None:
            raise Refusal(404, "Not found")
        kind, credential = self._client(request)
        client_id = request.headers.get("x-workable-client-id")
        is_wrong_client = client_id not in (None, self.partner_id)
        if credential is None or is_wrong_client or not self._is_valid(credential):
            raise Refusal(401, "Not authorized")
        if credential.kind == "partner" and kind != "partner":
            raise Refusal(401, "Not authorized")
        host = request.headers.get("host", "").partition(":")[0]
        subdomain = match[1] or host.removesuffix(".workable.com")
        if subdomain == "www" and not match[2].startswith("/accounts"):
            raise Refusal(404, "Not found")
        if subdomain in (host, "www"):  # neither the path nor the host names an account
            subdomain = credential.subdomains[0]
        if subdomain not in credential.subdomains:
            known = subdomain in self.accounts
            raise Refusal(401, "Not authorized") if known else Refusal(404, "Not found")
        return Call(request, credential, subdomain, match[2])

    def _is_valid(self, credential: Credential) -> bool:
        is_over = credential.expires_at is not None and credential.expires_at <= self.clock.now()
        return not is_over and not (credential.grant and credential.grant.is_revoked)

    def _named(self, token: str | None) -> list[Credential]:
        return list(self.credentials.values()) if token is None else [self.credentials[token]]

    def _issue(
        self,
        kind: Kind,
        subdomains: tuple[str, ...],
        scopes: frozenset[str],
        expires_at: datetime | None,
        grant: Grant | None = None,
    ) -> str:
        token = secrets.token_hex(16)
        self.credentials[token] = Credential(kind, token, subdomains, scopes, expires_at, grant)
        return token

    def _issue_pair(self, grant: Grant) -> dict[str, Any]:
        now = self.clock.now()
        for credential in self.credentials.values() if self.refresh_revokes_access else ():
            if credential.grant is grant:
                credential.expires_at = now
        if grant.refresh_token:
            grant.replaced_at[grant.refresh_token] = now
        grant.refresh_token = secrets.token_hex(32)
        self.grants[grant.refresh_token] = grant
        expires_at = now + timedelta(seconds=ACCESS_TOKEN_SECONDS)
        token = self._issue("oauth", grant.subdomains, grant.scopes, expires_at, grant)
        return {
            "access_token": token,
            "token_type": "bearer",
            "expires_in": ACCESS_TOKEN_SECONDS,
            "refresh_token": grant.refresh_token,
            "scope": " ".join(scope for scope in SCOPES if scope in grant.scopes),
            "created_at": int(now.timestamp()),
        }

    def _authorize(self, request: VendorRequest) -> Reply:
        query = _unique(parse_qsl(urlsplit(request.target).query, keep_blank_values=True))
        expected = {
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "resource": "user",
            "response_type": "code",
        }
        if not expected.items() <= query.items() or query.keys() - {*expected, "scope", "state"}:
            raise Refusal(400, "invalid_request")
        scopes = query.get("scope", "").split()
        answer = {"error": "access_denied"} if self.deny else {}
        if not scopes or not set(scopes) <= set(SCOPES):
            answer = {"error": "invalid_scope"}
        if not answer:
            grant = Grant(self.user_subdomains or tuple(self.accounts), frozenset(scopes))
            answer = {"code": secrets.token_hex(9)}
            ends_at = self.clock.now() + timedelta(seconds=CODE_SECONDS)
            self._codes[answer["code"]] = grant, ends_at
        if "state" in query and self.returns_state:
            answer["state"] = query["state"]
        return Reply(302, None, {"Location": f"{self.redirect_uri}?{urlencode(answer)}"})

    def _answer_token(self, request: VendorRequest) -> Reply:
        form = self._form(request)
        fields = GRANT_FIELDS.get(form.get("grant_type", ""))
        if fields is None:
            raise Refusal(400, "unsupported_grant_type")
        is_refresh = "refresh_token" in fields
        scopes = set(form.pop("scope", "").split()) if is_refresh else set()
        if form.keys() != fields | {"grant_type", "client_id", "client_secret"}:
            raise Refusal(400, "invalid_request")
        grant = self._refreshed(form["refresh_token"]) if is_refresh else self._redeemed(form)
        if grant is None:
            raise Refusal(401, "invalid_grant")
        if not scopes <= grant.scopes:
            raise Refusal(400, "invalid_scope")
        return Reply(200, self._issue_pair(grant))

    def _redeemed(self, form: dict[str, str]) -> Grant | None:
        """Return the grant of a code, which can be used once."""
        grant, ends_at = self._codes.get(form["code"], (None, self.clock.now()))
        if self.clock.now() >= ends_at or form["redirect_uri"] != self.redirect_uri:
            return None
        del self._codes[form["code"]]
        return grant

    def _refreshed(self, token: str) -> Grant | None:
        """Return the grant of a refresh token. One that was replaced ends the whole grant."""
        grant = self.grants.get(token)
        if grant and token != grant.refresh_token:
            grace = timedelta(seconds=self.refresh_grace_seconds)
            if self.clock.now() >= grant.replaced_at[token] + grace:
                grant.is_revoked = True
        return None if grant is None or grant.is_revoked else grant

    def _revoke(self, request: VendorRequest) -> Reply:
        form = self._form(request)
        token = form.get("token", "")
        kind = "refresh_token" if token in self.grants else "access_token"
        if form.keys() != {"client_id", "client_secret", "token"} or kind not in self.revocable:
            raise Refusal(400, "invalid_request")
        credential = self.credentials.get(token)
        if grant := self.grants.get(token) or (credential.grant if credential else None):
            grant.is_revoked = True
        return Reply(200, {})

    def _form(self, request: VendorRequest) -> dict[str, str]:
        """Return the fields of a form, urlencoded or multipart, that has the right client."""
        content_type = request.headers.get("content-type", "")
        pairs: list[tuple[str, str]] = []
        if content_type.startswith("application/x-www-form-urlencoded"):
            pairs = parse_qsl(request.body.decode(errors="replace"), keep_blank_values=True)
        elif content_type.startswith("multipart/form-data"):
            head = f"Content-Type: {content_type}\r\n\r\n".encode()
            for part in email.message_from_bytes(head + request.body).walk():
                name = part.get_param("name", header="Content-Disposition")
                if isinstance(name, str):
                    pairs.append((name, str(part.get_payload())))
        form = _unique(pairs)
        client = form.get("client_id"), form.get("client_secret")
        if client != (self.client_id, self.client_secret) or "authorization" in request.headers:
            raise Refusal(401, "invalid_client")
        return form


def _unique(pairs: list[tuple[str, str]]) -> dict[str, str]:
    if len(dict(pairs)) < len(pairs):
        raise Refusal(400, "invalid_request")
    return dict(pairs)
