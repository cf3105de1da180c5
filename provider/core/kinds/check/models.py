"""Packages and background checks: screenings that a candidate consents to."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, LargeBinary, String, Text, UniqueConstraint, select
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from provider.core.kinds.check import content
from provider.core.kinds.check.candidate_details import DETAIL_FIELDS, to_one_line
from provider.core.kinds.check.content import PackageContent, Screening
from provider.core.orders import CONSENTED, Evidence, Order, Result
from provider.core.products import Product, ProductVersion
from provider.core.products.schema_fields import clean_text
from provider.errors import Conflict, DocumentError, Invalid, NotFound
from provider.storage.database import Base
from provider.storage.secrets import SecretBox

CLEAR, CONSIDER = "clear", "consider"
MAX_NOTE_LENGTH = 5000  # characters
FINDING_LABELS = {CLEAR: "clear", CONSIDER: "to consider"}


class DisclosureRecord(Base):
    """A text that candidates consent to; a key and a version stand for one text for ever."""

    __tablename__ = "disclosures"
    __table_args__ = (UniqueConstraint("key", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(64))
    version: Mapped[str] = mapped_column(String(40))
    digest: Mapped[str] = mapped_column(String(64))
    text: Mapped[str] = mapped_column(Text)
    sample: Mapped[bool]
    created_at: Mapped[datetime]


def text_digest(text: str) -> str:
    """Return the SHA-256, in hex, by which a consent names the exact text."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class ConsentView:
    """A consent in words: the name that was typed, when, and the text it was typed under."""

    name: str
    given_at: datetime
    text: str
    version: str
    sample: bool


class Consent(Base):
    """A consent: who typed which name when, from where, to exactly which text.

    `disclosure` is the SHA-256 of the text as it was shown; the text itself stands in the
    version that the order was placed on, which never changes.
    """

    __tablename__ = "consents"

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), index=True)
    disclosure_digest: Mapped[str] = mapped_column(String(64))
    disclosure_version: Mapped[str] = mapped_column(String(110))
    name: Mapped[bytes] = mapped_column(LargeBinary)
    ip_address: Mapped[str] = mapped_column(String(60))
    user_agent: Mapped[str] = mapped_column(String(300))
    given_at: Mapped[datetime]
    check: Mapped["Check"] = relationship(back_populates="consents")


