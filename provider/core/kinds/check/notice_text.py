"""The texts of the notices of an adverse action: an account's own, or a sample.

A sample is for sandbox accounts only. A text that was saved is a version, which never changes.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ForeignKey, String, Text, UniqueConstraint, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from provider.core.accounts import Account
from provider.core.kinds.check.adverse_action import (
    ADVERSE_WITHDRAWN,
    FINAL_ADVERSE,
    NOTICES,
    PRE_ADVERSE,
)
from provider.core.text_cleaning import clean_line
from provider.errors import Conflict, Invalid
from provider.storage.database import Base
from provider.texts import Text as ShownText
from provider.texts import gettext, gettext_noop
from provider.texts import lazy_gettext as _

MAX_NOTICE_LENGTH = 20_000  # characters
SAMPLE_VERSION = "sample"
NOTICE_LABELS: Mapping[str, ShownText] = {
    PRE_ADVERSE: _("Notice before a decision"),
    FINAL_ADVERSE: _("Notice of the decision"),
    ADVERSE_WITHDRAWN: _("Notice that nothing follows"),
}
# The names that a text may have in braces. `last_day` is known to the first notice only.
PARAMETERS = ("candidate", "company", "job", "package", "completed_on", "last_day")
_PARAMETER = re.compile(r"\{([^{}\n]*)\}")
SAMPLES: Mapping[str, str] = {
    PRE_ADVERSE: gettext_noop(
        "Dear {candidate},\n\n"
        "{company} ordered the background check “{package}” about you. It was completed on "
        "{completed_on}. Something in its report may lead {company} to decide against you. "
        "Nothing is decided yet.\n\n"
        "Please read the report and your rights. If something is wrong or incomplete, or if you "
        "want to explain something, tell {company} by {last_day}. {company} decides after that "
        "day only.\n\n"
        "{company}"
    ),
    FINAL_ADVERSE: gettext_noop(
        "Dear {candidate},\n\n"
        "{company} has decided against you, in whole or in part because of the background check "
        "“{package}”, which was completed on {completed_on}. Whoever carried out the check did "
        "not make this decision, and cannot give the reasons for it.\n\n"
        "You may ask for another free copy of the report, and you may still dispute what is wrong "
        "or incomplete in it. Your rights are listed below.\n\n"
        "{company}"
    ),
    ADVERSE_WITHDRAWN: gettext_noop(
        "Dear {candidate},\n\n"
        "{company} wrote to you that the background check “{package}” might lead to a decision "
        "against you. That letter no longer counts: {company} takes no such decision because of "
        "this report.\n\n"
        "{company}"
    ),
}


class NoticeText(Base):
    """One version of an account's own text of a notice."""

    __tablename__ = "notice_texts"
    __table_args__ = (UniqueConstraint("account_id", "purpose", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    purpose: Mapped[str] = mapped_column(String(20))
    number: Mapped[int]
    text: Mapped[str] = mapped_column(Text)
    created_by: Mapped[str] = mapped_column(String(254))
    created_at: Mapped[datetime]


class ChosenText(NamedTuple):
    """A text with its version: a number, or SAMPLE_VERSION."""

    text: str
    version: str

    @property
    def is_sample(self) -> bool:
        return self.version == SAMPLE_VERSION


def find_text(session: Session, account_id: int, purpose: str) -> NoticeText | None:
    """Return the newest version of an account's own text."""
    query = select(NoticeText).where(
        NoticeText.account_id == account_id, NoticeText.purpose == purpose
    )
    return session.scalar(query.order_by(NoticeText.number.desc()).limit(1))


def choose_text(session: Session, account: Account, purpose: str) -> ChosenText:
    """Return the account's own text, or the sample in the present language.

    Raises Conflict for the sample in an account that is no sandbox.
    """
    own = find_text(session, account.id, purpose)
    if own is not None:
        return ChosenText(own.text, str(own.number))
    if not account.sandbox:
        raise Conflict(
            "This account has no text of its own for “%(notice)s”: write it in the settings of "
            "the account, because the sample is for sandboxes only",
            notice=str(NOTICE_LABELS[purpose]),
        )
    return ChosenText(gettext(SAMPLES[purpose]), SAMPLE_VERSION)


def save_text(
    session: Session, account_id: int, purpose: str, text: str, actor: str, now: datetime
) -> NoticeText | None:
    """Store a text as the next version; return None if it is the present one. Raises Invalid.

    The caller has locked the account.
    """
    if purpose not in NOTICES:
        raise Invalid("There is no such notice")
    text = text.replace("\r\n", "\n").strip()
    if not 1 <= len(text) <= MAX_NOTICE_LENGTH:
        raise Invalid("Write a text of at most %(maximum)d characters", maximum=MAX_NOTICE_LENGTH)
    for name in _PARAMETER.findall(text):
        if name not in PARAMETERS or (name == "last_day" and purpose != PRE_ADVERSE):
            known = ", ".join(f"{{{known}}}" for known in PARAMETERS)
            raise Invalid(
                "“%(name)s” is not known here: a notice can name %(known)s",
                name="{" + name + "}",
                known=known,
            )
    present = find_text(session, account_id, purpose)
    if present and present.text == text:
        return None
    newest = select(func.max(NoticeText.number)).where(
        NoticeText.account_id == account_id, NoticeText.purpose == purpose
    )
    version = NoticeText(
        account_id=account_id,
        purpose=purpose,
        number=(session.scalar(newest) or 0) + 1,
        text=text,
        created_by=actor,
        created_at=now,
    )
    session.add(version)
    session.flush()
    return version


def fill(text: str, values: Mapping[str, str]) -> str:
    """Return a text with the values of its parameters. A value is never read as a parameter."""
    return _PARAMETER.sub(lambda match: clean_line(values.get(match[1], "")), text)


def split_paragraphs(text: str) -> list[str]:
    """Return the paragraphs of a text, which an empty line separates."""
    return [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
