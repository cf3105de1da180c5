"""A strict OpenID Connect issuer on this machine, which misbehaves on demand."""

import base64
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from tests.local_server import LocalServer

CLIENT_ID, CLIENT_SECRET = "console", "s3cret:&with signs"
REDIRECT_URI = "http://provider.test/console/sign-in/openid/done"
LIFETIME_SECONDS = 300


@dataclass
class Grant:
    """The sign-in that a code stands for, once."""

    nonce: str
    code_challenge: str


@dataclass
class Misbehaviour:
    """Wrong values for an answer; a claim that is None is left out."""

    claims: dict[str, Any] = field(default_factory=dict)
    key: Any = None
    algorithm: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    token: dict[str, Any] = field(default_factory=dict)


class OpenIdIssuer(LocalServer):
    """An issuer with one client. It refuses whatever the standards refuse."""

    def __init__(self, now: Callable[[], datetime], redirect_uri: str = REDIRECT_URI) -> None:
        self.redirect_uri = redirect_uri
        self.now, self.email, self.instead = now, "sam@provider.test", Misbehaviour()
        self.key: Any = RSAKey.generate_key(2048, {"kid": "first", "use": "sig"})
        self.algorithm = "RS256"
        self.requests: list[str] = []
        self._grants: dict[str, Grant] = {}
        super().__init__(_handler_class(self))

    def use_elliptic_key(self) -> None:
        self.key, self.algorithm = ECKey.generate_key("P-256", {"kid": "second"}), "ES256"

    def authorize(self, url: str) -> str:
        """Return the address to which the sign-in page sends the browser, with a code."""
        parts = urlsplit(url)
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{self.url}/authorize"
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        assert query["response_type"] == "code"
        assert query["client_id"] == CLIENT_ID
        assert query["redirect_uri"] == self.redirect_uri
        assert set(query["scope"].split()) == {"openid", "email"}
        assert query["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self._grants[code] = Grant(query["nonce"], query["code_challenge"])
        answer = {"code": code, "state": query["state"], "iss": self.url}
        return f"{query['redirect_uri']}?{urlencode(answer)}"

    def answer(self, path: str, headers: Any, body: str) -> tuple[int, dict[str, Any]]:
        self.requests.append(path)
        if path == "/.well-known/openid-configuration":
            return 200, self._metadata()
        if path == "/jwks":
            return 200, {"keys": [self.key.as_dict(private=False)]}
        if path == "/token":
            return self._exchange(headers, body)
        return 404, {}

    def _metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            **self.instead.metadata,
        }

    def _exchange(self, headers: Any, body: str) -> tuple[int, dict[str, Any]]:
        form = {name: values[0] for name, values in parse_qs(body).items()}
        scheme, _, credentials = headers.get("Authorization", "").partition(" ")
        client_id, _, secret = base64.b64decode(credentials).decode().partition(":")
        # RFC 6749, 2.3.1: both are form-encoded before.
        if (scheme, unquote(client_id), secret) != ("Basic", CLIENT_ID, CLIENT_SECRET):
            return 401, {"error": "invalid_client"}
        grant = self._grants.pop(form.get("code", ""), None)
        digest = sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if (
            grant is None
            or form.get("grant_type") != "authorization_code"
            or form.get("redirect_uri") != self.redirect_uri
            or challenge != grant.code_challenge
        ):
            return 400, {"error": "invalid_grant"}
        token = {
            "access_token": "an access token",
            "token_type": "Bearer",
            "id_token": self._id_token(grant),
        }
        return 200, token | self.instead.token

    def _id_token(self, grant: Grant) -> str:
        now = int(self.now().timestamp())
        claims = {
            "iss": self.url,
            "sub": "248289761001",
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + LIFETIME_SECONDS,
            "nonce": grant.nonce,
            "email": self.email,
            "email_verified": True,
            **self.instead.claims,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        algorithm = self.instead.algorithm or self.algorithm
        key = self.instead.key or self.key
        return jwt.encode({"alg": algorithm, "kid": self.key.kid}, claims, key, [algorithm])


def secret_as_key() -> OctKey:
    """Return the client's secret as a key of HS256, with which no token may be signed."""
    return OctKey.import_key(CLIENT_SECRET.ljust(32, "."))


def _handler_class(issuer: OpenIdIssuer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _respond(self) -> None:
            if self.path.startswith("/authorize"):  # a browser; the person consents at once
                self.send_response(302)
                self.send_header("Location", issuer.authorize(f"{issuer.url}{self.path}"))
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            code, answer = issuer.answer(self.path, self.headers, body)
            content = json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _respond

        def log_message(self, *_: object) -> None:
            """Write no access log."""

    return Handler
