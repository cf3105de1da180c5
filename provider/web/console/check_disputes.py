"""Disputes of candidates about the outcomes of screenings: the list, and the page to answer one."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from sqlalchemy import Select, select
from werkzeug.wrappers import Response

from provider.core.audit import Action
from provider.core.kinds.check import Check
from provider.core.kinds.check.disputes import (
    TEXT_LENGTHS,
    answer_dispute,
    decrypt_reason,
    find_dispute,
    is_waiting_dispute,
)
from provider.core.kinds.check.screening_status import DisputeView, list_public_records
from provider.core.kinds.check.tables.dispute import Dispute
from provider.core.orders import COMPLETED
from provider.core.staff import Permission
from provider.errors import Conflict, Invalid
from provider.services import current_services
from provider.web.console.authentication import current_staff, record_act, requires
from provider.web.console.check_documents import describe_document
from provider.web.console.check_readings import record_reading
from provider.web.console.pagination import Sorting, paginate, read_filter_value
from provider.web.console.presence import record_visit

routes = Blueprint("disputes", __name__, url_prefix="/disputes")

OPEN, ENDED = "open", "ended"
COLUMNS: tuple[Any, ...] = (Dispute.public_id, Dispute.id)
SORTING = Sorting(Dispute.public_id, (Dispute.opened_at, Dispute.id), descending=False)
NEWEST_FIRST = Sorting(Dispute.public_id, (Dispute.opened_at, Dispute.id))


@dataclass(frozen=True)
class DisputeRow:
    """A dispute in a list."""

    public_id: str
    check: Check
    screening: str
    reason: str
    opened_at: datetime
    outcome: str


@routes.get("/")
@requires(Permission.DECIDE_CHECKS)
def listing() -> str:
    """Show the open disputes, the oldest first, or those that have ended."""
    with current_services().db.reading() as session:
        state = read_filter_value("state", (OPEN, ENDED)) or OPEN
        query: Select[Any] = select(*COLUMNS)
        condition = is_waiting_dispute() if state == OPEN else Dispute.outcome != ""
        page = paginate(
            session,
            query.join(Check, Check.id == Dispute.order_id).where(condition),
            SORTING if state == OPEN else NEWEST_FIRST,
        )
        rows = [_load_row(*find_dispute(session, row.public_id)) for row in page.rows]
        return render_template(
            "console/check/disputes.html",
            page=page,
            rows=rows,
            args={"state": state},
            states=((OPEN, "Open"), (ENDED, "Ended")),
        )


@routes.get("/<dispute_id>/")
@requires(Permission.DECIDE_CHECKS)
def detail(dispute_id: str) -> Response:
    return _render(dispute_id)


@routes.post("/<dispute_id>/")
@requires(Permission.DECIDE_CHECKS)
def save(dispute_id: str) -> Response:
    """Answer a dispute. The candidate gets an e-mail without the answer."""
    services = current_services()
    try:
        with services.db.writing() as session:
            check, dispute = find_dispute(session, dispute_id, lock=True)
            answer_dispute(
                session,
                services.secret_box,
                check,
                dispute,
                request.form.get("outcome", ""),
                request.form.get("answer", ""),
                current_staff().email,
                services.now(),
            )
            subject = f"order:{check.public_id}"
            after = {"dispute": dispute_id, "outcome": dispute.outcome}
            record_act(session, Action.CHECK_DISPUTE_ANSWERED, subject, after=after)
    except (Invalid, Conflict) as error:
        return _render(dispute_id, str(error), 400 if isinstance(error, Invalid) else 409)
    flash("The dispute is answered. The candidate gets an e-mail.", "success")
    return redirect(url_for(".listing"), 303)


def list_disputes(check: Check) -> list[DisputeRow]:
    """Return the disputes of a check for its page."""
    return [_load_row(check, dispute) for dispute in check.disputes]


def _load_row(check: Check, dispute: Dispute) -> DisputeRow:
    return DisputeRow(
        dispute.public_id,
        check,
        check.find_screening(dispute.screening).name,
        decrypt_reason(current_services().secret_box, check, dispute),
        dispute.opened_at,
        dispute.outcome,
    )


def _render(dispute_id: str, problem: str = "", status_code: int = 200) -> Response:
    secret_box = current_services().secret_box
    with current_services().db.reading() as session:
        check, dispute = find_dispute(session, dispute_id)
        finding = check.find_finding(dispute.screening)
        view = DisputeView.of(secret_box, check, dispute)
        page = render_template(
            "console/check/dispute.html",
            order=check,
            dispute=view,
            documents=[(describe_document(check, entry), entry) for entry in view.documents],
            actor=dispute.actor,
            screening=check.find_screening(dispute.screening),
            status=finding.status if finding else "",
            report_text=check.decrypt_report_text(secret_box, finding) if finding else "",
            records=list_public_records(secret_box, check, dispute.screening),
            is_open=dispute.is_open and check.status == COMPLETED,
            form=request.form,
            max_length=TEXT_LENGTHS.stop - 1,
            problem=problem,
        )
        order_id = check.public_id
    record_visit(order_id)
    record_reading(order_id, "dispute", dispute=dispute_id)
    return make_response(page, status_code)
