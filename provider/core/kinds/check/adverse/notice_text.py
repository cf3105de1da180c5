"""The texts of an account's notices, by package and language.

A text that was saved is a version, which never changes. The most exact text applies to a check:
for its package and language, for its package, for its language, for the account, or the sample.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Self

from sqlalchemy import ForeignKey, String, Text, UniqueConstraint, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship
from sqlalchemy.sql.base import ExecutableOption

from provider.core.accounts import Account
from provider.core.kinds.base import RecordedText
from provider.core.kinds.check.adverse.notice_samples import (
    NOTICE_LABELS,
    clean_text,
    translate_sample,
)
from provider.core.kinds.check.packages.legal_text_record import LegalTextRecord, text_digest
from provider.core.products import Product
from provider.errors import Conflict, Invalid
from provider.storage.database import Base
from provider.texts import language_name, list_languages

SAMPLE_VERSION = "sample"
_VERSION_DIGITS = 12  # of a digest, in the version of a sample


class NoticeScope(NamedTuple):
    """The use of a text: for a package or all (None), and for a language or all (empty)."""

    product_id: int | None = None
    language: str = ""

    def list_wider(self) -> Iterator[Self]:
        """Yield this scope and those around it, the most exact first."""
        seen = set()
        for product_id in (self.product_id, None):
            for language in (self.language, ""):
                scope = type(self)(product_id, language)
                if scope not in seen:
                    seen.add(scope)
                    yield scope


WHOLE_ACCOUNT = NoticeScope()


class NoticeText(Base):
    """One version of an account's own text of a notice.

    `number` counts the versions of all texts of a notice, so that it names one of them. The newest
    version of a scope is in use until staff end its use (`ended_at`).
    """

    __tablename__ = "notice_texts"
    __table_args__ = (UniqueConstraint("account_id", "purpose", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    product_id: Mapped[int | None] = mapped_column(ForeignKey("products.id"))
    language: Mapped[str] = mapped_column(String(35), default="", server_default="")
    purpose: Mapped[str] = mapped_column(String(20))
    number: Mapped[int]
    text: Mapped[str] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(String(64), index=True, server_default="")
    created_by: Mapped[str] = mapped_column(String(254))
    created_at: Mapped[datetime]
    ended_by: Mapped[str] = mapped_column(String(254), default="", server_default="")
    ended_at: Mapped[datetime | None]
    account: Mapped[Account] = relationship()
    product: Mapped[Product | None] = relationship()

    @property
    def scope(self) -> NoticeScope:
        return NoticeScope(self.product_id, self.language)


class ChosenText(NamedTuple):
    """A text with its version: a number, or SAMPLE_VERSION."""

    text: str
    version: str
    digest: str

    @property
    def is_sample(self) -> bool:
        return self.version == SAMPLE_VERSION


def list_current(
    session: Session, account_id: int, *conditions: Any, options: Sequence[ExecutableOption] = ()
) -> Sequence[NoticeText]:
    """Return the text in use of each notice and scope, of those that fulfil the conditions."""
    newest = (
        select(func.max(NoticeText.id))
        .where(NoticeText.account_id == account_id, *conditions)
        .group_by(NoticeText.purpose, NoticeText.product_id, NoticeText.language)
    )
    query = select(NoticeText).where(NoticeText.id.in_(newest), NoticeText.ended_at.is_(None))
    return session.scalars(query.order_by(NoticeText.id).options(*options)).all()


def find_applying(texts: Iterable[NoticeText], scope: NoticeScope) -> NoticeText | None:
    """Return the most exact of the texts of one notice that are in use; None for the sample."""
    by_scope = {text.scope: text for text in texts}
    return next((by_scope[wider] for wider in scope.list_wider() if wider in by_scope), None)


def find_applying_text(
    session: Session, account_id: int, purpose: str, scope: NoticeScope
) -> NoticeText | None:
    """Return the text that applies to a package and a language; None for the sample."""
    conditions = (
        NoticeText.purpose == purpose,
        or_(NoticeText.product_id.is_(None), NoticeText.product_id == scope.product_id),
        NoticeText.language.in_({"", scope.language}),
    )
    return find_applying(list_current(session, account_id, *conditions), scope)


def find_text(
    session: Session, account_id: int, purpose: str, scope: NoticeScope = WHOLE_ACCOUNT
) -> NoticeText | None:
    """Return the text of exactly this scope that is in use."""
    newest = _find_newest(session, account_id, purpose, scope)
    return newest if newest and newest.ended_at is None else None


def list_versions(
    session: Session, account_id: int, purpose: str, scope: NoticeScope
) -> Sequence[NoticeText]:
    """Return the versions of exactly this scope, the newest first."""
    query = select(NoticeText).where(*_conditions(account_id, purpose, scope))
    return session.scalars(query.order_by(NoticeText.number.desc())).all()


def choose_text(
    session: Session, account: Account, purpose: str, scope: NoticeScope, now: datetime
) -> ChosenText:
    """Return the text for a check's package and language, or the sample, which is recorded.

    Raises Conflict for the sample in an account that is no sandbox.
    """
    own = find_applying_text(session, account.id, purpose, scope)
    if own is not None:
        return ChosenText(own.text, str(own.number), own.digest)
    if not account.sandbox:
        raise Conflict(
            "This account has no text of its own for “%(notice)s” in this language "
            "(%(language)s): write it in the settings of the account, because the sample is for "
            "sandboxes only",
            notice=NOTICE_LABELS[purpose],
            language=language_name(scope.language),
        )
    return _record_sample(session, purpose, scope.language, now)


def sample_text(purpose: str, language: str) -> ChosenText:
    text = translate_sample(purpose, language)
    return ChosenText(text, SAMPLE_VERSION, text_digest(text))


def save_text(
    session: Session,
    account_id: int,
    purpose: str,
    text: str,
    actor: str,
    now: datetime,
    scope: NoticeScope = WHOLE_ACCOUNT,
) -> NoticeText | None:
    """Store a text as the next version; return None if it is the present one. Raises Invalid.

    The caller has locked the account.
    """
    text = clean_text(purpose, text)
    require_language(scope.language)
    present = find_text(session, account_id, purpose, scope)
    if present and present.text == text:
        return None
    newest = select(func.max(NoticeText.number)).where(
        NoticeText.account_id == account_id, NoticeText.purpose == purpose
    )
    version = NoticeText(
        account_id=account_id,
        product_id=scope.product_id,
        language=scope.language,
        purpose=purpose,
        number=(session.scalar(newest) or 0) + 1,
        text=text,
        digest=text_digest(text),
        created_by=actor,
        created_at=now,
    )
    session.add(version)
    session.flush()
    return version


def end_text(
    session: Session,
    account_id: int,
    purpose: str,
    scope: NoticeScope,
    actor: str,
    now: datetime,
) -> NoticeText:
    """End the use of a text, so that the next wider one applies. Its versions stay.

    Raises Conflict without a text in use. The caller has locked the account.
    """
    text = find_text(session, account_id, purpose, scope)
    if text is None:
        raise Conflict("No text of its own is in use here")
    text.ended_by, text.ended_at = actor, now
    return text


def require_language(language: str) -> None:
    """Raise Invalid for a language that candidates cannot have. Empty is all languages."""
    if language and language not in list_languages():
        raise Invalid(
            "“%(language)s” is not a language of the candidates: choose one of %(known)s",
            language=language,
            known=", ".join(list_languages()),
        )


def find_recorded_texts(session: Session, digest: str) -> Iterator[RecordedText]:
    """Yield the accounts' texts with a digest, the oldest first."""
    query = select(NoticeText).where(NoticeText.digest == digest).order_by(NoticeText.id)
    for row in session.scalars(query):
        parts = (
            row.account.public_id,
            row.purpose,
            row.product.key if row.product else "",
            row.language,
        )
        yield RecordedText(
            "/".join(filter(None, parts)),
            str(row.number),
            row.purpose,
            str(NOTICE_LABELS[row.purpose]),
            row.text,
            sample=False,
            created_at=row.created_at,
            is_plain=True,
        )


