"""The steps of a scripted candidate of a sandbox, and of the staff who work on the check."""

from sqlalchemy.orm import Session

from provider.core.kinds.base import ScriptedStep
from provider.core.kinds.check.evidence import CLEAR, CONSIDER
from provider.core.kinds.check.models import Check
from provider.core.kinds.check.packages.detail_samples import NAME, SAMPLE_DETAILS
from provider.core.orders.states import CONSENTED

ACTOR = "system"
REPORT_TEXT = "Scripted outcome of a sandbox: nothing was looked into."


def play_step(session: Session, check: Check, step: ScriptedStep) -> None:
    if check.status != CONSENTED:
        _consent(session, check, step)
        return
    for screening in check.screenings:
        check.record_finding(
            session,
            step.secret_box,
            screening.key,
            CLEAR if step.is_good else CONSIDER,
            "",
            ACTOR,
            step.now,
            report_text=REPORT_TEXT,
        )
    check.conclude(session, step.secret_box, ACTOR, step.now)


def _consent(session: Session, check: Check, step: ScriptedStep) -> None:
    check.give_consent(
        session,
        step.secret_box,
        NAME,
        SAMPLE_DETAILS,
        ip_address="",
        user_agent="",
        now=step.now,
        needs_documents=False,
    )