class CandidateDetail(Base):
    """One thing that the candidate filled in, encrypted by itself."""

    __tablename__ = "candidate_details"
    __table_args__ = (UniqueConstraint("order_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    name: Mapped[str] = mapped_column(String(40))
    value_encrypted: Mapped[bytes] = mapped_column(LargeBinary)
    check: Mapped["Check"] = relationship(back_populates="candidate_details")


class Finding(Base):
    """How one screening came out; what exactly was found stays here, encrypted."""

    __tablename__ = "findings"
    __table_args__ = (UniqueConstraint("order_id", "screening"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    screening: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(10))
    note: Mapped[bytes | None] = mapped_column(LargeBinary)
    actor: Mapped[str] = mapped_column(String(254))
    found_at: Mapped[datetime]
    check: Mapped["Check"] = relationship(back_populates="findings")


class Package(Product):
    """A set of screenings that an ATS can order as a background check."""

    __mapper_args__ = {"polymorphic_identity": "check"}  # noqa: RUF012

    @staticmethod
    def parse(document: dict[str, Any]) -> PackageContent:
        """Read a version's content; Invalid names the field."""
        return content.parse(document)

    def is_sample(self, version: ProductVersion) -> bool:
        """A disclosure that no lawyer has seen is for trying out alone."""
        return version.parsed(Package.parse).disclosure.sample

    def check_against_history(
        self, session: Session, content: dict[str, Any], now: datetime
    ) -> None:
        """Refuse another text under a disclosure's key and version: consents point to it."""
        disclosure = self.parse(content).disclosure
        digest = text_digest(disclosure.text)
        query = select(DisclosureRecord).where(
            DisclosureRecord.key == disclosure.key, DisclosureRecord.version == disclosure.version
        )
        standing = session.scalar(query)
        if standing is None:
            session.add(
                DisclosureRecord(
                    key=disclosure.key,
                    version=disclosure.version,
                    digest=digest,
                    text=disclosure.text,
                    sample=disclosure.sample,
                    created_at=now,
                )
            )
        elif (standing.digest, standing.sample) != (digest, disclosure.sample):
            other = "another text" if standing.digest != digest else "another `sample`"
            raise DocumentError(
                "disclosure.version",
                f"{disclosure.key} {disclosure.version} already stands with {other}; "
                "give the changed one a new version",
            )


class Check(Order):
    """A background check ordered for a candidate."""

    __mapper_args__ = {"polymorphic_identity": "check"}  # noqa: RUF012

    consents: Mapped[list[Consent]] = relationship(back_populates="check", order_by=Consent.id)
    candidate_details: Mapped[list[CandidateDetail]] = relationship(
        back_populates="check", order_by=CandidateDetail.id
    )
    findings: Mapped[list[Finding]] = relationship(back_populates="check", order_by=Finding.id)

    @property
    def content(self) -> PackageContent:
        """The package as it was when it was ordered."""
        return self.version.parsed(Package.parse)

    def give_consent(
        self,
        session: Session,
        secret_box: SecretBox,
        name: str,
        details: Mapping[str, str],
        *,
        ip_address: str,
        user_agent: str,
        now: datetime,
    ) -> None:
        """The candidate agrees, by typing their name, and says what the screenings need.

        Raises Invalid with all that is to be mended, by field, as the error's `fields`.
        """
        self.require_open(now)
        read = self._parse_form(name, details, now)
        for field in self.content.requested_details:
            sealed = secret_box.encrypt(read[field], self._row_path(field))
            self.candidate_details.append(CandidateDetail(name=field, value_encrypted=sealed))
        self.consents.append(
            self._build_consent(secret_box, read["name"], ip_address, user_agent, now)
        )
        self.progress = "submitted"
        self.change_status(session, CONSENTED, actor="candidate", now=now)
        self.enqueue_email(session, "consent", now)

    def decrypt_details(self, secret_box: SecretBox) -> dict[str, str]:
        """Return what the candidate filled in, by field."""
        return {
            each.name: secret_box.decrypt(each.value_encrypted, self._row_path(each.name))
            for each in self.candidate_details
        }

    def latest_consent_view(self, secret_box: SecretBox) -> ConsentView | None:
        """Return what the candidate agreed to last, and by which name; None before."""
        if not self.consents:
            return None
        last, text = self.consents[-1], self.content.disclosure
        name = secret_box.decrypt(last.name, self._signature_row_path(last.given_at))
        return ConsentView(name, last.given_at, text.text, last.disclosure_version, text.sample)

    def kind_context(self, secret_box: SecretBox) -> dict[str, Any]:
        """Return what the candidate agreed to last (`agreed`), and the words of `particulars`."""
        return {"agreed": self.latest_consent_view(secret_box), "particulars": DETAIL_FIELDS}

    def reopen(
        self, session: Session, secret_box: SecretBox, actor: str, reason: str, now: datetime
    ) -> None:
        """Begin anew: consent is asked for again; what was entered and found is deleted.

        The consents stay on record: they prove what was allowed until now.
        """
        super().reopen(session, secret_box, actor, reason, now)
        for each in (*self.candidate_details, *self.findings):
            session.delete(each)
        session.flush()
        session.expire(self, ["candidate_details", "findings"])

    def record_finding(
        self,
        session: Session,
        secret_box: SecretBox,
        screening: str,
        status: str,
        note: str,
        actor: str,
        now: datetime,
    ) -> None:
        """Enter how a screening came out, in place of what stood; the note never leaves us."""
        self._require_consented()
        name = self.find_screening(screening).name
        if status not in (CLEAR, CONSIDER):
            raise Invalid("Choose “clear” or “to consider”")
        note = clean_text(note).replace("\r\n", "\n")
        if len(note) > MAX_NOTE_LENGTH:
            raise Invalid(f"A note has at most {MAX_NOTE_LENGTH} characters")
        finding = self.find_finding(screening)
        if finding and (finding.status, self.decrypt_note(secret_box, finding)) == (status, note):
            return
        if finding is None:
            finding = Finding(screening=screening)
            self.findings.append(finding)
        finding.note = (
            secret_box.encrypt(note, self._row_path(f"finding/{screening}")) if note else None
        )
        finding.status, finding.actor, finding.found_at = status, actor, now
        self.record_event(
            session, "outcome entered", actor, now, f"{name}: {FINDING_LABELS[status]}"
        )

    def find_finding(self, screening: str) -> Finding | None:
        """Return what was found in a screening, if anything was entered."""
        return next((each for each in self.findings if each.screening == screening), None)

    def decrypt_note(self, secret_box: SecretBox, finding: Finding) -> str:
        """Return what exactly was found."""
        row = self._row_path(f"finding/{finding.screening}")
        return secret_box.decrypt(finding.note, row) if finding.note else ""

    def conclude(self, session: Session, secret_box: SecretBox, actor: str, now: datetime) -> None:
        """Complete the check: one screening to consider makes it all to consider."""
        self._require_consented()
        if left := self.open_screenings():
            names = ", ".join(each.name for each in left)
            raise Conflict(f"There is no outcome yet for: {names}")
        figures = {
            "overall_status": self.overall_status,
            "findings": [
                {"name": name, "status": status} for name, status in self.finding_statuses()
            ],
        }
        self.complete(session, secret_box, Result(figures=figures), actor, now)

    @property
    def overall_status(self) -> str:
        """Clear only if every outcome so far is."""
        return CONSIDER if CONSIDER in [status for _, status in self.finding_statuses()] else CLEAR

    def finding_statuses(self) -> list[tuple[str, str]]:
        """Return the (name, status) of the screenings that have an outcome: what the ATS learns."""
        found = [(each.name, self.find_finding(each.key)) for each in self.content.screenings]
        return [(name, finding.status) for name, finding in found if finding]

    def open_screenings(self) -> list[Screening]:
        """Return the screenings without an outcome."""
        return [each for each in self.content.screenings if not self.find_finding(each.key)]

    def find_screening(self, key: str) -> Screening:
        """Return a screening by its key; NotFound."""
        for screening in self.content.screenings:
            if screening.key == key:
                return screening
        raise NotFound("There is no such screening in this package")

    def evidence(self) -> Evidence:
        """Return the screenings' outcomes, and nothing of what was found."""
        found = super().evidence()
        if not found.findings:
            return found
        look = sum(status == CONSIDER for _, status in found.findings)
        sentence = (
            f"{look} of {_screening_count_text(len(found.findings))} to consider."
            if look
            else "Nothing to consider in any screening."
        )
        return replace(found, sentence=sentence)

    def _parse_form(self, name: str, details: Mapping[str, str], now: datetime) -> dict[str, str]:
        problems: dict[str, str] = {}
        read = {"name": to_one_line(name)}
        if not read["name"]:
            problems["name"] = "Please type your name to agree"
        elif len(read["name"]) > 200:
            problems["name"] = "Please use at most 200 characters"
        for field in self.content.requested_details:
            try:
                read[field] = DETAIL_FIELDS[field].parse(details.get(field, ""), now)
            except Invalid as error:
                problems[field] = str(error)
        if problems:
            raise IncompleteForm(problems)
        return read

    def _build_consent(
        self, secret_box: SecretBox, name: str, ip_address: str, user_agent: str, now: datetime
    ) -> Consent:
        text = self.content.disclosure
        return Consent(
            disclosure_digest=text_digest(text.text),
            disclosure_version=f"{text.key} {text.version}",
            name=secret_box.encrypt(name, self._signature_row_path(now)),
            ip_address=ip_address[:60],
            user_agent=clean_text(user_agent)[:300],
            given_at=now,
        )

    def _require_consented(self) -> None:
        if self.status != CONSENTED:
            raise Conflict("Screenings are worked on once the candidate has agreed")

    def _row_path(self, field: str) -> str:
        return f"orders/{self.public_id}/{field}"

    def _signature_row_path(self, given_at: datetime) -> str:
        # The moment is part of it: a consent whose time was changed can no longer be read.
        return self._row_path(f"consent/{given_at.isoformat()}")


class IncompleteForm(Invalid):
    """A form that cannot be taken yet; `fields` says of each field what is wrong."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__(next(iter(fields.values())))
        self.fields = fields


def _screening_count_text(number: int) -> str:
    return f"{number} screening{'' if number == 1 else 's'}"
