"""Sending an e-mail: to a mail server, or into a folder when no mail server is set."""

import os
import secrets
import smtplib
import ssl
from contextlib import suppress
from email import message_from_string, policy
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from provider.core.text_cleaning import clean_line
from provider.delivery.smtp_replies import Stage, Verdict, classify_reply
from provider.delivery.smtp_sign_in import SignInImpossible, TokenSource, sign_in
from provider.outbox import hide_secrets
from provider.storage.fsync import fsync_path, make_folder

SMTP_TIMEOUT_SECONDS = 10.0  # per socket operation
DEFAULT_PORTS = {"smtp": 25, "smtp+tls": 587, "smtps": 465}


class SendResult(NamedTuple):
    """The verdict, the server's code, and a text for the staff without secrets."""

    verdict: Verdict
    code: int | None
    text: str


def send_email(
    message_bytes: bytes,
    *,
    url: str | None,
    folder: Path,
    name: str,
    token_source: TokenSource | None = None,
) -> SendResult:
    """Send an e-mail to the mail server at `url`, or without one write `folder/name.eml`."""
    if url is None:
        return _save_to_folder(message_bytes, folder, name)
    server_url = urlsplit(url)
    try:
        return _send_by_smtp(message_bytes, server_url, token_source)
    except smtplib.SMTPAuthenticationError as error:
        result = _result_from_reply(Stage.SESSION, error.smtp_code, error.smtp_error, server_url)
        credentials = "the token" if token_source else "the password"
        return result._replace(
            text=f"{result.text} (it refuses the user in PROVIDER_MAIL_URL, or {credentials})"
        )
    except SignInImpossible as error:
        text = f"No sign-in to the mail server at {server_url.hostname}: {error}"
        return SendResult(Verdict.SERVER_TROUBLE, None, text)
    except smtplib.SMTPRecipientsRefused as error:
        ((recipient, reply),) = error.recipients.items()
        return _result_from_reply(Stage.RECIPIENT, *reply, server_url, recipient)
    except smtplib.SMTPDataError as error:
        return _result_from_reply(Stage.CONTENT, error.smtp_code, error.smtp_error, server_url)
    except smtplib.SMTPSenderRefused as error:
        return _result_from_reply(Stage.SENDER, error.smtp_code, error.smtp_error, server_url)
    except smtplib.SMTPResponseException as error:
        return _result_from_reply(Stage.SESSION, error.smtp_code, error.smtp_error, server_url)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        return SendResult(Verdict.NO_ANSWER, None, _connection_error_text(error, server_url))


def _save_to_folder(message_bytes: bytes, folder: Path, name: str) -> SendResult:
    """Write a file that only its owner can read: whole or not at all, also after a power loss."""
    make_folder(folder)
    temporary_file = folder / f".{name}.{secrets.token_hex(4)}"
    try:
        with os.fdopen(
            os.open(temporary_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"
        ) as file:
            file.write(message_bytes)
            file.flush()
            os.fsync(file.fileno())
        temporary_file.replace(folder / f"{name}.eml")
    finally:
        temporary_file.unlink(missing_ok=True)
    # The parent too: another thread may have created the folder without syncing it yet.
    for changed_folder in (folder, folder.parent):
        fsync_path(changed_folder)
    return SendResult(
        Verdict.DELIVERED, None, "Saved in the instance folder: no mail server is set"
    )


def _send_by_smtp(
    message_bytes: bytes, server_url: SplitResult, token_source: TokenSource | None
) -> SendResult:
    message = message_from_string(message_bytes.decode(), policy=policy.SMTPUTF8)
    sender, *_ = (address.addr_spec for address in message["From"].addresses)
    recipient = "".join(address.addr_spec for address in message["To"].addresses)
    if not recipient:
        text = "The candidate's e-mail address is not valid"
        return SendResult(Verdict.ADDRESS_REFUSED, None, text)
    server = _connect(server_url, sender.rpartition("@")[2], token_source)
    try:
        if not recipient.isascii() and not server.has_extn("smtputf8"):
            text = "The mail server does not support addresses with non-ASCII characters"
            return SendResult(Verdict.ADDRESS_REFUSED, None, text)
        options = [] if recipient.isascii() else ["SMTPUTF8", "BODY=8BITMIME"]
        server.sendmail(sender, [recipient], message_bytes, options)
        # The e-mail is sent. An error in QUIT must not cause a second one.
        with suppress(OSError, smtplib.SMTPException):
            server.quit()
    finally:
        server.close()
    return SendResult(Verdict.DELIVERED, 250, "The mail server accepted the e-mail")


def _connect(
    server_url: SplitResult, local_hostname: str, token_source: TokenSource | None
) -> smtplib.SMTP:
    # Without `local_hostname` smtplib would look up this machine's name in the DNS.
    host = server_url.hostname or ""
    port = server_url.port or DEFAULT_PORTS[server_url.scheme]
    if server_url.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            host,
            port,
            local_hostname,
            timeout=SMTP_TIMEOUT_SECONDS,
            context=ssl.create_default_context(),
        )
    else:
        server = smtplib.SMTP(host, port, local_hostname, timeout=SMTP_TIMEOUT_SECONDS)
    try:
        if server_url.scheme == "smtp+tls":
            server.starttls(context=ssl.create_default_context())
        server.ehlo_or_helo_if_needed()
        if server_url.username:
            user, password = unquote(server_url.username), unquote(server_url.password or "")
            sign_in(server, user, password, token_source)
    except BaseException:
        server.close()
        raise
    return server


def _result_from_reply(
    stage: Stage, code: int, reply: bytes | str, server_url: SplitResult, recipient: str = ""
) -> SendResult:
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    verdict = classify_reply(stage, code, text)
    known = [part for part in (server_url.username, server_url.password) if part]
    known += map(unquote, tuple(known))
    if verdict == Verdict.SERVER_TROUBLE:  # it becomes the reason of a pause, which is logged
        known.append(recipient)
    text = clean_line(hide_secrets(text, known))
    return SendResult(verdict, code, f"The mail server answers {code} {text}")


def _connection_error_text(error: Exception, server_url: SplitResult) -> str:
    server = f"the mail server at {server_url.hostname}"
    if isinstance(error, smtplib.SMTPNotSupportedError):
        detail = clean_line(str(error))
        return f"PROVIDER_MAIL_URL asks for more than {server} supports: {detail}"
    if isinstance(error, ssl.SSLError):
        return f"There is no trusted connection to {server}: {error.reason or type(error).__name__}"
    if isinstance(error, TimeoutError):
        return f"There was no answer in time from {server}"
    return f"There was no connection to {server} ({type(error).__name__})"
