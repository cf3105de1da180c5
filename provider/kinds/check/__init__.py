"""Packages and background checks: screenings that a candidate consents to."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Mapped, Session, relationship

from provider.errors import Conflict, Invalid, NotFound
from provider.kinds.check import content
from provider.kinds.check.consent import (
    CLEAR,
    CONSIDER,
    Consent,
    Disclosure,
    Entered,
    Finding,
    digest_of,
)
from provider.kinds.check.content import PackageContent, Screening
from provider.kinds.check.particulars import PARTICULARS
from provider.kinds.fields import cleaned
from provider.orders import CONSENTED, Evidence, Order, Product, Result, Version
from provider.vault import Vault

__all__ = ["CLEAR", "CONSIDER", "Check", "Consent", "Entered", "Finding", "Package"]


class Package(Product):
    """A set of screenings that an ATS can order as a background check."""

    __mapper_args__ = {"polymorphic_identity": "check"}  # noqa: RUF012

    @staticmethod
    def parse(document: dict[str, Any]) -> PackageContent:
        """Read a version's content; Invalid names the field."""
        return content.parse(document)

    def is_sample(self, version: Version) -> bool:
        """A disclosure that no lawyer has seen is for trying out alone."""
        return version.read_by(Package.parse).disclosure.sample

    def admit(self, session: Session, content: dict[str, Any], at: datetime) -> None:
        """Refuse another text under a disclosure's key and version: consents point to it."""
        disclosure = self.parse(content).disclosure
        digest = digest_of(disclosure.text)
        query = select(Disclosure).where(
            Disclosure.key == disclosure.key, Disclosure.version == disclosure.version
        )
        standing = session.scalar(query)
        if standing is None:
            session.add(
                Disclosure(
                    key=disclosure.key,
                    version=disclosure.version,
                    digest=digest,
                    text=disclosure.text,
                    sample=disclosure.sample,
                    created_at=at,
                )
            )
        elif (standing.digest, standing.sample) != (digest, disclosure.sample):
            raise Invalid(
                f"disclosure.version: {disclosure.key} {disclosure.version} stands with another "
                "text; give the changed text a new version"
            )


class Check(Order):
    """A background check ordered for a candidate."""

    __mapper_args__ = {"polymorphic_identity": "check"}  # noqa: RUF012

    consents: Mapped[list[Consent]] = relationship(back_populates="check", order_by=Consent.id)
    entered: Mapped[list[Entered]] = relationship(back_populates="check", order_by=Entered.id)
    findings: Mapped[list[Finding]] = relationship(back_populates="check", order_by=Finding.id)

    @property
    def content(self) -> PackageContent:
        """The package as it was when it was ordered."""
        return self.version.read_by(Package.parse)

    def consent(
        self,
        session: Session,
        keeper: Vault,
        name: str,
        filled: Mapping[str, str],
        *,
        address: str,
        agent: str,
        at: datetime,
    ) -> None:
        """The candidate agrees, by typing their name, and says what the screenings need.

        Raises Invalid with all that is to be mended, by field, as the error's `fields`.
        """
        self.must_be_open(at)
        read = self._read(name, filled, at)
        for each in list(self.entered):
            session.delete(each)
        session.flush()
        for field in self.content.asked:
            sealed = keeper.seal(read[field], self._row(field))
            session.add(Entered(check=self, name=field, sealed=sealed))
        disclosure = self.content.disclosure
        session.add(
            Consent(
                check=self,
                disclosure=digest_of(disclosure.text),
                disclosure_version=f"{disclosure.key} {disclosure.version}",
                name=keeper.seal(read["name"], self._row("consent")),
                address=address[:60],
                agent=cleaned(agent)[:300],
                given_at=at,
            )
        )
        self.progress = "submitted"
        self.become(session, CONSENTED, actor="candidate", at=at)
        self.write_letter(session, "consent", at)

    def particulars(self, keeper: Vault) -> dict[str, str]:
        """Return what the candidate filled in, by field."""
        return {each.name: keeper.open(each.sealed, self._row(each.name)) for each in self.entered}

    def signature(self, keeper: Vault) -> str:
        """Return the name that was typed under the newest consent; empty without one."""
        return keeper.open(self.consents[-1].name, self._row("consent")) if self.consents else ""

    def find_out(
        self, keeper: Vault, screening: str, status: str, note: str, actor: str, at: datetime
    ) -> Finding:
        """Enter how a screening came out, in place of what stood; the note never leaves us."""
        self._must_be_consented()
        self.screening(screening)
        if status not in (CLEAR, CONSIDER):
            raise Invalid("Choose “clear” or “to consider”")
        finding = next((each for each in self.findings if each.screening == screening), None)
        if finding is None:
            finding = Finding(screening=screening)
            self.findings.append(finding)
        note = cleaned(note).strip()[:5000]
        finding.note = keeper.seal(note, self._row(f"finding/{screening}")) if note else None
        finding.status, finding.actor, finding.found_at = status, actor, at
        return finding

    def note(self, keeper: Vault, finding: Finding) -> str:
        """Return what exactly was found."""
        row = self._row(f"finding/{finding.screening}")
        return keeper.open(finding.note, row) if finding.note else ""

    def conclude(self, session: Session, keeper: Vault, actor: str, at: datetime) -> None:
        """Complete the check: one screening to consider makes it all to consider."""
        self._must_be_consented()
        if left := self.open_screenings():
            raise Conflict(f"{len(left)} of the screenings have no outcome yet")
        found = [(each.name, self._found(each.key)) for each in self.content.screenings]
        overall = CONSIDER if CONSIDER in [status for _, status in found] else CLEAR
        figures = {
            "overall_status": overall,
            "findings": [{"name": name, "status": status} for name, status in found],
        }
        self.complete(session, keeper, Result(figures=figures), actor, at)

    def open_screenings(self) -> list[Screening]:
        """Return the screenings without an outcome."""
        return [each for each in self.content.screenings if not self._found(each.key)]

    def screening(self, key: str) -> Screening:
        """Return a screening by its key; NotFound."""
        for screening in self.content.screenings:
            if screening.key == key:
                return screening
        raise NotFound("There is no such screening in this package")

    def evidence(self) -> Evidence:
        """Return the screenings' outcomes, and nothing of what was found."""
        found = super().evidence()
        look = sum(status == CONSIDER for _, status in found.findings)
        sentence = (
            f"{look} of {len(found.findings)} screenings to consider."
            if look
            else "Nothing to consider in any screening."
        )
        return replace(found, sentence=sentence)

    def _read(self, name: str, filled: Mapping[str, str], at: datetime) -> dict[str, str]:
        problems: dict[str, str] = {}
        read = {"name": cleaned(name).strip()}
        if not read["name"]:
            problems["name"] = "Please type your name to agree"
        elif len(read["name"]) > 200:
            problems["name"] = "Please use at most 200 characters"
        for field in self.content.asked:
            try:
                read[field] = PARTICULARS[field].read(filled.get(field, ""), at)
            except Invalid as error:
                problems[field] = str(error)
        if problems:
            raise Incomplete(problems)
        return read

    def _found(self, screening: str) -> str | None:
        return next((each.status for each in self.findings if each.screening == screening), None)

    def _must_be_consented(self) -> None:
        if self.status != CONSENTED:
            raise Conflict("Screenings are worked on once the candidate has agreed")

    def _row(self, field: str) -> str:
        return f"orders/{self.public_id}/{field}"


class Incomplete(Invalid):
    """A form that cannot be taken yet; `fields` says of each field what is wrong."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__(next(iter(fields.values())))
        self.fields = fields
