"""E-mails as RFC 5322 bytes: headers, a text part and an HTML part."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email import policy
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import parseaddr

from provider.core.email_address import mend_address, split_address

# A longer name is truncated: mail programs do not show more. The body has the full name.
MAX_SENDER_NAME_LENGTH = 60  # characters
MAX_PLAIN_SUBJECT_LENGTH = 69  # characters; with its name such a header fills a line of RFC 5322

# The `To` header of an e-mail without a recipient, as RFC 5322 defines it.
UNDISCLOSED_RECIPIENTS = "undisclosed-recipients:;"


@dataclass(frozen=True)
class Draft:
    """The recipient's address, the sender's name, the subject and both bodies of an e-mail.

    `attachments` are PDFs by their file name.
    """

    to: str
    sender_name: str
    subject: str
    text: str
    html: str
    attachments: Mapping[str, bytes] = field(default_factory=dict)


def compose(draft: Draft, *, sender: str, message_id: str, now: datetime) -> bytes:
    """Return an e-mail as bytes; `sender` is the address of the settings."""
    message = EmailMessage(policy=policy.SMTP)
    # The address has no display name, because a hostile name could change the recipients.
    message["To"] = _header_address(draft.to) or UNDISCLOSED_RECIPIENTS
    message["From"] = _header_address(
        parseaddr(sender)[1], _truncate(draft.sender_name, MAX_SENDER_NAME_LENGTH)
    )
    message["Date"] = now
    message["Message-ID"] = f"<{message_id}@{message['From'].addresses[0].domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: prevents out-of-office replies
    message.set_content(draft.text, cte="quoted-printable")
    message.add_alternative(draft.html, subtype="html", cte="quoted-printable")
    for name, pdf in draft.attachments.items():
        message.add_attachment(pdf, maintype="application", subtype="pdf", filename=name)
    is_international = not str(message["To"]).isascii()
    rest = message.as_bytes(policy=policy.SMTPUTF8 if is_international else policy.SMTP)
    return _subject_header(draft.subject) + rest


def _subject_header(subject: str) -> bytes:
    """Return the header line of a subject.

    The policies of the email library lose characters of long subjects, and decode a `=?…?=` that
    somebody has typed.
    """
    is_plain = subject.isascii() and "=?" not in subject
    if not is_plain or len(subject) > MAX_PLAIN_SUBJECT_LENGTH:
        subject = Header(subject, "utf-8", header_name="Subject").encode(linesep="\r\n")
    return f"Subject: {subject}\r\n".encode("ascii")


def _truncate(text: str, max_length: int) -> str:
    return text if len(text) <= max_length else text[: max_length - 1].rstrip() + "…"


def _header_address(address: str, name: str = "") -> Address | None:
    """Return an address for a header, with its domain in ASCII; None for an invalid address.

    The address is checked first, because the email library misreads or rejects some addresses.
    """
    parts = split_address(mend_address(address))
    return Address(name, *parts) if parts else None
