"""Signing in to a mail server: with a password, or by OAuth with a token that changes."""

import os
import smtplib
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from provider.core.text_cleaning import clean_line

TOKEN_COMMAND_TIMEOUT_SECONDS = 10
MAX_TOKEN_LENGTH = 16_384  # characters
PASSWORD_METHODS = ("CRAM-MD5", "PLAIN", "LOGIN")  # of smtplib
OAUTH_METHOD = "XOAUTH2"


class SignInImpossible(Exception):
    """There is no token, or no method that both sides have; the text tells the staff what to do."""


@dataclass(frozen=True)
class TokenSource:
    """Where an OAuth token comes from: the output of a command, or a file that a job rewrites."""

    command: Sequence[str] = ()
    file: Path | None = None

    def read(self) -> str:
        token = self._run_command() if self.command else self._read_file()
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise SignInImpossible(f"{self.setting} gives no token: it should be one line")
        return token

    @property
    def setting(self) -> str:
        return "PROVIDER_MAIL_TOKEN_COMMAND" if self.command else "PROVIDER_MAIL_TOKEN_FILE"

    def _run_command(self) -> str:
        # The command needs none of our secrets.
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("PROVIDER_")
        }
        try:
            finished = subprocess.run(  # noqa: S603  (the operator's own command)
                self.command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=environment,
                timeout=TOKEN_COMMAND_TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise SignInImpossible(
                f"The command in {self.setting} took longer than "
                f"{TOKEN_COMMAND_TIMEOUT_SECONDS} seconds"
            ) from None
        except OSError as error:
            raise SignInImpossible(
                f"The command in {self.setting} does not start: {error.strerror}"
            ) from None
        if finished.returncode:
            # Its error output may contain a secret, so it is not shown.
            raise SignInImpossible(
                f"The command in {self.setting} failed with exit code {finished.returncode}"
            )
        return finished.stdout[:MAX_TOKEN_LENGTH].decode("utf-8", "replace").strip()

    def _read_file(self) -> str:
        assert self.file
        try:
            with self.file.open(encoding="utf-8", errors="replace") as file:
                return file.read(MAX_TOKEN_LENGTH).strip()
        except OSError as error:
            raise SignInImpossible(
                f"The file in {self.setting} cannot be read: {error.strerror}"
            ) from None


def sign_in(
    server: smtplib.SMTP, user: str, password: str, token_source: TokenSource | None
) -> None:
    """Sign in; SignInImpossible, SMTPAuthenticationError or another error of smtplib."""
    offered = server.esmtp_features.get("auth", "").upper().split()
    if token_source:
        _require_method(offered, (OAUTH_METHOD,))
        _sign_in_by_token(server, user, token_source)
    else:
        _require_method(offered, PASSWORD_METHODS)
        server.login(user, password)


def _sign_in_by_token(server: smtplib.SMTP, user: str, token_source: TokenSource) -> None:
    token = token_source.read()
    try:
        _send_token(server, user, token)
    except smtplib.SMTPAuthenticationError:
        # The token may have ended between its reading and now.
        newer_token = token_source.read()
        if newer_token == token:
            raise
        _send_token(server, user, newer_token)


def _send_token(server: smtplib.SMTP, user: str, token: str) -> None:
    """Send a token as https://developers.google.com/workspace/gmail/imap/xoauth2-protocol says."""

    def respond(challenge: bytes | None = None) -> str:
        # A challenge with content explains a refusal: an empty line fetches the reply to it.
        return "" if challenge else f"user={user}\x01auth=Bearer {token}\x01\x01"

    server.auth(OAUTH_METHOD, respond)


def _require_method(offered: Sequence[str], known: Sequence[str]) -> None:
    if set(offered) & set(known):
        return
    if not offered:
        raise SignInImpossible(
            "it offers no sign-in on this connection: write smtp+tls:// or smtps:// in "
            "PROVIDER_MAIL_URL, or leave the user out"
        )
    methods = clean_line(" ".join(offered))[:200]
    if OAUTH_METHOD in offered:
        advice = "set PROVIDER_MAIL_TOKEN_COMMAND or PROVIDER_MAIL_TOKEN_FILE"
    elif set(offered) & set(PASSWORD_METHODS):
        advice = "write a password into PROVIDER_MAIL_URL, and unset the token's setting"
    else:
        advice = f"this program has {', '.join(PASSWORD_METHODS)} and {OAUTH_METHOD}"
    raise SignInImpossible(f"it offers only {methods} to sign in: {advice}")
