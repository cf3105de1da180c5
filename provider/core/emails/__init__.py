"""Letters to candidates: written once as RFC 5322 bytes, then handed to a mail server."""

import os
import re
import secrets
import smtplib
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email import message_from_string, policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import parseaddr
from functools import cache
from pathlib import Path
from typing import Any
from unicodedata import category
from urllib.parse import SplitResult, unquote, urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from provider.core import labels
from provider.core.markdown import markdown_to_text, render_markdown
from provider.core.orders import Order
from provider.storage.fsync import fsync_path, make_folder

TEMPLATES_FOLDER = Path(__file__).parent / "templates"
SMTP_TIMEOUT_SECONDS = 10.0  # seconds that each step of the mail server's may take
DEFAULT_PORTS = {"smtp": 25, "smtp+tls": 587, "smtps": 465}
# Cut in the headers only: no mail program shows more of them, and the letter itself has it all.
MAX_SUBJECT_LENGTH = 140
MAX_SENDER_NAME_LENGTH = 60

UNDISCLOSED_RECIPIENTS = (
    "undisclosed-recipients:;"  # RFC 5322's way to write a letter that has no address
)
_LOCAL_PART = re.compile(r"""(?!.*=\?)[^\s\x00-\x1f\x7f-\x9f()<>\[\]:;@\\,"]{1,64}""")
_DOMAIN = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")

SendResult = tuple[str, int | None, str]


@dataclass(frozen=True)
class KindTexts:
    """What a kind of order is called in a letter, and what it asks of the candidate."""

    noun: str
    request_phrase: str
    button_label: str
    reassurance: str


KIND_TEXTS = {
    "assessment": KindTexts(
        "test",
        "invites you to take a test",
        "See the test",
        "The time runs only from the moment you choose to begin. Looking first is safe.",
    ),
    "interview": KindTexts(
        "video interview",
        "invites you to a video interview",
        "See the interview",
        "Nothing is recorded before you choose to begin. Looking first is safe.",
    ),
    "check": KindTexts(
        "background check",
        "asks for your consent to a background check",
        "See what is checked",
        "Nothing is checked before you have given your consent. Looking first is safe.",
    ),
}
# The letters there are and their subjects; the rest of each is in templates/mail, as text and HTML.
EMAIL_SUBJECTS = {
    "invitation": "{{ company }}: your {{ asked.noun }}{% if job %} for {{ job }}{% endif %}",
    "consent": "{{ company }}: your copy of what you agreed to",
}


def render_email(
    template: str,
    order: Order,
    *,
    url: str,
    sender: str,
    message_id: str,
    now: datetime,
    kind_context: Mapping[str, Any] | None = None,
) -> bytes:
    """Return one of LETTERS to an order's candidate, text and HTML, as RFC 5322 bytes.

    `aside` is what only the order's kind has to say.
    """
    said = {**_template_context(order, url), **(kind_context or {})}
    subject = _template_environment().from_string(EMAIL_SUBJECTS[template]).render(said)
    message = EmailMessage(policy=policy.SMTP)
    # The candidate's name is in the letter; in the address it could only do harm.
    message["To"] = _header_address(order.candidate.email) or UNDISCLOSED_RECIPIENTS
    message["From"] = _header_address(
        parseaddr(sender)[1], _truncate(said["company"], MAX_SENDER_NAME_LENGTH)
    )
    message["Subject"] = _truncate(subject, MAX_SUBJECT_LENGTH)
    message["Date"] = now
    message["Message-ID"] = f"<{message_id}@{message['From'].addresses[0].domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence need be told
    text, html = (
        _template_environment().get_template(f"{template}.{kind}") for kind in ("txt", "html")
    )
    message.set_content(text.render(said), cte="quoted-printable")
    message.add_alternative(html.render(said), subtype="html", cte="quoted-printable")
    international = not str(message["To"]).isascii()
    return message.as_bytes(policy=policy.SMTPUTF8 if international else policy.SMTP)


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


def _template_context(order: Order, url: str) -> dict[str, Any]:
    """Return what the letters' templates may say; every text is on one line."""
    return {
        "company": _to_one_line(order.account.display_name),
        "name": _to_one_line(order.candidate.first_name),
        "job": _to_one_line(order.job_title),
        "product": _to_one_line(order.product.name),
        "asked": KIND_TEXTS[order.kind],
        "lasts": labels.format_duration(order.duration_seconds) if order.duration_seconds else None,
        "until": labels.format_datetime(order.expires_at, order.account.timezone),
        "zone": order.account.timezone,
        "url": url,
    }


def _to_one_line(text: str) -> str:
    """Return text on one line, without what could end a header."""
    ends = ("Cc", "Cs", "Zl", "Zp")  # controls, half characters, separators of lines
    return " ".join("".join(" " if category(char) in ends else char for char in text).split())


def _truncate(text: str, max_length: int) -> str:
    return text if len(text) <= max_length else text[: max_length - 1].rstrip() + "…"


def _header_address(address: str, name: str = "") -> Address | None:
    """Return a header's address, its domain in letters that all servers know; None if it is none.

    What the library would read as something else, or stumble over, is not let through to it.
    """
    user, _, domain = address.rpartition("@")
    user = user.strip('"')  # put back where they are needed
    with suppress(UnicodeError):
        domain = domain.encode("idna").decode()
    if not _LOCAL_PART.fullmatch(user) or not _DOMAIN.fullmatch(domain):
        return None
    return Address(name, user, domain)


@cache
def _template_environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES_FOLDER),
        autoescape=select_autoescape(("html",), default_for_string=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        when=labels.format_datetime, markdown=render_markdown, plain=markdown_to_text
    )
    return made


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
        f"The mail server says {code} {_to_one_line(text)}",
    )


def _connection_error_text(error: Exception, server_url: SplitResult) -> str:
    where = f"the mail server at {server_url.hostname}"
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return (
            f"What PROVIDER_MAIL_URL asks for, {where} does not offer: {_to_one_line(str(error))}"
        )
    if isinstance(error, ssl.SSLError):
        return f"There is no trusted connection to {where}: {error.reason or type(error).__name__}"
    if isinstance(error, TimeoutError):
        return f"There was no answer in time from {where}"
    return f"There was no connection to {where} ({type(error).__name__})"
