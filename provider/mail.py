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

from provider import words
from provider.disk import make_folder, sync
from provider.orders import Order
from provider.text import markdown, plain

TEMPLATES = Path(__file__).parent / "templates" / "mail"
TIMEOUT = 10.0  # seconds that each step of the mail server's may take
PORTS = {"smtp": 25, "smtp+tls": 587, "smtps": 465}
# Cut in the headers only: no mail program shows more of them, and the letter itself has it all.
LONGEST_SUBJECT = 140
LONGEST_NAME = 60

NOBODY = "undisclosed-recipients:;"  # RFC 5322's way to write a letter that has no address
_USER = re.compile(r"""(?!.*=\?)[^\s\x00-\x1f\x7f-\x9f()<>\[\]:;@\\,"]{1,64}""")
_DOMAIN = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")

Sent = tuple[str, int | None, str]


@dataclass(frozen=True)
class Asked:
    """What a kind of order is called in a letter, and what it asks of the candidate."""

    noun: str
    asks: str
    button: str
    safe: str


ASKED = {
    "assessment": Asked(
        "test", "invites you to take a test", "See the test",
        "The time runs only from the moment you choose to begin. Looking first is safe.",
    ),
    "interview": Asked(
        "video interview", "invites you to a video interview", "See the interview",
        "Nothing is recorded before you choose to begin. Looking first is safe.",
    ),
    "check": Asked(
        "background check", "asks for your consent to a background check", "See what is checked",
        "Nothing is checked before you have given your consent. Looking first is safe.",
    ),
}  # fmt: skip
# The letters there are and their subjects; the rest of each is in templates/mail, as text and HTML.
LETTERS = {
    "invitation": "{{ company }}: your {{ asked.noun }}{% if job %} for {{ job }}{% endif %}",
    "consent": "{{ company }}: your copy of what you agreed to",
}


def write(
    letter: str,
    order: Order,
    *,
    url: str,
    sender: str,
    message_id: str,
    at: datetime,
    aside: Mapping[str, Any] | None = None,
) -> bytes:
    """Return one of LETTERS to an order's candidate, text and HTML, as RFC 5322 bytes.

    `aside` is what only the order's kind has to say.
    """
    said = {**_said(order, url), **(aside or {})}
    subject = _templates().from_string(LETTERS[letter]).render(said)
    message = EmailMessage(policy=policy.SMTP)
    # The candidate's name is in the letter; in the address it could only do harm.
    message["To"] = _address(order.candidate.email) or NOBODY
    message["From"] = _address(parseaddr(sender)[1], _short(said["company"], LONGEST_NAME))
    message["Subject"] = _short(subject, LONGEST_SUBJECT)
    message["Date"] = at
    message["Message-ID"] = f"<{message_id}@{message['From'].addresses[0].domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence need be told
    text, html = (_templates().get_template(f"{letter}.{kind}") for kind in ("txt", "html"))
    message.set_content(text.render(said), cte="quoted-printable")
    message.add_alternative(html.render(said), subtype="html", cte="quoted-printable")
    international = not str(message["To"]).isascii()
    return message.as_bytes(policy=policy.SMTPUTF8 if international else policy.SMTP)


def send(rendered: bytes, *, url: str | None, folder: Path, name: str) -> Sent:
    """Hand a letter to the mail server at `url`, or without one keep it as `folder/name.eml`.

    Returns a word (done, again, never), the server's code, and what to tell the staff, without
    secrets. Only what is said of this very letter or its address can be `never`.
    """
    if url is None:
        return _keep(rendered, folder, name)
    to = urlsplit(url)
    try:
        return _post(rendered, to)
    except smtplib.SMTPAuthenticationError as error:
        said = "The mail server refuses the user or the password in PROVIDER_MAIL_URL"
        return "again", error.smtp_code, said
    except smtplib.SMTPRecipientsRefused as refused:
        return _answered(*next(iter(refused.recipients.values())), to)
    except (smtplib.SMTPSenderRefused, smtplib.SMTPConnectError, smtplib.SMTPHeloError) as error:
        _, code, said = _answered(error.smtp_code, error.smtp_error, to)
        return "again", code, said
    except smtplib.SMTPResponseException as error:
        return _answered(error.smtp_code, error.smtp_error, to)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        return "again", None, _unreached(error, to)


