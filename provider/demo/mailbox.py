"""Reads the e-mails that the demo's server has stored in its folder, in place of sending them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from pathlib import Path

from provider.errors import NotFound


@dataclass(frozen=True)
class Email:
    """One e-mail; `name` is that of its file."""

    name: str
    to: str
    subject: str
    sent_at: datetime
    text: str
    html: str

    def find_link(self, prefix: str) -> str | None:
        """Return the first link of the text that begins with `prefix`."""
        return next((word for word in self.text.split() if word.startswith(prefix)), None)


class Mailbox:
    """The e-mails of a folder, for all candidates."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def list_emails(self, address: str = "") -> list[Email]:
        """Return the e-mails, or those to one address; the newest is first."""
        emails = [_read_email(path) for path in self._paths()]
        return [email for email in emails if not address or email.to == address]

    def find(self, name: str) -> Email:
        """Return an e-mail by the name of its file; NotFound without one."""
        path = next((path for path in self._paths() if path.stem == name), None)
        if path is None:
            raise NotFound("This e-mail does not exist: open the inbox")
        return _read_email(path)

    def _paths(self) -> Iterator[Path]:
        # The header Date counts seconds, so the time of the file orders the e-mails.
        paths = self._folder.glob("*.eml")
        yield from sorted(paths, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def _read_email(path: Path) -> Email:
    message = message_from_bytes(path.read_bytes(), policy=policy.default)
    return Email(
        path.stem,
        str(message["To"]),
        str(message["Subject"]),
        parsedate_to_datetime(str(message["Date"])),
        _read_body(message, "plain"),
        _read_body(message, "html"),
    )


def _read_body(message: EmailMessage, subtype: str) -> str:
    part = message.get_body((subtype,))
    return str(part.get_content()) if part else ""
