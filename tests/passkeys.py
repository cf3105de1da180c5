"""A device with passkeys in software, and a browser of the console behind https."""

import json
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from fido2.cose import ES256
from fido2.utils import websafe_decode, websafe_encode
from fido2.webauthn import (
    AttestationObject,
    AttestedCredentialData,
    AuthenticatorData,
    CollectedClientData,
    RegistrationResponse,
)
from werkzeug.test import TestResponse

from provider.core.staff import Staff
from provider.core.staff.webauthn import RelyingParty, read_answer
from provider.services import Services
from tests import factories
from tests.conftest import app_for
from tests.web.console_client import ConsoleClient

ORIGIN, HOST = "https://provider.test", "provider.test"
EMAIL, PASSWORD = "sam@provider.test", "correct horse battery"
ME = "/console/me/"
PRESENT, VERIFIED, ATTESTED = (
    AuthenticatorData.FLAG.UP,
    AuthenticatorData.FLAG.UV,
    AuthenticatorData.FLAG.AT,
)


@dataclass
class Device:
    """An authenticator in software, which can also misbehave."""

    host: str = HOST
    origin: str = ORIGIN
    flags: AuthenticatorData.FLAG = PRESENT | VERIFIED
    count: int = 0
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    credential_id: bytes = b"credential of a device"
    user_handle: bytes = b""

    def create(self, options: dict[str, Any]) -> str:
        self.user_handle = websafe_decode(options["user"]["id"])
        credential = AttestedCredentialData.create(
            bytes(16),
            self.credential_id,
            ES256.from_cryptography_key(self.key.public_key()),  # type: ignore[no-untyped-call]
        )
        data = AuthenticatorData.create(
            sha256(self.host.encode()).digest(), self.flags | ATTESTED, self.count, credential
        )
        client_data = self._client_data("webauthn.create", options)
        return self._answer(
            clientDataJSON=client_data, attestationObject=AttestationObject.create("none", data, {})
        )

    def get(self, options: dict[str, Any]) -> str:
        data = AuthenticatorData.create(sha256(self.host.encode()).digest(), self.flags, self.count)
        client_data = self._client_data("webauthn.get", options)
        signature = self.key.sign(data + client_data.hash, ec.ECDSA(SHA256()))
        return self._answer(
            clientDataJSON=client_data,
            authenticatorData=data,
            signature=signature,
            userHandle=self.user_handle,
        )

    def _client_data(self, act: str, options: dict[str, Any]) -> CollectedClientData:
        return CollectedClientData.create(act, options["challenge"], self.origin)

    def _answer(self, **response: bytes) -> str:
        credential_id = websafe_encode(self.credential_id)
        fields = {name: websafe_encode(value) for name, value in response.items()}
        return json.dumps(
            {
                "id": credential_id,
                "rawId": credential_id,
                "type": "public-key",
                "response": fields,
                "clientExtensionResults": {},
            }
        )


class PasskeyClient(ConsoleClient):
    """A browser of the console behind https."""

    def __init__(self, services: Services) -> None:
        settings = replace(services.settings, base_url=ORIGIN)
        super().__init__(app_for(replace(services, settings=settings), "https").test_client())

    def post(self, path: str, page: str, **form: str) -> TestResponse:
        token = factories.csrf_token(self.client.get(page, base_url=ORIGIN).text)
        headers = {"Referer": f"{ORIGIN}{page}"}
        data = {"csrf_token": token, **form}
        return self.client.post(path, data=data, base_url=ORIGIN, headers=headers)

    def text(self, path: str) -> str:
        return self.client.get(path, base_url=ORIGIN).text

    def sign_in_with_password(self) -> TestResponse:
        return self.post("/console/sign-in", "/console/sign-in", email=EMAIL, password=PASSWORD)

    def begin(self) -> dict[str, Any]:
        response = self.post("/console/sign-in/passkey/begin", "/console/sign-in")
        assert response.status_code == 200, response.text
        return dict(response.json or {})

    def finish(self, answer: str) -> TestResponse:
        return self.post("/console/sign-in/passkey", "/console/sign-in", credential=answer)

    def begin_adding(self, password: str) -> TestResponse:
        return self.post(f"{ME}passkeys/begin", ME, password=password, name="Laptop")

    def add(self, device: Device, password: str = PASSWORD, name: str = "Laptop") -> TestResponse:
        options = self.begin_adding(password).json
        assert options
        return self.post(f"{ME}passkeys", ME, credential=device.create(options), name=name)


def store_passkey(services: Services, device: Device, email: str = EMAIL) -> int:
    """Give a person the passkey of a device, and return its number."""
    party = RelyingParty(ORIGIN)
    with services.db.writing() as session:
        staff = Staff.get_by_email(session, email)
        options = dict(party.registration_options(staff, [], "a challenge of some length"))
        answer = read_answer(RegistrationResponse, device.create(options))
        passkey = party.register(session, staff, answer, "Laptop", services.now())
        session.flush()
        return passkey.id