def _said(order: Order, url: str) -> dict[str, Any]:
    """Return what the letters' templates may say; every text is on one line."""
    return {
        "company": _line(order.account.display_name),
        "name": _line(order.candidate.first_name),
        "job": _line(order.job_title),
        "product": _line(order.product.name),
        "asked": ASKED[order.kind],
        "lasts": words.duration(order.lasts) if order.lasts else None,
        "until": words.when(order.expires_at, order.account.timezone),
        "zone": order.account.timezone,
        "url": url,
    }


def _line(text: str) -> str:
    """Return text on one line, without what could end a header."""
    ends = ("Cc", "Cs", "Zl", "Zp")  # controls, half characters, separators of lines
    return " ".join("".join(" " if category(char) in ends else char for char in text).split())


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def _address(address: str, name: str = "") -> Address | None:
    """Return a header's address, its domain in letters that all servers know; None if it is none.

    What the library would read as something else, or stumble over, is not let through to it.
    """
    user, _, domain = address.rpartition("@")
    user = user.strip('"')  # put back where they are needed
    with suppress(UnicodeError):
        domain = domain.encode("idna").decode()
    if not _USER.fullmatch(user) or not _DOMAIN.fullmatch(domain):
        return None
    return Address(name, user, domain)


@cache
def _templates() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(("html",), default_for_string=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(when=words.when, markdown=markdown, plain=plain)
    return made


def _keep(rendered: bytes, folder: Path, name: str) -> Sent:
    """Write a letter for its owner's eyes, whole or not at all, to outlive a power loss."""
    make_folder(folder)
    draft = folder / f".{name}.{secrets.token_hex(4)}"
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(rendered)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(folder / f"{name}.eml")
    finally:
        draft.unlink(missing_ok=True)
    for each in (folder, folder.parent):  # both, for another letter may have made the folder
        sync(each)
    return "done", None, "Kept in the instance folder: no mail server is set"


def _post(rendered: bytes, to: SplitResult) -> Sent:
    letter = message_from_string(rendered.decode(), policy=policy.SMTPUTF8)
    sender, *_ = (address.addr_spec for address in letter["From"].addresses)
    recipient = "".join(address.addr_spec for address in letter["To"].addresses)
    if not recipient:
        return "never", None, "The candidate's e-mail address is not one that a letter can go to"
    server = _connected(to, sender.rpartition("@")[2])
    try:
        if not recipient.isascii() and not server.has_extn("smtputf8"):
            return "never", None, "The mail server cannot carry an address in this script"
        options = [] if recipient.isascii() else ["SMTPUTF8", "BODY=8BITMIME"]
        server.sendmail(sender, [recipient], rendered, options)
        # It is sent, whatever happens to the farewell: nobody should get it twice.
        with suppress(OSError, smtplib.SMTPException):
            server.quit()
    finally:
        server.close()
    return "done", 250, "The mail server took it"


def _connected(to: SplitResult, own: str) -> smtplib.SMTP:
    # Our own name is given, for the library would ask the DNS for it.
    host, port, trusted = to.hostname or "", to.port or PORTS[to.scheme], ssl.create_default_context
    if to.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, own, timeout=TIMEOUT, context=trusted())
    else:
        server = smtplib.SMTP(host, port, own, timeout=TIMEOUT)
    try:
        if to.scheme == "smtp+tls":
            server.starttls(context=trusted())
        server.ehlo_or_helo_if_needed()
        if to.username:
            server.login(unquote(to.username), unquote(to.password or ""))
    except BaseException:
        server.close()
        raise
    return server


def _answered(code: int, answer: bytes | str, to: SplitResult) -> Sent:
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    for secret in filter(None, (to.username, to.password)):
        text = text.replace(unquote(secret), "…").replace(secret, "…")
    return "never" if code >= 500 else "again", code, f"The mail server says {code} {_line(text)}"


def _unreached(error: Exception, to: SplitResult) -> str:
    where = f"the mail server at {to.hostname}"
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return f"What PROVIDER_MAIL_URL asks for, {where} does not offer: {_line(str(error))}"
    if isinstance(error, ssl.SSLError):
        return f"There is no trusted connection to {where}: {error.reason or type(error).__name__}"
    if isinstance(error, TimeoutError):
        return f"There was no answer in time from {where}"
    return f"There was no connection to {where} ({type(error).__name__})"
