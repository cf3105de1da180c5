"""The adverse action on a check: its notices, its clock, and the acts of the staff."""

from collections.abc import Callable
from typing import Any

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from provider.core.audit import Action
from provider.core.kinds.check import Check
from provider.core.kinds.check.adverse import adverse_acts as acts
from provider.core.kinds.check.adverse.jurisdictions import (
    BASIS_LABELS,
    JURISDICTIONS,
    suggest_jurisdiction,
)
from provider.core.kinds.check.adverse.notice_pdf import render_notice_pdf
from provider.core.kinds.check.decisions import clean_reason
from provider.core.kinds.check.tables.adverse_action import (
    PRE_ADVERSE,
    AdverseAction,
    audit_fields,
)
from provider.core.staff import Permission
from provider.errors import Conflict, Invalid
from provider.services import current_services
from provider.texts import use_language
from provider.web.console import authentication
from provider.web.console.authentication import requires
from provider.web.console.check_readings import record_reading
from provider.web.console.presence import record_visit
from provider.web.pdf_response import pdf_response

routes = Blueprint("adverse", __name__, url_prefix="/adverse")

ACT_MESSAGES = {
    "begin": "The notice is on its way, and the candidate’s time runs.",
    "suspend": "The clock stands still.",
    "resume": "The clock goes on.",
    "final": "The final notice is on its way.",
    "withdraw": "The adverse action is withdrawn. The candidate gets an e-mail.",
    "send-again": "The notice is on its way again.",
    "other-way": "It is recorded how the notice reached the candidate.",
}


@routes.get("/")
@requires(Permission.DECIDE_CHECKS)
def detail(order_id: str) -> Response:
    record_visit(order_id)
    return _render(order_id)


@routes.post("/<any('begin', 'suspend', 'resume', 'final', 'withdraw'):act>")
@requires(Permission.DECIDE_CHECKS)
def perform(order_id: str, act: str) -> Response:
    return _perform(order_id, act)


@routes.post("/<any('send-again', 'other-way'):act>")
@requires(Permission.DECIDE_CHECKS)
def deliver(order_id: str, act: str) -> Response:
    """Take care of a notice that came back."""
    return _perform(order_id, act)


@routes.get("/<notice_id>.pdf")
@requires(Permission.DECIDE_CHECKS)
def notice_pdf(order_id: str, notice_id: str) -> Response:
    """Return the PDF of a notice as the candidate got it."""
    services = current_services()
    with services.db.reading() as session:
        check = Check.find(session, order_id)
        notice = check.get_notice(notice_id)
        content = check.decrypt_notice(services.secret_box, notice)
        with use_language(content["language"]):
            pdf = render_notice_pdf(check, content, notice.sent_at)
    record_reading(order_id, "notice", notice=notice_id)
    return pdf_response(pdf, "inline; filename=notice.pdf")


def _perform(order_id: str, act: str) -> Response:
    services, actor = current_services(), authentication.current_staff().email
    try:
        with services.db.writing() as session:
            check = Check.find(session, order_id, lock=True)
            before = _audit_fields(check)
            _ACTS[act](session, check, actor)
            session.flush()
            authentication.record_act(
                session, _ACTIONS[act], f"order:{order_id}", before, _audit_fields(check)
            )
    except Invalid as error:
        return _render(order_id, str(error), 400)
    except Conflict as error:
        return _render(order_id, str(error), 409)
    flash(ACT_MESSAGES[act], "success")
    return redirect(url_for("console.checks.adverse.detail", order_id=order_id))


def _audit_fields(check: Check) -> dict[str, Any]:
    """Return the state of the newest action and of the notices, for the audit log."""
    if not check.adverse_actions:
        return {}
    action = check.adverse_actions[-1]
    notices = [notice for row in check.adverse_actions for notice in row.notices]
    came_back = [notice.purpose for notice in notices if notice.undeliverable_at]
    return audit_fields(action) | {
        "notices": len(action.notices),
        "came_back": came_back,
        "is_suspended": action.is_suspended,
    }


