"""Checks: consents, candidate details and findings."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import delete
from sqlalchemy.orm import Mapped, Session, relationship

from provider.core.kinds.check.completed_check import CompletedCheck
from provider.core.kinds.check.declined_check import DeclinedCheck
from provider.core.kinds.check.evidence import (
    CONSIDER,
    CheckEvidence,
    ReportedFinding,
    describe_findings,
    overall_status,
)
from provider.core.kinds.check.given_consent import GivenConsent
from provider.core.kinds.check.needed_documents import find_missing, needed_slots
from provider.core.kinds.check.packages.content import PackageContent, Screening, load_screening
from provider.core.kinds.check.packages.detail_fields import DETAIL_FIELDS
from provider.core.kinds.check.packages.document_slots import DOCUMENT_SLOTS
from provider.core.kinds.check.packages.package import Package
from provider.core.kinds.check.saved_details import SavedDetails
from provider.core.kinds.check.step_messages import tell_copy, tell_step
from provider.core.kinds.check.tables.adverse_action import AdverseAction
from provider.core.kinds.check.tables.check_case import CheckCase
from provider.core.kinds.check.tables.check_document import (
    DISPUTE_SLOT,
    CheckDocument,
    list_documents,
)
from provider.core.kinds.check.tables.consent import CandidateDetail, Consent, ConsentText
from provider.core.kinds.check.tables.decision_proposal import WITHDRAWN_PROPOSAL, DecisionProposal
from provider.core.kinds.check.tables.dispute import Dispute
from provider.core.kinds.check.tables.finding import Finding, Outcome, clean_outcome
from provider.core.kinds.check.tables.finding_revision import FindingRevision
from provider.core.kinds.check.tables.found_record import FoundRecord, report_records
from provider.core.kinds.check.tables.information_request import (
    InformationRequest,
    withdraw_questions,
)
from provider.core.kinds.check.tables.renewal import Renewal
from provider.core.kinds.check.tables.screening_task import (
    DONE,
    WITHDRAWN,
    ScreeningTask,
    check_progress,
)
from provider.core.orders import (
    CONSENTED,
    Order,
    ProgressTable,
    Result,
    progress_state,
)
from provider.errors import Conflict, NotFound
from provider.storage.secrets import SecretBox


class Check(GivenConsent, SavedDetails, CompletedCheck, DeclinedCheck, Order):
    """A background check ordered for a candidate."""

    __mapper_args__ = {"polymorphic_identity": "check"}  # noqa: RUF012

    progress_table: ClassVar[ProgressTable] = {
        "invited": progress_state("candidate", "opened", "submitted"),
        "opened": progress_state("candidate", "submitted"),
        # After the consent: at work, the candidate is asked for more, or only others are awaited.
        "submitted": progress_state("staff", "asked", "outside"),
        "asked": progress_state("candidate", "submitted", "outside"),
        "outside": progress_state("vendor", "submitted", "asked"),
    }
    consents: Mapped[list[Consent]] = relationship(order_by=Consent.id)
    candidate_details: Mapped[list[CandidateDetail]] = relationship(order_by=CandidateDetail.id)
    confirmed_texts: Mapped[list[ConsentText]] = relationship(
        order_by=ConsentText.id,
        primaryjoin=(Order.id == ConsentText.order_id) & (ConsentText.consent_id.is_(None)),
        viewonly=True,
    )
    findings: Mapped[list[Finding]] = relationship(order_by=Finding.id)
    tasks: Mapped[list[ScreeningTask]] = relationship(order_by=ScreeningTask.id)
    records: Mapped[list[FoundRecord]] = relationship(order_by=FoundRecord.id)
    questions: Mapped[list[InformationRequest]] = relationship(order_by=InformationRequest.id)
    disputes: Mapped[list[Dispute]] = relationship(order_by=Dispute.id)
    case: Mapped[CheckCase | None] = relationship()
    proposals: Mapped[list[DecisionProposal]] = relationship(order_by=DecisionProposal.id)
    revisions: Mapped[list[FindingRevision]] = relationship(order_by=FindingRevision.id)
    adverse_actions: Mapped[list[AdverseAction]] = relationship(order_by=AdverseAction.id)
    renewal: Mapped[Renewal | None] = relationship()

    @property
    def content(self) -> PackageContent:
        """The content of the version that was ordered."""
        return self.version.parsed(Package.parse)

    @property
    def screenings(self) -> tuple[Screening, ...]:
        """The screenings of the version, and those that were added to this check."""
        added = (task.definition for task in self.tasks if task.definition is not None)
        return (*self.content.screenings, *map(load_screening, added))

    def find_missing_documents(self, session: Session) -> list[str]:
        """Return the names of the documents that the package needs and that are not sent."""
        return find_missing(needed_slots(self.content.screenings), list_documents(session, self))

    @property
    def country(self) -> str:
        """Where the candidate lives, as an ISO 3166 code; empty before the candidate chose one."""
        return self.case.country if self.case else ""

    def find_task(self, screening: str) -> ScreeningTask:
        """Return the task of a screening by its key. Raises NotFound."""
        for task in self.tasks:
            if task.key == screening:
                return task
        raise NotFound("There is no such screening in this check")

    def update_progress(self, session: Session) -> None:
        """Write whom the check waits for, after the state of a task has changed."""
        if self.status == CONSENTED:
            self.change_progress(session, check_progress(self.tasks))

    def kind_context(self, secret_box: SecretBox) -> dict[str, Any]:
        """Return the candidate's last agreement, None before one, and the fields and documents.

        `has_open_question`: the staff have asked, and the candidate has not answered.
        """
        return {
            "agreement": self.latest_consent_view(secret_box),
            "detail_fields": DETAIL_FIELDS,
            "document_slots": DOCUMENT_SLOTS,
            "has_open_question": any(question.is_open for question in self.questions),
        }

    def reopen(
        self, session: Session, secret_box: SecretBox, actor: str, reason: str, now: datetime
    ) -> None:
        """Reopen the check. The candidate is asked for consent again.

        Findings, records, questions and disputes are deleted, with the documents of disputes, and
        the details that a consent has used. Consents stay, because they are the proof that the
        earlier screenings were allowed. Details that were typed before any consent stay, too: the
        candidate goes on with them. Only a refusal has deleted them.
        """
        names = ["findings", "tasks", "records", "questions", "disputes"]
        if self.tasks:
            names.append("candidate_details")
        super().reopen(session, secret_box, actor, reason, now)
        self.end_by_reopening(actor, now)
        self.withdraw_proposals(actor, now)
        for row in (row for name in names for row in getattr(self, name)):
            session.delete(row)
        of_order = CheckDocument.order_id == self.id  # DISCARD_LOST_DOCUMENTS deletes the files
        session.execute(delete(CheckDocument).where(of_order, CheckDocument.slot == DISPUTE_SLOT))
        session.flush()
        session.expire(self, names)

    def cancel(self, session: Session, actor: str, reason: str, now: datetime) -> None:
        """Cancel the check, and withdraw its open tasks, questions and proposals."""
        super().cancel(session, actor, reason, now)
        for task in self.tasks:
            if task.is_open:
                task.end(WITHDRAWN, now)
        withdraw_questions(self.questions, actor, now)
        self.withdraw_proposals(actor, now)

    def withdraw_proposals(self, actor: str, now: datetime) -> None:
        """Withdraw what waits for a second person: its outcomes have changed, or count no more."""
        for proposal in self.proposals:
            if proposal.is_open:
                proposal.close(WITHDRAWN_PROPOSAL, actor, now)

    def record_finding(
        self,
        session: Session,
        secret_box: SecretBox,
        screening: str,
        status: str,
        note: str,
        actor: str,
        now: datetime,
        *,
        report_text: str = "",
    ) -> bool:
        """Set the outcome of a screening; return False if it is the same already.

        The note stays with the staff. The report shows `report_text`. The ATS receives neither.
        """
        self.require_consented()
        name = self.find_screening(screening).name
        outcome = clean_outcome(status, report_text, note)
        finding = self.find_finding(screening)
        if finding and self.decrypt_finding(secret_box, finding) == outcome:
            return False
        self.withdraw_proposals(actor, now)
        if finding is None:
            finding = Finding(screening=screening)
            self.findings.append(finding)
        self.write_finding(secret_box, finding, outcome, actor, now)
        task = self.find_task(screening)
        is_first_outcome = task.is_open
        task.started_at = task.started_at or now
        task.end(DONE, now)
        withdraw_questions(self.questions, actor, now, screening)
        if self.account.shows_partial_results:
            self.create_report_link(session, secret_box, now)
        # Without the outcome: staff who may not see results read the timeline.
        self.record_event(session, "outcome entered", actor, now, name)
        self.update_progress(session)
        if is_first_outcome:
            tell_step(session, self, self.case, self.tasks, now)
        return True

    def write_finding(
        self,
        secret_box: SecretBox,
        finding: Finding,
        outcome: Outcome,
        actor: str,
        now: datetime,
    ) -> None:
        """Encrypt an outcome that `clean_outcome` has returned into its finding."""
        finding.status = outcome.status
        path = self.row_path(f"finding/{finding.screening}")
        finding.note = secret_box.encrypt(outcome.note, path) if outcome.note else None
        finding.report_text = (
            secret_box.encrypt(outcome.report_text, f"{path}/report")
            if outcome.report_text
            else None
        )
        finding.actor, finding.found_at = actor, now

    def find_finding(self, screening: str) -> Finding | None:
        """Return the finding of a screening; None before its outcome is entered."""
        return next((finding for finding in self.findings if finding.screening == screening), None)

    def decrypt_note(self, secret_box: SecretBox, finding: Finding) -> str:
        """Return the note of a finding; empty for a finding without one."""
        row_path = self.row_path(f"finding/{finding.screening}")
        return secret_box.decrypt(finding.note, row_path) if finding.note else ""

    def decrypt_report_text(self, secret_box: SecretBox, finding: Finding) -> str:
        """Return the text of a finding that the report shows; empty for one without."""
        row_path = self.row_path(f"finding/{finding.screening}/report")
        return secret_box.decrypt(finding.report_text, row_path) if finding.report_text else ""

    def decrypt_finding(self, secret_box: SecretBox, finding: Finding) -> Outcome:
        return Outcome(
            finding.status,
            self.decrypt_report_text(secret_box, finding),
            self.decrypt_note(secret_box, finding),
        )

    def conclude(self, session: Session, secret_box: SecretBox, actor: str, now: datetime) -> None:
        """Complete the check. Raises Conflict as `require_decided` does."""
        self.require_decided()
        self.withdraw_proposals(actor, now)
        self.complete(session, secret_box, self.build_result(), actor, now)
        tell_copy(session, self, self.case, now)
        self.schedule_renewal(session, secret_box, self.content.valid_months, now)

    def require_decided(self) -> None:
        """Raise Conflict unless the check can be completed.

        It cannot while a screening has no outcome, or is to consider without a text in the report:
        the recruiter must learn the reason.
        """
        self.require_consented()
        if open_screenings := self.open_screenings():
            names = ", ".join(screening.name for screening in open_screenings)
            raise Conflict("There is no outcome yet for: %(names)s", names=names)
        if unexplained_screenings := self.unexplained_screenings():
            names = ", ".join(screening.name for screening in unexplained_screenings)
            raise Conflict("There is no text in the report yet for: %(names)s", names=names)

    def build_result(self) -> Result:
        """Return a result with the outcomes of the screenings."""
        findings = [{"name": name, "status": status} for name, status in self.finding_statuses()]
        return Result(figures={"overall_status": self.overall_status, "findings": findings})

    @property
    def overall_status(self) -> str:
        """`consider` if one finding is, else `clear`."""
        return overall_status(status for _, status in self.finding_statuses())

    def finding_statuses(self) -> list[tuple[str, str]]:
        """Return (name, status) of each screening with an outcome. The ATS receives these."""
        return [
            (screening.name, finding.status)
            for screening in self.screenings
            if (finding := self.find_finding(screening.key))
        ]

    def open_screenings(self) -> list[Screening]:
        """Return the screenings without an outcome."""
        return [screening for screening in self.screenings if not self.find_finding(screening.key)]

    def unexplained_screenings(self) -> list[Screening]:
        """Return the screenings that are to consider, without a text in the report."""
        return [
            screening
            for screening in self.screenings
            if (finding := self.find_finding(screening.key))
            and finding.status == CONSIDER
            and not finding.report_text
        ]

    def find_screening(self, key: str) -> Screening:
        for screening in self.screenings:
            if screening.key == key:
                return screening
        raise NotFound("There is no such screening in this package")

    def reported_findings(self, secret_box: SecretBox) -> list[ReportedFinding]:
        """Return each screening with an outcome as the report shows it, without the notes."""
        return [
            ReportedFinding(
                screening.name,
                finding.status,
                self.decrypt_report_text(secret_box, finding),
                report_records(self.records, screening.key, secret_box, self.public_id),
            )
            for screening in self.screenings
            if (finding := self.find_finding(screening.key))
        ]

    def partial_findings(self, secret_box: SecretBox) -> list[ReportedFinding]:
        """Return the outcomes of a check at work, if its account shows them that early."""
        if self.status != CONSENTED or not self.account.shows_partial_results:
            return []
        return self.reported_findings(secret_box)

    def evidence(self, secret_box: SecretBox) -> CheckEvidence:
        """Return the findings of the current result, without the notes."""
        reported = {finding.name: finding for finding in self.reported_findings(secret_box)}
        findings = tuple(
            reported.get(name, ReportedFinding(name, status))._replace(status=status)
            for finding in self.result_figures.get("findings", ())
            for name, status in [(finding["name"], finding["status"])]
        )
        return CheckEvidence.from_figures(
            self.result_figures,
            sentence=describe_findings(findings),
            findings=findings,
            newer_check=self.describe_newer_check(secret_box),
        )

    def require_consented(self) -> None:
        if self.status != CONSENTED:
            raise Conflict("Screenings are worked on once the candidate has agreed")
