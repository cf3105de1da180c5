"""An e-mail as it was sent, for staff: without the tokens of its links."""

import re
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage

# These links authenticate a candidate or a member of the staff. Staff read a candidate's link by an
# act that is recorded.
_SECRET_LINK_PATTERN = re.compile(r"(/c/|/console/(?:join|password)/)[\w-]{20,}")


@dataclass(frozen=True)
class SentEmail:
    """The headers and the plain text of an e-mail, without the tokens of its links."""

    to: str
    sender: str
    subject: str
    text: str

    @classmethod
    def parse(cls, raw_email: bytes) -> "SentEmail":
        message = message_from_bytes(raw_email, _class=EmailMessage, policy=policy.default)
        body = message.get_body(("plain",))
        text = str(body.get_content()).strip() if body else ""
        return cls(
            to=str(message["To"] or ""),
            sender=str(message["From"] or ""),
            subject=str(message["Subject"] or ""),
            text=_SECRET_LINK_PATTERN.sub(r"\1…", text),
        )
