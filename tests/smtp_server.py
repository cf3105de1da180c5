"""A real SMTP server on loopback that keeps e-mails and fails on demand."""

import base64
import ssl
import threading
from collections import deque
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.factories import present

SMTP_USER, SMTP_PASSWORD = "mailer@provider.test", "p@ss/word: 1"


class SmtpServer:
    """Accepts e-mails, or answers RCPT and DATA with the next of the replies given to it."""

    def __init__(self, **options: Any) -> None:
        self.rcpt_replies: deque[str] = deque()
        self.data_replies: deque[str] = deque()
        self.envelopes: list[Envelope] = []
        self.options: list[list[str]] = []
        self._condition = threading.Condition()
        self._controller = _FreePortController(self, hostname="127.0.0.1", port=0, **options)

    def __enter__(self) -> Self:
        self._controller.start()
        self.port = self._controller.port
        self.url = f"smtp://127.0.0.1:{self.port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    @property
    def emails(self) -> list[EmailMessage]:
        """Return the received e-mails, parsed."""
        contents = [envelope.original_content or b"" for envelope in self.envelopes]
        return [message_from_bytes(content, policy=policy.SMTPUTF8) for content in contents]

    def wait_for(self, count: int, timeout: float = 10.0) -> list[EmailMessage]:
        """Return the e-mails once `count` have arrived; fail after `timeout` seconds."""
        with self._condition:
            arrived = self._condition.wait_for(lambda: len(self.envelopes) >= count, timeout)
            assert arrived, f"{len(self.envelopes)} of {count} e-mails arrived in {timeout} s"
        return self.emails

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.rcpt_replies:
            return self.rcpt_replies.popleft()
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.data_replies:
            return self.data_replies.popleft()
        with self._condition:
            self.envelopes.append(envelope)
            self._condition.notify_all()
        return "250 OK"


class OauthSmtpServer(SmtpServer):
    """Offers XOAUTH2 alone, and accepts one token."""

    def __init__(self, token: str, **options: Any) -> None:
        self.token = token
        self.tokens_seen: list[str] = []
        excluded = ["LOGIN", "PLAIN"]
        super().__init__(
            authenticator=authenticate,
            auth_exclude_mechanism=excluded,
            auth_require_tls=False,
            **options,
        )

    async def auth_XOAUTH2(self, server: SMTP, args: list[str]) -> AuthResult:
        user, _, token = base64.b64decode(args[1]).decode().partition("\x01auth=Bearer ")
        token = token.rstrip("\x01")
        self.tokens_seen.append(token)
        if (user, token) == (f"user={SMTP_USER}", self.token):
            return AuthResult(success=True, auth_data=user)
        # As Gmail does: an explanation first, and the refusal after the client's empty line.
        await server.challenge_auth('{"status":"400","schemes":"Bearer"}')
        return AuthResult(success=False, handled=False)


class _FreePortController(Controller):
    """Listens on any free port."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        super()._trigger_server()  # type: ignore[no-untyped-call]


def authenticate(
    server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
) -> AuthResult:
    """Accept SMTP_USER with SMTP_PASSWORD."""
    is_valid = (data.login.decode(), data.password.decode()) == (SMTP_USER, SMTP_PASSWORD)
    return AuthResult(success=is_valid, handled=False)


def create_certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Return a server's TLS context, and the file of the authority that signed its certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = present()  # the TLS library reads the machine's clock
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, no_encryption = serialization.Encoding.PEM, serialization.NoEncryption()
    key_file, certificate_file = folder / "key.pem", folder / "certificate.pem"
    key_file.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, no_encryption))
    certificate_file.write_bytes(certificate.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate_file, key_file)
    return context, certificate_file
