"""Sending an e-mail: to a mail server, or into a folder where no mail server is set."""

import os
import secrets
import smtplib
import ssl
from contextlib import suppress
from email import message_from_string, policy
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from provider.core.emails import to_one_line
from provider.storage.fsync import fsync_path, make_folder

SMTP_TIMEOUT_SECONDS = 10.0  # seconds that each step of the mail server's may take
DEFAULT_PORTS = {"smtp": 25, "smtp+tls": 587, "smtps": 465}

SendResult = tuple[str, int | None, str]


def send_email(message_bytes: bytes, *, url: str | None, folder: Path, name: str) -> SendResult:
    """Hand a letter to the mail server at `url`, or without one keep it as `folder/name.eml`.

    Returns a word (done, again, never), the server's code, and what to tell the staff, without
    secrets. Only what is said of this very letter or its address can be `never`.
    """
    if url is None:
        return _save_to_folder(message_bytes, folder, name)
    to = urlsplit(url)
    try:
        return _send_by_smtp(message_bytes, to)
    except smtplib.SMTPAuthenticationError as error:
        said = "The mail server refuses the user or the password in PROVIDER_MAIL_URL"
        return "retry", error.smtp_code, said
    except smtplib.SMTPRecipientsRefused as refused:
        return _result_from_response(*next(iter(refused.recipients.values())), to)
    except (smtplib.SMTPSenderRefused, smtplib.SMTPConnectError, smtplib.SMTPHeloError) as error:
        _, code, said = _result_from_response(error.smtp_code, error.smtp_error, to)
        return "retry", code, said
    except smtplib.SMTPResponseException as error:
        return _result_from_response(error.smtp_code, error.smtp_error, to)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        return "retry", None, _connection_error_text(error, to)


def _save_to_folder(message_bytes: bytes, folder: Path, name: str) -> SendResult:
    """Write a letter for its owner's eyes, whole or not at all, to outlive a power loss."""
    make_folder(folder)
    draft = folder / f".{name}.{secrets.token_hex(4)}"
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(message_bytes)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(folder / f"{name}.eml")
    finally:
        draft.unlink(missing_ok=True)
    for each in (folder, folder.parent):  # both, for another letter may have made the folder
        fsync_path(each)
    return "delivered", None, "Kept in the instance folder: no mail server is set"


def _send_by_smtp(message_bytes: bytes, server_url: SplitResult) -> SendResult:
    letter = message_from_string(message_bytes.decode(), policy=policy.SMTPUTF8)
    sender, *_ = (address.addr_spec for address in letter["From"].addresses)
    recipient = "".join(address.addr_spec for address in letter["To"].addresses)
    if not recipient:
        return "rejected", None, "The candidate's e-mail address is not one that a letter can go to"
    server = _connect(server_url, sender.rpartition("@")[2])
    try:
        if not recipient.isascii() and not server.has_extn("smtputf8"):
            return "rejected", None, "The mail server cannot carry an address in this script"
        options = [] if recipient.isascii() else ["SMTPUTF8", "BODY=8BITMIME"]
        server.sendmail(sender, [recipient], message_bytes, options)
        # It is sent, whatever happens to the farewell: nobody should get it twice.
        with suppress(OSError, smtplib.SMTPException):
            server.quit()
    finally:
        server.close()
    return "delivered", 250, "The mail server took it"


def _connect(server_url: SplitResult, local_hostname: str) -> smtplib.SMTP:
    # Our own name is given, for the library would ask the DNS for it.
    host, port, trusted = (
        server_url.hostname or "",
        server_url.port or DEFAULT_PORTS[server_url.scheme],
        ssl.create_default_context,
    )
    if server_url.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            host, port, local_hostname, timeout=SMTP_TIMEOUT_SECONDS, context=trusted()
        )
    else:
        server = smtplib.SMTP(host, port, local_hostname, timeout=SMTP_TIMEOUT_SECONDS)
    try:
        if server_url.scheme == "smtp+tls":
            server.starttls(context=trusted())
        server.ehlo_or_helo_if_needed()
        if server_url.username:
            server.login(unquote(server_url.username), unquote(server_url.password or ""))
    except BaseException:
        server.close()
        raise
    return server


def _result_from_response(code: int, response: bytes | str, server_url: SplitResult) -> SendResult:
    text = response.decode("utf-8", "replace") if isinstance(response, bytes) else response
    for secret in filter(None, (server_url.username, server_url.password)):
        text = text.replace(unquote(secret), "…").replace(secret, "…")
    return (
        "rejected" if code >= 500 else "retry",
        code,
        f"The mail server says {code} {to_one_line(text)}",
    )


def _connection_error_text(error: Exception, server_url: SplitResult) -> str:
    where = f"the mail server at {server_url.hostname}"
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return f"What PROVIDER_MAIL_URL asks for, {where} does not offer: {to_one_line(str(error))}"
    if isinstance(error, ssl.SSLError):
        return f"There is no trusted connection to {where}: {error.reason or type(error).__name__}"
    if isinstance(error, TimeoutError):
        return f"There was no answer in time from {where}"
    return f"There was no connection to {where} ({type(error).__name__})"