def _find_newest(
    session: Session, account_id: int, purpose: str, scope: NoticeScope
) -> NoticeText | None:
    query = select(NoticeText).where(*_conditions(account_id, purpose, scope))
    return session.scalar(query.order_by(NoticeText.number.desc()).limit(1))


def _conditions(account_id: int, purpose: str, scope: NoticeScope) -> tuple[Any, ...]:
    return (
        NoticeText.account_id == account_id,
        NoticeText.purpose == purpose,
        NoticeText.product_id == scope.product_id
        if scope.product_id
        else NoticeText.product_id.is_(None),
        NoticeText.language == scope.language,
    )


def _record_sample(session: Session, purpose: str, language: str, now: datetime) -> ChosenText:
    """Return the sample. It is stored once, so that its digest finds it after it has changed."""
    chosen = sample_text(purpose, language)
    # A slash: the key of a package's text has none.
    key, version = f"sample/{purpose}/{language}", chosen.digest[:_VERSION_DIGITS]
    query = select(LegalTextRecord.id).where(
        LegalTextRecord.key == key, LegalTextRecord.version == version
    )
    if session.scalar(query) is None:
        try:
            with session.begin_nested():
                session.add(
                    LegalTextRecord(
                        key=key,
                        version=version,
                        purpose=purpose,
                        title=str(NOTICE_LABELS[purpose]),
                        digest=chosen.digest,
                        text=chosen.text,
                        sample=True,
                        created_at=now,
                    )
                )
        except IntegrityError:
            pass  # another transaction has stored the sample
    return chosen
