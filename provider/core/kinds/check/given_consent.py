"""The consent of a check's candidate: the texts that were shown, the signature, its proof."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Mapped, Session

from provider.core.accounts import Account
from provider.core.kinds.check.packages.content import PackageContent
from provider.core.kinds.check.packages.detail_fields import IncompleteForm
from provider.core.kinds.check.packages.detail_parts import MAX_PART_LENGTH, to_one_line
from provider.core.kinds.check.packages.package import text_digest
from provider.core.kinds.check.saved_details import first_messages
from provider.core.kinds.check.shown_texts import ShownText, find_disclosure, list_shown_texts
from provider.core.kinds.check.tables.check_case import CheckCase
from provider.core.kinds.check.tables.consent import Consent, ConsentText, ConsentView
from provider.core.kinds.check.tables.screening_task import ScreeningTask
from provider.core.orders import CONSENTED
from provider.core.products.schema_fields import clean_text
from provider.storage.secrets import SecretBox
from provider.texts import LazyText
from provider.texts import lazy_gettext as _


class GivenConsent:
    """Records what the candidate read and agreed to."""

    if TYPE_CHECKING:  # the check declares these
        id: Mapped[int]
        account_id: Mapped[int]
        account: Mapped[Account]
        consents: Mapped[list[Consent]]
        confirmed_texts: Mapped[list[ConsentText]]
        tasks: Mapped[list[ScreeningTask]]
        case: Mapped[CheckCase | None]

        @property
        def content(self) -> PackageContent: ...

        @property
        def country(self) -> str: ...

        def require_open(self, given_at: datetime) -> None: ...
        def change_status(self, session: Session, status: str, **changes: Any) -> None: ...
        def enqueue_email(
            self, session: Session, template: str, now: datetime, details: Mapping[str, str] = ...
        ) -> None: ...
        def save_details(self, secret_box: SecretBox, values: Mapping[str, Any]) -> list[str]: ...
        def find_missing_documents(self, session: Session) -> list[str]: ...
        def find_detail_problems(self, secret_box: SecretBox, now: datetime) -> list[Any]: ...
        def row_path(self, field: str) -> str: ...

    @property
    def own_case(self) -> CheckCase:
        """The row beside the order; it is added at its first use."""
        if self.case is None:
            self.case = CheckCase(
                country="", subdivision="", wants_copy=False, wants_messages=False
            )
        return self.case

    def is_text_confirmed(self, text: ShownText) -> bool:
        """Whether the candidate has read this text since the last consent."""
        return any(_is_of(row, text) for row in self.confirmed_texts)

    def confirm_text(self, session: Session, text: ShownText, now: datetime) -> None:
        """Record that the candidate was shown a text and went on; a second time changes nothing."""
        if not self.is_text_confirmed(text):
            session.add(self._build_text(text, now))
            session.flush()
            session.expire(self, ["confirmed_texts"])

    def give_consent(
        self,
        session: Session,
        secret_box: SecretBox,
        name: str,
        details: Mapping[str, Any],
        *,
        ip_address: str,
        user_agent: str,
        now: datetime,
        submitted_at: datetime | None = None,
        needs_documents: bool = True,
    ) -> None:
        """Record the consent of the candidate, with the details that she saved before.

        `details` are added to these: an object, a list of objects or a text each. `submitted_at` is
        the time at which the candidate sent the form, if it is not `now`. Raises IncompleteForm
        with one message per detail, for `name`, and for `documents` while one is missing; the
        script of a sandbox needs none.
        """
        self.require_open(submitted_at or now)
        self.save_details(secret_box, details)
        signature = to_one_line(name)
        messages = find_signature_problem(signature)
        messages |= first_messages(self.find_detail_problems(secret_box, now))
        if needs_documents and self.find_missing_documents(session):
            messages["documents"] = _("Please send every document that is asked for")
        if messages:
            raise IncompleteForm(messages)
        consent = self._build_consent(secret_box, signature, ip_address, user_agent, now)
        self.consents.append(consent)
        self._add_shown_texts(session, consent, now)
        self.tasks = [
            ScreeningTask(
                account_id=self.account_id,
                key=screening.key,
                screening_type=screening.type,
                performer=screening.performer,
                due_on=self.account.working_days.due_date(now, screening.working_days),
                keep_days=screening.retention_days,
                created_at=now,
            )
            for screening in self.content.screenings
        ]
        self.change_status(session, CONSENTED, progress="submitted", actor="candidate", now=now)
        self.enqueue_email(session, "consent", now)

    def latest_consent_view(self, secret_box: SecretBox) -> ConsentView | None:
        """Return the newest consent; None before the candidate has given one."""
        return self.consent_view(secret_box, self.consents[-1]) if self.consents else None

    def consent_view(self, secret_box: SecretBox, consent: Consent) -> ConsentView:
        disclosure = find_disclosure(self.content, consent.disclosure_digest)
        return ConsentView(
            name=secret_box.decrypt(consent.name, self._signature_row_path(consent.given_at)),
            given_at=consent.given_at,
            text=disclosure.text,
            version=consent.disclosure_version,
            sample=disclosure.sample,
        )

    def fill_sample(self, secret_box: SecretBox, now: datetime) -> None:
        self.consents.append(self._build_consent(secret_box, "Alex Sample", "", "", now))

    def _add_shown_texts(self, session: Session, consent: Consent, now: datetime) -> None:
        """Give the consent every text of the candidate's country; other ones are forgotten."""
        rows = list(self.confirmed_texts)
        session.flush()
        for text in list_shown_texts(self.content, self.country):
            row = next((row for row in rows if _is_of(row, text)), None)
            consent.texts.append(row or self._build_text(text, now))
        for row in rows:
            if row not in consent.texts:
                session.delete(row)
        session.flush()
        session.expire(self, ["confirmed_texts"])

    def _build_text(self, text: ShownText, now: datetime) -> ConsentText:
        return ConsentText(
            order_id=self.id,
            key=text.key,
            version=text.version,
            purpose=text.purpose,
            digest=text.digest,
            shown_at=now,
        )

    def _build_consent(
        self, secret_box: SecretBox, name: str, ip_address: str, user_agent: str, now: datetime
    ) -> Consent:
        disclosure, case = self.content.disclosure_for(self.country), self.case
        return Consent(
            disclosure_digest=text_digest(disclosure.text),
            disclosure_version=f"{disclosure.key} {disclosure.version}",
            name=secret_box.encrypt(name, self._signature_row_path(now)),
            ip_address=ip_address[:60],
            user_agent=clean_text(user_agent)[:300],
            given_at=now,
            country=self.country,
            subdivision=case.subdivision if case else "",
            wants_copy=bool(case and case.wants_copy),
        )

    def _signature_row_path(self, given_at: datetime) -> str:
        # The time is part of the path: a consent whose time was changed can no longer be decrypted.
        return self.row_path(f"consent/{given_at.isoformat()}")


def find_signature_problem(name: str) -> dict[str, LazyText]:
    """Return the message about a typed name by `name`; empty for a name that can be one."""
    if not name:
        return {"name": _("Please type your name to agree")}
    if len(name) > MAX_PART_LENGTH:
        return {"name": _("Please use at most 200 characters")}
    return {}


def _is_of(row: ConsentText, text: ShownText) -> bool:
    return (row.purpose, row.key, row.version, row.digest) == (
        text.purpose,
        text.key,
        text.version,
        text.digest,
    )
