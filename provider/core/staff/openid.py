"""OpenID Connect: a company's own sign-in page says who a person is.

`delivery/openid.py` sends the requests. No member of staff is created by a sign-in.
"""

from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.core.staff.member import Staff
from provider.errors import Unauthorized
from provider.storage import secrets

OPENID = "openid"  # purpose of a challenge, which is the `state` of the request
EXTENSION_KEY = "openid_client"  # of the app: a function from the services to a client


@dataclass(frozen=True)
class OpenIdRequest:
    """The values that bind an answer to the request. `state` finds the challenge.

    The nonce and the PKCE verifier come from the browser's cookie, so no table has them.
    """

    state: str
    nonce: str
    code_verifier: str
    redirect_uri: str

    @classmethod
    def of_browser(cls, state: str, browser_token: str, redirect_uri: str) -> "OpenIdRequest":
        nonce, verifier = (
            secrets.sha256_digest(f"openid {name} {browser_token}").hex()
            for name in ("nonce", "verifier")
        )
        return cls(state, nonce, verifier, redirect_uri)


@dataclass(frozen=True)
class Identity:
    """A person as the issuer knows her."""

    email: str
    is_email_verified: bool


class OpenIdClient(Protocol):
    """The requests to an issuer. Unavailable if it does not answer, Unauthorized if it refuses."""

    def authorize_url(self, request: OpenIdRequest) -> str:
        """Return the address of the issuer's sign-in page."""

    def identify(self, request: OpenIdRequest, code: str, issuer: str) -> Identity:
        """Return the person for a code. `issuer` is what the answer names, perhaps nothing."""


def find_person(session: Session, identity: Identity) -> Staff:
    """Return the member of staff with an identity's address. Raises Unauthorized."""
    if not identity.is_email_verified:
        raise Unauthorized(
            "Your company’s sign-in does not say that your e-mail address is verified. Ask its "
            "administrator"
        )
    query = select(Staff).where(
        Staff.email == identity.email.strip().casefold(), Staff.disabled_at.is_(None)
    )
    staff = session.scalar(query)
    if staff is None:
        raise Unauthorized("Your e-mail address is not on the staff. Ask for an invitation")
    return staff
