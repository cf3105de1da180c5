"""The pages that complete an interview: what the ATS will receive, and the confirmation."""

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from provider.core.audit import Action
from provider.core.kinds.interview import Interview
from provider.core.products.schema_fields import clean_text
from provider.core.staff import Permission
from provider.errors import Conflict, Invalid
from provider.services import current_services
from provider.web.console.authentication import candidate_names, current_staff, record_act, requires
from provider.web.console.interviews import is_submitted, sees_scorecards

routes = Blueprint("completion", __name__)

MAX_SUMMARY_LENGTH = 5000  # characters


@routes.get("/complete")
@requires(Permission.RATE_INTERVIEWS)
def confirm(order_id: str) -> Response:
    """Show what the ATS will receive, and ask for a summary."""
    return _render_confirmation(order_id)


@routes.post("/complete")
@requires(Permission.RATE_INTERVIEWS)
def complete(order_id: str) -> Response:
    """Complete the interview if the result is still the one that the form showed."""
    services, actor = current_services(), current_staff().email
    try:
        summary = _read_summary()
        with services.db.writing() as session:
            interview = Interview.find(session, order_id, lock=True)
            _require_may_complete(interview)
            _require_unchanged(interview, request.form.get("edit_token", ""))
            before = {"status": interview.status}
            interview.conclude(session, services.secret_box, summary, actor, services.now())
            subject, after = f"order:{order_id}", {"status": interview.status}
            record_act(session, Action.INTERVIEW_COMPLETED, subject, before, after)
    except Invalid as error:
        return _render_confirmation(order_id, str(error), 400)
    except Conflict as error:
        return _render_confirmation(order_id, str(error), 409)
    flash("The interview is completed. The ATS is being notified.", "success")
    return redirect(url_for("console.orders.detail", order_id=order_id), 303)


def edit_token(interview: Interview) -> str:
    """Return what identifies the result that a page showed, to detect one that has changed."""
    result = interview.build_result(reviewer=current_staff().email)
    count = len(interview.counted_scorecards(current_staff().email))
    return f"{interview.revision} {result.score:g} {count}"


def _may_complete(interview: Interview) -> bool:
    """Return whether the result may be shown to the member of staff behind the request.

    A single reviewer whose scorecard is whole submits it by completing the interview.
    """
    own = interview.scorecard_of(current_staff().email)
    if not interview.current_scorecards() and not interview.answered_questions():
        return True  # there is nothing to rate
    if own and own.is_open:
        cards = interview.current_scorecards()
        return not any(card.is_in or card.is_awaited for card in cards if card is not own)
    return sees_scorecards(interview)


def _require_may_complete(interview: Interview) -> None:
    if not _may_complete(interview):
        raise Conflict(_blocked_message(interview))


def _read_summary() -> str:
    summary = clean_text(request.form.get("summary", ""))
    if len(summary) > MAX_SUMMARY_LENGTH:
        raise Invalid(f"Shorten the summary to {MAX_SUMMARY_LENGTH:,} characters")
    return summary


def _blocked_message(interview: Interview) -> str:
    own = interview.scorecard_of(current_staff().email)
    if own and own.is_open:
        return "Submit your scorecard first: this interview has several reviewers"
    return "Rate the answers first, or choose to see the scorecards without rating"


def _render_confirmation(order_id: str, problem: str = "", status_code: int = 200) -> Response:
    email = current_staff().email
    with current_services().db.reading() as session:
        interview = Interview.find(session, order_id)
        cards = interview.counted_scorecards(email)
        may_complete = _may_complete(interview)
        html = render_template(
            "console/interview/complete.html",
            order=interview,
            content=interview.content,
            name=candidate_names().name_of(interview),
            problem=problem,
            is_allowed=interview.status == "pending" and is_submitted(interview),
            blocked="" if may_complete else _blocked_message(interview),
            awaited=[card.reviewer for card in interview.current_scorecards() if card.is_awaited],
            uncounted=[
                card.reviewer
                for card in interview.current_scorecards()
                if card.is_open and not card.assigned_by and card not in cards
            ],
            unrated=[] if cards else interview.unrated_questions(email),
            cards=cards,
            ratings=interview.joint_ratings(cards) if may_complete else {},
            overall=interview.joint_overall(cards) if may_complete else None,
            result=interview.build_result(reviewer=email) if may_complete else None,
            edit_token=edit_token(interview) if may_complete else "",
            summary=request.form.get("summary", ""),
            max_length=MAX_SUMMARY_LENGTH,
        )
    return make_response(html, status_code)


def _require_unchanged(interview: Interview, submitted_token: str) -> None:
    if submitted_token != edit_token(interview):
        raise Conflict(
            "A colleague changed this interview after you opened this page, so nothing was saved. "
            "This page now shows the current state"
        )
