"""What the pages of a check show about decisions: proposals, a second person, a newer check."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from provider.core.kinds.check import Check
from provider.core.kinds.check.adjudication.matrix import find_active, propose_outcomes
from provider.core.kinds.check.adjudication.rules import RuleProposal
from provider.core.kinds.check.current_check import find_newer_check
from provider.core.kinds.check.decisions import (
    describe_revision,
    find_open_proposal,
    needs_second_person,
    read_reason,
    read_revision,
)
from provider.core.kinds.check.tables.decision_proposal import SENT_BACK
from provider.core.orders.states import CONSENTED
from provider.core.staff import Permission
from provider.services import current_services
from provider.web.console.authentication import current_staff, may


def find_proposals(session: Session, check: Check) -> Mapping[str, RuleProposal]:
    """Return what the account's rules propose, by screening; empty where none are on."""
    matrix = find_active(session, check.account_id)
    if matrix is None or check.status != CONSENTED:
        return {}
    services = current_services()
    return propose_outcomes(services.secret_box, check, matrix.rules, services.now())


def page_context(session: Session, check: Check) -> dict[str, Any]:
    """Return the variables for `_decision.html`. Private texts are for those who decide."""
    box, can_decide = current_services().secret_box, may(Permission.DECIDE_CHECKS)
    proposal = find_open_proposal(check)
    last = check.proposals[-1] if check.proposals else None
    matrix = find_active(session, check.account_id) if can_decide else None
    return {
        "proposals": find_proposals(session, check) if can_decide else {},
        "rules": matrix.rules if matrix else (),
        "waiting_proposal": proposal if can_decide else None,
        "proposed_revision": (
            read_revision(box, check, proposal) if proposal and can_decide else None
        ),
        "is_own_proposal": bool(proposal and proposal.proposed_by == current_staff().email),
        "needs_second_person": needs_second_person(check.account, check.overall_status),
        "sent_back": last if can_decide and last and last.answer == SENT_BACK else None,
        "sent_back_reason": read_reason(box, check, last) if can_decide and last else "",
        "newer_check": find_newer_check(session, box, check),
        "revisions": (
            [(row, *describe_revision(box, check, row)) for row in reversed(check.revisions)]
            if can_decide
            else []
        ),
    }
