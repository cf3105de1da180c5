"""The requests to an OpenID Connect issuer, and the checks of what it answers.

The metadata and the keys are read at each sign-in: sign-ins are rare, and keys change.
"""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, cast

import requests
from structlog import get_logger

from provider.core.staff.openid import Identity, OpenIdRequest
from provider.delivery.http.addresses import parse_endpoint
from provider.delivery.http.client import HttpClient
from provider.delivery.http.requests_adapter import mount_client
from provider.delivery.user_agent import USER_AGENT
from provider.errors import Unauthorized, Unavailable
from provider.services import Services

SCOPE = "openid email"
# Signatures by the issuer's private key. With HS256 the client's secret could sign.
ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "Ed25519", "EdDSA"),
)
CLOCK_LEEWAY_SECONDS = 60
MAX_RESPONSE_BYTES = 256 * 1024
# A slow issuer must not hold the threads of all other requests.
MAX_CONCURRENT_SIGN_INS = 4
SLOT_WAIT_SECONDS = 0.5
UNREACHABLE_MESSAGE = "Your company’s sign-in cannot be reached. Try again, or use your password"
REFUSED_MESSAGE = "Your company’s sign-in was not accepted. Try again, or use your password"

_slots = threading.BoundedSemaphore(MAX_CONCURRENT_SIGN_INS)
log = get_logger()


class OpenIdConnector:
    """The client of the issuer in the settings."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._issuer = services.settings.openid_issuer or ""

    def authorize_url(self, request: OpenIdRequest) -> str:
        """Return the address of the issuer's sign-in page."""
        with self._session() as session:
            metadata = self._read_metadata(session)
            session.redirect_uri = request.redirect_uri
            url, _ = session.create_authorization_url(
                metadata["authorization_endpoint"],
                state=request.state,
                code_verifier=request.code_verifier,
                nonce=request.nonce,
            )
        return cast(str, url)

    def identify(self, request: OpenIdRequest, code: str, issuer: str) -> Identity:
        """Return the person for a code. `issuer` is what the answer names, perhaps nothing."""
        if issuer and issuer != self._issuer:  # RFC 9207: the answer of another issuer
            raise Unauthorized(REFUSED_MESSAGE)
        with self._session() as session:
            metadata = self._read_metadata(session)
            session.token_endpoint_auth_method = _auth_method(metadata)
            token = session.fetch_token(
                metadata["token_endpoint"],
                grant_type="authorization_code",
                code=code,
                code_verifier=request.code_verifier,
                redirect_uri=request.redirect_uri,
            )
            keys = _read_json(session, metadata["jwks_uri"])
            claims = self._verify(token, keys, request.nonce)
        is_verified = claims.get("email_verified") in (True, "true")
        return Identity(str(claims.get("email", "")), is_verified)

    @contextmanager
    def _session(self) -> Iterator[Any]:
        """Open a session of the client; translate the errors of both libraries."""
        # Late: to import the libraries takes a third of a second.
        from authlib.common.errors import AuthlibBaseError
        from authlib.integrations.requests_client import OAuth2Session
        from joserfc.errors import JoseError

        settings = self._services.settings
        if not _slots.acquire(timeout=SLOT_WAIT_SECONDS):
            raise Unavailable("Many people are signing in at the moment. Try again in a minute")
        try:
            with (
                closing(HttpClient(allow_private=settings.private_callbacks)) as http_client,
                OAuth2Session(
                    settings.openid_client_id,
                    settings.openid_client_secret,
                    scope=SCOPE,
                    code_challenge_method="S256",
                ) as session,
            ):
                mount_client(session, http_client, MAX_RESPONSE_BYTES)
                session.headers["User-Agent"] = USER_AGENT
                yield session
        except requests.RequestException as error:
            log.warning("openid_unreachable", issuer=self._issuer, error=str(error))
            raise Unavailable(UNREACHABLE_MESSAGE) from error
        except (AuthlibBaseError, JoseError, ValueError, KeyError, TypeError) as error:
            # Tokens are in no message of these errors.
            log.warning("openid_refused", issuer=self._issuer, error=repr(error))
            raise Unauthorized(REFUSED_MESSAGE) from error
        finally:
            _slots.release()

    def _read_metadata(self, session: Any) -> dict[str, Any]:
        """Return the issuer's metadata (OpenID Connect Discovery 1.0, 4.3)."""
        address = self._issuer.rstrip("/") + "/.well-known/openid-configuration"
        metadata = _read_json(session, address)
        if metadata["issuer"] != self._issuer:
            raise ValueError("the metadata names another issuer")
        # The browser is sent there; the client checks the other addresses itself.
        endpoint, _ = parse_endpoint(metadata["authorization_endpoint"])
        if not (self._services.settings.private_callbacks or endpoint.is_standard_https):
            raise ValueError("the authorization endpoint is not https on port 443")
        return metadata

    def _verify(self, token: dict[str, Any], keys: dict[str, Any], nonce: str) -> dict[str, Any]:
        """Return the claims of an ID token (OpenID Connect Core 1.0, 3.1.3.7)."""
        from authlib.oidc.core import CodeIDToken
        from joserfc import jwt
        from joserfc.jwk import KeySet

        settings = self._services.settings
        decoded = jwt.decode(
            token["id_token"], KeySet.import_key_set(cast(Any, keys)), algorithms=ALGORITHMS
        )
        claims = CodeIDToken(
            decoded.claims,
            decoded.header,
            {
                "iss": {"essential": True, "value": self._issuer},
                "aud": {"essential": True, "value": settings.openid_client_id},
                "exp": {"essential": True},
            },
            {
                "nonce": nonce,
                "client_id": settings.openid_client_id,
                "access_token": token.get("access_token"),
            },
        )
        claims.validate(int(self._services.now().timestamp()), CLOCK_LEEWAY_SECONDS)
        return dict(claims)


def _read_json(session: Any, address: str) -> dict[str, Any]:
    response = session.get(address, withhold_token=True)
    if response.status_code != 200:
        raise requests.ConnectionError(f"the issuer answered with {response.status_code}")
    answer = response.json()
    if not isinstance(answer, dict):
        raise TypeError("the issuer's answer is not an object")
    return answer


def _auth_method(metadata: dict[str, Any]) -> str:
    """Return how the client proves its secret; basic is the default of the standard."""
    supported = metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    return "client_secret_basic" if "client_secret_basic" in supported else "client_secret_post"
