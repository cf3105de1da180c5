"""Signing in by OAuth, at a real server that offers XOAUTH2 alone."""

import sys
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import quote

import pytest

from provider.delivery import smtp
from provider.delivery.smtp_replies import Verdict
from provider.delivery.smtp_sign_in import TokenSource
from tests.smtp_server import SMTP_USER, OauthSmtpServer, SmtpServer, authenticate

TOKEN = "ya29.good-token"


def send(port: int, token_source: TokenSource | None, password: str = "") -> smtp.SendResult:
    message = EmailMessage()
    message["From"], message["To"] = "provider@example.com", "lakita@example.com"
    message.set_content("Hello")
    url = f"smtp://{quote(SMTP_USER)}{password and ':'}{password}@127.0.0.1:{port}"
    return smtp.send_email(
        message.as_bytes(), url=url, folder=Path("/nowhere"), name="m", token_source=token_source
    )


def python_command(code: str) -> TokenSource:
    return TokenSource(command=(sys.executable, "-c", code))


def test_sign_in_with_a_token_from_a_file_follows_its_changes(tmp_path: Path) -> None:
    file = tmp_path / "token"
    with OauthSmtpServer(TOKEN) as server:
        for token, verdict in (
            (TOKEN, Verdict.DELIVERED),
            ("expired", Verdict.SERVER_TROUBLE),
            (TOKEN, Verdict.DELIVERED),
        ):
            file.write_text(f"{token}\n")
            result = send(server.port, TokenSource(file=file))
            assert result.verdict == verdict, result
            assert token not in result.text
        assert server.tokens_seen == [TOKEN, "expired", TOKEN]
        assert len(server.envelopes) == 2


def test_sign_in_asks_the_command_again_after_a_refusal(tmp_path: Path) -> None:
    # The command prints another token at each run.
    code = f"import pathlib; p = pathlib.Path({str(tmp_path / 'runs')!r}); "
    code += "n = p.exists(); p.touch(); print('ya29.good-token' if n else 'expired')"
    with OauthSmtpServer(TOKEN) as server:
        assert send(server.port, python_command(code)).verdict == Verdict.DELIVERED
        assert server.tokens_seen == ["expired", TOKEN]


def test_sign_in_refused_token_shows_the_words_of_the_server() -> None:
    with OauthSmtpServer(TOKEN) as server:
        result = send(server.port, python_command("print('expired')"))
    assert (result.verdict, result.code) == (Verdict.SERVER_TROUBLE, 535)
    assert "535" in result.text
    assert "the token" in result.text


def test_token_command_gets_no_secrets_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVIDER_SECRET_KEY", "hush")
    source = python_command("import os; print(os.environ.get('PROVIDER_SECRET_KEY', 'none'))")
    assert source.read() == "none"


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (python_command("raise SystemExit(3)"), "failed with exit code 3"),
        (python_command("print('two words')"), "gives no token"),
        (python_command("print()"), "gives no token"),
        (TokenSource(command=("/no/such/program",)), "does not start: No such file"),
        (TokenSource(file=Path("/no/such/file")), "cannot be read: No such file"),
    ],
)
def test_sign_in_without_a_token_says_why(source: TokenSource, sentence: str) -> None:
    with OauthSmtpServer(TOKEN) as server:
        result = send(server.port, source)
    assert result.verdict == Verdict.SERVER_TROUBLE
    assert source.setting in result.text
    assert sentence in result.text


def test_sign_in_without_a_common_method_names_what_to_do() -> None:
    with OauthSmtpServer(TOKEN) as server:
        result = send(server.port, None, "secret")
    assert result == (
        Verdict.SERVER_TROUBLE,
        None,
        "No sign-in to the mail server at 127.0.0.1: it offers only XOAUTH2 to sign in: set "
        "PROVIDER_MAIL_TOKEN_COMMAND or PROVIDER_MAIL_TOKEN_FILE",
    )
    with SmtpServer(authenticator=authenticate, auth_require_tls=False) as password_server:
        result = send(password_server.port, python_command("print('token')"))
    assert "offers only LOGIN PLAIN to sign in: write a password" in result.text
    with SmtpServer() as plain_server:  # its sign-in needs TLS
        result = send(plain_server.port, None, "secret")
    assert "offers no sign-in on this connection: write smtp+tls://" in result.text