def _begin(session: Session, check: Check, actor: str) -> None:
    services, days = current_services(), request.form.get("days", "")
    if not (days.isascii() and days.isdigit() and len(days) < 3):
        raise Invalid("Give the number of business days, such as 5")
    acts.begin(
        session,
        services.secret_box,
        check,
        request.form.get("jurisdiction", ""),
        int(days),
        clean_reason(request.form.get("reason", "")),
        actor,
        services.now(),
    )


def _suspend(session: Session, check: Check, actor: str) -> None:
    acts.suspend(session, check, actor, current_services().now())


def _resume(session: Session, check: Check, actor: str) -> None:
    acts.resume(session, check, actor, current_services().now())


def _send_final(session: Session, check: Check, actor: str) -> None:
    services = current_services()
    acts.send_final(session, services.secret_box, check, actor, services.now())


def _withdraw(session: Session, check: Check, actor: str) -> None:
    services, reason = current_services(), clean_reason(request.form.get("reason", ""))
    acts.withdraw(session, services.secret_box, check, reason, actor, services.now())


def _send_again(session: Session, check: Check, actor: str) -> None:
    acts.send_again(session, check, _read_notice_id(), actor, current_services().now())


def _record_other_way(session: Session, check: Check, actor: str) -> None:
    services, way = current_services(), request.form.get("way", "")
    acts.record_other_way(
        session, services.secret_box, check, _read_notice_id(), way, actor, services.now()
    )


def _read_notice_id() -> str:
    return request.form.get("notice", "")


_ACTS: dict[str, Callable[[Session, Check, str], None]] = {
    "begin": _begin,
    "suspend": _suspend,
    "resume": _resume,
    "final": _send_final,
    "withdraw": _withdraw,
    "send-again": _send_again,
    "other-way": _record_other_way,
}
_ACTIONS = {
    "begin": Action.ADVERSE_BEGUN,
    "suspend": Action.ADVERSE_SUSPENDED,
    "resume": Action.ADVERSE_RESUMED,
    "final": Action.ADVERSE_FINAL,
    "withdraw": Action.ADVERSE_WITHDRAWN,
    "send-again": Action.NOTICE_SENT_AGAIN,
    "other-way": Action.NOTICE_HANDED_OVER,
}


def _render(order_id: str, problem: str = "", status_code: int = 200) -> Response:
    services = current_services()
    with services.db.reading() as session:
        check, box = Check.find(session, order_id), services.secret_box
        place = request.form.get("jurisdiction") or suggest_jurisdiction(
            check.country, check.case.subdivision if check.case else ""
        )
        page = render_template(
            "console/check/adverse.html",
            order=check,
            problem=problem,
            refusal=acts.find_begin_refusal(session, box, check),
            action=check.open_action,
            can_send_final=_can_send_final(check),
            earlier=[_describe(check, action) for action in check.adverse_actions],
            other_ways={
                notice.public_id: check.decrypt_other_way(box, notice)
                for action in check.adverse_actions
                for notice in action.notices
            },
            places=JURISDICTIONS,
            basis_labels=BASIS_LABELS,
            place=place if place in JURISDICTIONS else "other",
            least_days={key: acts.least_days(check, entry) for key, entry in JURISDICTIONS.items()},
            has_rights=bool(acts.rights_texts(check)),
            open_disputes=sum(dispute.is_open for dispute in check.disputes),
            findings=check.reported_findings(box),
            form=request.form,
            first_notice=PRE_ADVERSE,
            timezone=check.account.timezone,
        )
        has_findings = bool(check.findings)
    if has_findings:
        record_reading(order_id, "outcomes")
    return make_response(page, status_code)


def _can_send_final(check: Check) -> bool:
    action = check.open_action
    if action is None or acts.is_stopped(check, action):
        return False
    end = acts.compute_end(check, action)
    return end is not None and end <= current_services().now()


def _describe(check: Check, action: AdverseAction) -> tuple[AdverseAction, str, str]:
    """Return an action with its two reasons."""
    box = current_services().secret_box

    def read(encrypted: bytes | None, field: str) -> str:
        path = acts.action_path(check, action, field)
        return box.decrypt(encrypted, path) if encrypted else ""

    return action, read(action.reason, "reason"), read(action.end_reason, "end")
