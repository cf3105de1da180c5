"""An account's own subject and first paragraphs of an e-mail, for one language."""

import re
from collections.abc import Mapping
from typing import Any, Self

from sqlalchemy import ForeignKey, String, Text, UniqueConstraint, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.core.text_cleaning import clean_line
from provider.errors import Invalid
from provider.storage.database import Base

# The names in an own text, and the variables of the e-mail's templates.
PARAMETERS = {
    "name": "name",
    "company": "company",
    "job": "job",
    "product": "product",
    "deadline": "expires_at_text",
}
MAX_SUBJECT_LENGTH, MAX_OPENING_LENGTH = 200, 4000  # characters
_PARAMETER = re.compile(r"\{([^{}\n]*)\}")


class EmailText(Base):
    """The own texts of an account for one template and language; an empty one is the standard's."""

    __tablename__ = "email_texts"
    __table_args__ = (UniqueConstraint("account_id", "template", "language"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    template: Mapped[str] = mapped_column(String(30))
    language: Mapped[str] = mapped_column(String(35))
    subject: Mapped[str] = mapped_column(String(MAX_SUBJECT_LENGTH))
    opening: Mapped[str] = mapped_column(Text)

    @classmethod
    def find(cls, session: Session, account_id: int, template: str, language: str) -> Self | None:
        return session.scalar(
            select(cls).where(
                cls.account_id == account_id, cls.template == template, cls.language == language
            )
        )

    def change(self, subject: str, opening: str) -> None:
        """Set both texts. Invalid for a text that is too long or names an unknown parameter."""
        subject, opening = clean_line(subject).strip(), opening.replace("\r\n", "\n").strip()
        if len(subject) > MAX_SUBJECT_LENGTH:
            raise Invalid(f"A subject has at most {MAX_SUBJECT_LENGTH} characters")
        if len(opening) > MAX_OPENING_LENGTH:
            raise Invalid(f"A text has at most {MAX_OPENING_LENGTH} characters")
        for name in _PARAMETER.findall(subject + opening):
            if name not in PARAMETERS:
                known = ", ".join(f"{{{known}}}" for known in PARAMETERS)
                raise Invalid(f"“{{{name}}}” is not known: an e-mail can name {known}")
        self.subject, self.opening = subject, opening

    def render_subject(self, context: Mapping[str, Any]) -> str:
        return clean_line(_fill(self.subject, context))

    def render_paragraphs(self, context: Mapping[str, Any]) -> list[str]:
        """Return the paragraphs, which an empty line separates in the text."""
        paragraphs = re.split(r"\n\s*\n", self.opening)
        return [text for part in paragraphs if (text := _fill(part, context).strip())]


def _fill(text: str, context: Mapping[str, Any]) -> str:
    # A value that looks like a parameter stays as it is.
    return _PARAMETER.sub(lambda match: str(context[PARAMETERS[match[1]]] or ""), text)
