"""Returned e-mails: reports of a mail server about an e-mail of ours (RFC 3464)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes, message_from_string, policy
from email.message import Message as Part

from provider.core.text_cleaning import clean_line
from provider.errors import Invalid

MAX_REPORT_BYTES = 20_000_000  # an e-mail of ours is far smaller, and so is its return
MAX_DIAGNOSTIC_LENGTH = 500  # characters

_STATUS = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})")
# The part before the @ is the public id of a message of the outbox.
_MESSAGE_ID = re.compile(r"<?([\w-]{22})@[^@<>\s]+>?", re.ASCII)
# RFC 6533 has types of its own, for addresses in other scripts.
_STATUS_TYPES = ("message/delivery-status", "message/global-delivery-status")
_RETURNED_TYPES = ("message/rfc822", "message/global", "message/global-headers")

# RFC 3463: the subject and the detail of a code, without its class. The first match is used.
_REASONS = (
    (r"1\.1", "The mailbox does not exist"),
    (r"1\.2", "The domain of the address does not exist"),
    (r"1\.10", "The domain of the address receives no e-mail"),
    (r"1\.6", "The mailbox has moved"),
    (r"1\.\d+", "The address is not valid"),
    (r"2\.1", "The mailbox is disabled"),
    (r"2\.2", "The mailbox is full"),
    (r"2\.3|3\.4", "The e-mail is too long for the mailbox"),
    (r"2\.\d+", "The mailbox does not take the e-mail"),
    (r"4\.4", "The domain of the address was not found"),
    (r"4\.7", "The mail server of the address could not be reached in time"),
    (r"4\.\d+", "The mail server of the address could not be reached"),
    (r"7\.\d+", "The mail server of the address refuses the e-mail by its rules"),
)
_UNKNOWN_REASON = "The e-mail could not be delivered"


@dataclass(frozen=True)
class DeliveryReport:
    """A mail server's report about an e-mail of ours. `message_id` is that of the outbox."""

    message_id: str
    is_permanent: bool
    status: str  # like 5.1.1; empty for a report without one
    diagnostic: str

    @property
    def reason(self) -> str:
        """The reason in words, and the words of the mail server."""
        return describe_bounce(self.status, self.diagnostic)


def describe_bounce(status: str, server_text: str) -> str:
    """Return the reason of a code like 5.1.1 in words, followed by the mail server's own text."""
    match = _STATUS.search(status)
    detail = f"{match[2]}.{match[3]}" if match else ""
    words = next((text for code, text in _REASONS if re.fullmatch(code, detail)), _UNKNOWN_REASON)
    return f"{words}. {server_text}" if server_text else f"{words}."


def find_status(text: str) -> str:
    """Return the first code like 5.1.1 of a mail server's reply; empty without one."""
    match = re.search(r"(?<![\d.])[245]\.\d{1,3}\.\d{1,3}(?![\d.])", text)
    return match[0] if match else ""


def parse_report(raw_email: bytes) -> DeliveryReport:
    """Return what a returned e-mail says. Raises Invalid for any other e-mail."""
    # This policy never raises for a header that breaks the rules.
    report = message_from_bytes(raw_email, policy=policy.compat32)
    parts = _children(report) if report.get_content_type() == "multipart/report" else []
    status_parts = [part for part in parts if part.get_content_type() in _STATUS_TYPES]
    if not status_parts:
        raise Invalid("This e-mail is no delivery report (RFC 3464)")
    recipients = [block for block in _blocks(status_parts[0]) if block["Final-Recipient"]]
    if not recipients:
        raise Invalid("This delivery report names no recipient")
    message_id = _find_message_id(parts)
    if not message_id:
        raise Invalid("This delivery report is not about an e-mail of this program")
    recipient = next((block for block in recipients if _is_permanent(block)), recipients[0])
    diagnostic = _without_type(_field(recipient, "Diagnostic-Code"))[:MAX_DIAGNOSTIC_LENGTH]
    status = find_status(_field(recipient, "Status"))
    if not status or status.endswith(".0.0"):  # Exim says no more, and quotes the other server
        status = find_status(diagnostic) or status
    return DeliveryReport(message_id, _is_permanent(recipient), status, diagnostic)


def _is_permanent(recipient: Part) -> bool:
    """Return whether the mail server has given up.

    RFC 3464, 2.3.3: a server that has tried in vain for days reports the action `failed` with a
    temporary status such as 4.2.2.
    """
    action = _field(recipient, "Action").lower()
    if action:
        return action == "failed"
    return _field(recipient, "Status").startswith("5")


def _find_message_id(parts: list[Part]) -> str:
    for headers in _returned_headers(parts):
        match = _MESSAGE_ID.fullmatch(_field(headers, "Message-ID"))
        if match:
            return match[1]
    return ""


def _returned_headers(parts: list[Part]) -> Iterator[Part]:
    for part in parts:
        if part.get_content_type() in _RETURNED_TYPES:
            yield from _children(part)
        elif part.get_content_type() == "text/rfc822-headers":
            payload = part.get_payload(decode=True)
            text = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""
            yield message_from_string(text.lstrip(), policy=policy.compat32)


def _children(part: Part) -> list[Part]:
    payload = part.get_payload()
    return [child for child in payload if isinstance(child, Part)] if part.is_multipart() else []


def _blocks(status_part: Part) -> Iterator[Part]:
    """Yield the groups of fields of a report: one about the e-mail, and one for each recipient."""
    for block in _children(status_part):
        yield block
        rest = block.get_payload()
        # The library splits a report of RFC 3464 into its groups, and none of RFC 6533.
        for text in re.split(r"\n\s*\n", rest) if isinstance(rest, str) else ():
            yield message_from_string(text.lstrip(), policy=policy.compat32)


def _field(part: Part, name: str) -> str:
    return " ".join(clean_line(str(part[name] or "")).split())


def _without_type(text: str) -> str:
    """Return a field's value without its type: `smtp; 550 …`."""
    kind, semicolon, value = text.partition(";")
    return value.strip() if semicolon and " " not in kind.strip() else text
