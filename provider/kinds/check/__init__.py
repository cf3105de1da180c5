"""Packages and background checks: screenings that a candidate consents to."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Mapped, Session, relationship

from provider.errors import Conflict, Invalid, Misplaced, NotFound
from provider.kinds.check import content
from provider.kinds.check.consent import (
    CLEAR,
    CONSIDER,
    Agreement,
    Consent,
    Disclosure,
    Entered,
    Finding,
    digest_of,
)
from provider.kinds.check.content import PackageContent, Screening
from provider.kinds.check.particulars import PARTICULARS, one_line
from provider.kinds.fields import cleaned
from provider.orders import CONSENTED, Evidence, Order, Product, Result, Version
from provider.vault import Vault

__all__ = ["CLEAR", "CONSIDER", "Check", "Consent", "Entered", "Finding", "Incomplete", "Package"]

LONGEST_NOTE = 5000  # characters
SAID = {CLEAR: "clear", CONSIDER: "to consider"}


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
            other = "another text" if standing.digest != digest else "another `sample`"
            raise Misplaced(
                "disclosure.version",
                f"{disclosure.key} {disclosure.version} already stands with {other}; "
                "give the changed one a new version",
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
        for field in self.content.asked:
            sealed = keeper.seal(read[field], self._row(field))
            self.entered.append(Entered(name=field, sealed=sealed))
        self.consents.append(self._signed(keeper, read["name"], address, agent, at))
        self.progress = "submitted"
        self.become(session, CONSENTED, actor="candidate", at=at)
        self.write_letter(session, "consent", at)

    def particulars(self, keeper: Vault) -> dict[str, str]:
        """Return what the candidate filled in, by field."""
        return {each.name: keeper.open(each.sealed, self._row(each.name)) for each in self.entered}

    def agreed(self, keeper: Vault) -> Agreement | None:
        """Return what the candidate agreed to last, and by which name; None before."""
        if not self.consents:
            return None
        last, text = self.consents[-1], self.content.disclosure
        name = keeper.open(last.name, self._signature_row(last.given_at))
        return Agreement(name, last.given_at, text.text, last.disclosure_version, text.sample)

    def aside(self, keeper: Vault) -> dict[str, Any]:
        """Return what the candidate agreed to last (`agreed`), and the words of `particulars`."""
        return {"agreed": self.agreed(keeper), "particulars": PARTICULARS}

    def reopen(
        self, session: Session, keeper: Vault, actor: str, reason: str, at: datetime
    ) -> None:
        """Begin anew: consent is asked for again; what was entered and found is deleted.

        The consents stay on record: they prove what was allowed until now.
        """
        super().reopen(session, keeper, actor, reason, at)
        for each in (*self.entered, *self.findings):
            session.delete(each)
        session.flush()
        session.expire(self, ["entered", "findings"])

    def find_out(
        self, session: Session, keeper: Vault, screening: str, status: str, note: str,
        actor: str, at: datetime,
    ) -> None:  # fmt: skip
        """Enter how a screening came out, in place of what stood; the note never leaves us."""
        self._must_be_consented()
        name = self.screening(screening).name
        if status not in (CLEAR, CONSIDER):
            raise Invalid("Choose “clear” or “to consider”")
        note = cleaned(note).replace("\r\n", "\n")
        if len(note) > LONGEST_NOTE:
            raise Invalid(f"A note has at most {LONGEST_NOTE} characters")
        finding = self.finding(screening)
        if finding and (finding.status, self.note(keeper, finding)) == (status, note):
            return
        if finding is None:
            finding = Finding(screening=screening)
            self.findings.append(finding)
        finding.note = keeper.seal(note, self._row(f"finding/{screening}")) if note else None
        finding.status, finding.actor, finding.found_at = status, actor, at
        self.tell(session, "outcome entered", actor, at, f"{name}: {SAID[status]}")

    def finding(self, screening: str) -> Finding | None:
        """Return what was found in a screening, if anything was entered."""
        return next((each for each in self.findings if each.screening == screening), None)

    def note(self, keeper: Vault, finding: Finding) -> str:
        """Return what exactly was found."""
        row = self._row(f"finding/{finding.screening}")
        return keeper.open(finding.note, row) if finding.note else ""

    def conclude(self, session: Session, keeper: Vault, actor: str, at: datetime) -> None:
        """Complete the check: one screening to consider makes it all to consider."""
        self._must_be_consented()
        if left := self.open_screenings():
            names = ", ".join(each.name for each in left)
            raise Conflict(f"There is no outcome yet for: {names}")
        figures = {
            "overall_status": self.overall,
            "findings": [{"name": name, "status": status} for name, status in self.outcomes()],
        }
        self.complete(session, keeper, Result(figures=figures), actor, at)

    @property
    def overall(self) -> str:
        """Clear only if every outcome so far is."""
        return CONSIDER if CONSIDER in [status for _, status in self.outcomes()] else CLEAR

    def outcomes(self) -> list[tuple[str, str]]:
        """Return the (name, status) of the screenings that have an outcome: what the ATS learns."""
        found = [(each.name, self.finding(each.key)) for each in self.content.screenings]
        return [(name, finding.status) for name, finding in found if finding]

    def open_screenings(self) -> list[Screening]:
        """Return the screenings without an outcome."""
        return [each for each in self.content.screenings if not self.finding(each.key)]

    def screening(self, key: str) -> Screening:
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
            f"{look} of {_screenings(len(found.findings))} to consider."
            if look
            else "Nothing to consider in any screening."
        )
        return replace(found, sentence=sentence)

    def _read(self, name: str, filled: Mapping[str, str], at: datetime) -> dict[str, str]:
        problems: dict[str, str] = {}
        read = {"name": one_line(name)}
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

    def _signed(self, keeper: Vault, name: str, address: str, agent: str, at: datetime) -> Consent:
        text = self.content.disclosure
        return Consent(
            disclosure=digest_of(text.text),
            disclosure_version=f"{text.key} {text.version}",
            name=keeper.seal(name, self._signature_row(at)),
            address=address[:60],
            agent=cleaned(agent)[:300],
            given_at=at,
        )

    def _must_be_consented(self) -> None:
        if self.status != CONSENTED:
            raise Conflict("Screenings are worked on once the candidate has agreed")

    def _row(self, field: str) -> str:
        return f"orders/{self.public_id}/{field}"

    def _signature_row(self, given_at: datetime) -> str:
        # The moment is part of it: a consent whose time was changed can no longer be read.
        return self._row(f"consent/{given_at.isoformat()}")


class Incomplete(Invalid):
    """A form that cannot be taken yet; `fields` says of each field what is wrong."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__(next(iter(fields.values())))
        self.fields = fields


def _screenings(number: int) -> str:
    return f"{number} screening{'' if number == 1 else 's'}"
