"""Passkeys (WebAuthn): a device verifies its person, then signs a challenge of this server.

A passkey counts as both factors, so user verification is always required. The device finds the
passkey by itself: a person types no e-mail address.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

from fido2.server import Fido2Server
from fido2.utils import websafe_encode
from fido2.webauthn import (
    AttestationConveyancePreference,
    AttestedCredentialData,
    AuthenticationResponse,
    PublicKeyCredentialRpEntity,
    PublicKeyCredentialUserEntity,
    RegistrationResponse,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)
from sqlalchemy import and_, literal, or_, update
from sqlalchemy.orm import Session

from provider.core.networks import parse_address
from provider.core.staff.member import Staff
from provider.core.staff.passkey import (
    MAX_NAME_LENGTH,
    Passkey,
    find_by_credential,
    list_passkeys,
)
from provider.errors import Conflict, Invalid, Unauthorized
from provider.storage.database import acquire_advisory_lock

REGISTRATION, SIGN_IN = "register", "passkey"  # purposes of challenges
RELYING_PARTY_NAME = "Provider console"
MAX_PASSKEYS = 20  # of one person
REFUSED_MESSAGE = "This passkey was not accepted. Try again, or sign in with your password"
NOT_REGISTERED_MESSAGE = "The browser’s answer is not right. Add the passkey again"
COPIED_MESSAGE = "This passkey may have been copied. Sign in with your password, and remove it"

Options = Mapping[str, Any]
AnswerT = TypeVar("AnswerT", RegistrationResponse, AuthenticationResponse)


class RelyingParty:
    """This server as a device knows it: the origin and the host of the base URL."""

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        self.host = parts.hostname or ""
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._is_secure = parts.scheme == "https" or self.host == "localhost"

    @property
    def is_usable(self) -> bool:
        """Whether browsers have passkeys for this address: a secure one, and a name."""
        return self._is_secure and parse_address(self.host) is None

    def registration_options(
        self, staff: Staff, passkeys: Sequence[Passkey], challenge: str
    ) -> Options:
        """Return the options for `navigator.credentials.create`, as JSON."""
        options, _ = self._server().register_begin(
            PublicKeyCredentialUserEntity(
                id=_user_handle(staff), name=staff.email, display_name=staff.email
            ),
            [AttestedCredentialData(passkey.credential_data) for passkey in passkeys],
            resident_key_requirement=ResidentKeyRequirement.REQUIRED,
            user_verification=UserVerificationRequirement.REQUIRED,
            challenge=challenge.encode(),
        )
        public_key: Options = dict(options)["publicKey"]
        return public_key

    def sign_in_options(self, challenge: str) -> Options:
        """Return the options for `navigator.credentials.get`, as JSON."""
        options, _ = self._server().authenticate_begin(
            user_verification=UserVerificationRequirement.REQUIRED, challenge=challenge.encode()
        )
        public_key: Options = dict(options)["publicKey"]
        return public_key

    def register(
        self,
        session: Session,
        staff: Staff,
        answer: RegistrationResponse,
        name: str,
        now: datetime,
    ) -> Passkey:
        """Add the passkey of an answer whose challenge was good. Raises Invalid, Conflict."""
        name = " ".join(name.split())
        if not 0 < len(name) <= MAX_NAME_LENGTH or not name.isprintable():
            raise Invalid(f"The name should have 1 to {MAX_NAME_LENGTH} characters")
        try:
            data = self._server().register_complete(_state(answer), answer)
        except Exception as error:  # the library reads a stranger's bytes
            raise Invalid(NOT_REGISTERED_MESSAGE) from error
        credential = data.credential_data
        if credential is None:
            raise Invalid(NOT_REGISTERED_MESSAGE)
        acquire_advisory_lock(session, "staff passkeys")
        if len(list_passkeys(session, staff)) >= MAX_PASSKEYS:
            raise Conflict(f"You have {MAX_PASSKEYS} passkeys: remove one first")
        if find_by_credential(session, credential.credential_id):
            raise Conflict("This passkey is registered already")
        passkey = Passkey(
            staff=staff,
            credential_id=credential.credential_id,
            credential_data=bytes(credential),
            sign_count=data.counter,
            name=name,
            created_at=now,
        )
        session.add(passkey)
        return passkey

    def verify(self, session: Session, answer: AuthenticationResponse, now: datetime) -> Staff:
        """Return the person of an answer whose challenge was good. Raises Unauthorized."""
        passkey = find_by_credential(session, answer.raw_id)
        if passkey is None or passkey.staff.disabled_at:
            raise Unauthorized(REFUSED_MESSAGE)
        try:
            credential = AttestedCredentialData(passkey.credential_data)
            self._server().authenticate_complete(_state(answer), [credential], answer)
        except Exception as error:  # the library reads a stranger's bytes
            raise Unauthorized(REFUSED_MESSAGE) from error
        if answer.response.user_handle not in (None, _user_handle(passkey.staff)):
            raise Unauthorized(REFUSED_MESSAGE)
        _raise_count(session, passkey, answer.response.authenticator_data.counter, now)
        return passkey.staff

    def _server(self) -> Fido2Server:
        return Fido2Server(
            PublicKeyCredentialRpEntity(name=RELYING_PARTY_NAME, id=self.host),
            attestation=AttestationConveyancePreference.NONE,
            verify_origin=self._origin.__eq__,
        )


def read_answer(answer_type: type[AnswerT], text: str) -> AnswerT:
    """Return a browser's answer, which nobody has verified. Raises Invalid."""
    try:
        answer: AnswerT = answer_type.from_dict(dict(json.loads(text)))
    except Exception as error:  # the library reads a stranger's bytes
        raise Invalid("The browser’s answer cannot be read. Try again") from error
    return answer


def challenge_of(answer: RegistrationResponse | AuthenticationResponse) -> str:
    """Return the challenge that an answer is for. Its digest finds it."""
    return answer.response.client_data.challenge.decode("ascii", "replace")


def owner_of(session: Session, answer: AuthenticationResponse) -> str:
    """Return the e-mail address of a passkey's person for the audit log; empty if unknown."""
    passkey = find_by_credential(session, answer.raw_id)
    return passkey.staff.email if passkey else ""


def _state(answer: RegistrationResponse | AuthenticationResponse) -> Mapping[str, Any]:
    """Return what the library compares an answer with; the caller has used the challenge."""
    return {
        "challenge": websafe_encode(answer.response.client_data.challenge),
        "user_verification": UserVerificationRequirement.REQUIRED,
    }


def _raise_count(session: Session, passkey: Passkey, count: int, now: datetime) -> None:
    """Store the device's counter; Unauthorized if it did not grow: the passkey was copied.

    A device without a counter always sends zero. By a conditional UPDATE: of two requests with the
    same count one is accepted.
    """
    has_grown = or_(Passkey.sign_count < count, and_(Passkey.sign_count == 0, literal(count) == 0))
    accepted = (
        update(Passkey)
        .where(Passkey.id == passkey.id, has_grown)
        .values(sign_count=count, last_used_at=now)
        .returning(Passkey.id)
    )
    if session.scalar(accepted) is None:
        raise Unauthorized(COPIED_MESSAGE)


def _user_handle(staff: Staff) -> bytes:
    return f"staff/{staff.id}".encode()
