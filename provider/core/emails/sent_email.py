"""An e-mail as it was sent, for staff: without the tokens of its links."""

import re
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage

from provider.core.email_address import mask_address, mend_address
from provider.core.orders import normalise_email

# These links authenticate a candidate, a referee or a member of the staff. Staff read a candidate's
# link by an act that is recorded.
_SECRET_LINK_PATTERN = re.compile(r"(/[cf]/|/console/(?:join|password)/)[\w-]{20,}")


@dataclass(frozen=True)
class SentEmail:
    """The headers and the plain text of an e-mail, without the tokens of its links."""

    to: str
    sender: str
    subject: str
    text: str

    @classmethod
    def parse(cls, raw_email: bytes, candidate_email: str | None = None) -> "SentEmail":
        """Parse an e-mail. A recipient who is not the present candidate is masked.

        An address that was corrected may be another person's.
        """
        message = message_from_bytes(raw_email, _class=EmailMessage, policy=policy.default)
        body = message.get_body(("plain",))
        text = str(body.get_content()).strip() if body else ""
        return cls(
            to=_shown_recipient(str(message["To"] or ""), candidate_email),
            sender=str(message["From"] or ""),
            subject=str(message["Subject"] or ""),
            text=_SECRET_LINK_PATTERN.sub(r"\1…", text),
        )


def _shown_recipient(recipient: str, candidate_email: str | None) -> str:
    if candidate_email is None or "@" not in recipient:
        return recipient
    is_present = normalise_email(recipient) == normalise_email(mend_address(candidate_email))
    return recipient if is_present else mask_address(recipient)
