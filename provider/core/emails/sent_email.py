"""An e-mail as it was sent, for staff: without the token of the candidate's link."""

import re
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage

# The invitation link authenticates the candidate. Staff read it by an act that is recorded.
_INVITATION_LINK_PATTERN = re.compile(r"(/c/)[\w-]{20,}")


@dataclass(frozen=True)
class SentEmail:
    """The headers and the plain text of an e-mail, without the invitation link's token."""

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
            text=_INVITATION_LINK_PATTERN.sub(r"\1…", text),
        )
