"""The form of a referee: questions about one screening, by a link of their own.

A mail scanner sends only GET requests, so a GET changes nothing. A page shows the candidate's name
and the questions, and nothing else of the check.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.core.kinds.check import Check
from provider.core.kinds.check.packages.content import Screening
from provider.core.kinds.check.referees.referee_acts import (
    MAX_ANSWER_LENGTH,
    YES_NO_LABELS,
    IncompleteAnswers,
    answer_request,
    decline_request,
    questions_of,
    shown_name,
)
from provider.core.kinds.check.tables.referee_request import ANSWERED, DECLINED, RefereeRequest
from provider.core.orders import CONSENTED
from provider.errors import Conflict, NotFound
from provider.services import current_services
from provider.texts import Text, gettext_noop
from provider.web.candidate.responses import branding_context
from provider.web.rate_limit import limit_by_address

routes = Blueprint("referee", __name__, url_prefix="/f/<token>")
routes.before_request(limit_by_address)

NOT_FOUND_MESSAGE = gettext_noop("This address leads to no questions")


@dataclass(frozen=True)
class RefereeVisit:
    """A request whose link was opened, and what belongs to it."""

    session: Session
    request: RefereeRequest
    check: Check
    now: datetime

    @property
    def screening(self) -> Screening:
        return self.check.find_screening(self.request.screening)

    @property
    def is_answerable(self) -> bool:
        is_at_work = self.check.status == CONSENTED and any(
            task.is_open for task in self.check.tasks if task.key == self.request.screening
        )
        return is_at_work and self.request.is_open(self.now)


@routes.get("")
def show_questions(token: str) -> ResponseReturnValue:
    with _visit(token) as visit:
        return _render(token, visit)


@routes.post("")
def answer(token: str) -> ResponseReturnValue:
    """Store the answers, or list what is missing; a second answer changes nothing."""
    try:
        with _visit(token, is_writing=True) as visit:
            if visit.is_answerable:
                secret_box = current_services().secret_box
                answer_request(
                    visit.session,
                    secret_box,
                    visit.check,
                    visit.request,
                    request.form,
                    visit.now,
                )
    except IncompleteAnswers as error:
        with _visit(token) as visit:
            return _render(token, visit, error.fields), 400
    return redirect(url_for("referee.show_questions", token=token), 303)


@routes.get("/decline")
def confirm_decline(token: str) -> ResponseReturnValue:
    with _visit(token) as visit:
        if not visit.is_answerable:
            return redirect(url_for("referee.show_questions", token=token), 303)
        return render_template("referee/decline.html", **_context(token, visit))


@routes.post("/decline")
def decline(token: str) -> ResponseReturnValue:
    """Record the refusal; a second one changes nothing."""
    with _visit(token, is_writing=True) as visit:
        if visit.is_answerable:
            decline_request(visit.session, visit.check, visit.request, visit.now)
    return redirect(url_for("referee.show_questions", token=token), 303)


@routes.errorhandler(CSRFError)
def _handle_csrf_error(_: CSRFError) -> ResponseReturnValue:
    """Answer a form whose cookie is gone with a new form that has the typed answers in it."""
    token = str((request.view_args or {})["token"])
    try:
        with _visit(token) as visit:
            return _render(token, visit), 400
    except NotFound as error:
        return _handle_not_found(error)


@routes.errorhandler(Conflict)
def _handle_conflict(_: Conflict) -> ResponseReturnValue:
    """Answer an act that came too late with the page that says so."""
    token = str((request.view_args or {})["token"])
    return redirect(url_for("referee.show_questions", token=token), 303)


@routes.errorhandler(NotFound)
def _handle_not_found(error: NotFound) -> ResponseReturnValue:
    return render_template("error.html", code=404, message=error.translated()), 404


@contextmanager
def _visit(token: str, *, is_writing: bool = False) -> Iterator[RefereeVisit]:
    """Yield the request of a link. Raises NotFound for an unknown one."""
    services = current_services()
    with services.db.writing() if is_writing else services.db.reading() as session:
        found = RefereeRequest.find_by_token(session, token)
        if found is None:
            raise NotFound(NOT_FOUND_MESSAGE)
        query = select(Check).where(Check.id == found.order_id)
        check = session.scalars(query.with_for_update() if is_writing else query).one()
        if is_writing:  # another answer may have come while the check was locked
            session.refresh(found)
        yield RefereeVisit(session, found, check, services.now())


def _render(token: str, visit: RefereeVisit, problems: Mapping[str, Text] | None = None) -> str:
    context = _context(token, visit)
    if not visit.is_answerable:
        return render_template("referee/ended.html", **context)
    return render_template(
        "referee/questions.html",
        **context,
        questions=questions_of(visit.screening),
        yes_no=YES_NO_LABELS,
        max_answer_length=MAX_ANSWER_LENGTH,
        submitted={key: value[:MAX_ANSWER_LENGTH] for key, value in request.form.items()},
        problems=problems or {},
        is_redisplayed=request.method == "POST",
    )


def _context(token: str, visit: RefereeVisit) -> dict[str, object]:
    referee = visit.request.get_referee(current_services().secret_box)
    return {
        **branding_context(visit.check.account),
        "token": token,
        "candidate_name": shown_name(visit.check, current_services().secret_box),
        "referee_name": referee.name,
        "expires_at": visit.request.expires_at,
        "timezone": visit.check.account.timezone,
        "language": visit.check.content.language,
        "is_answered": visit.request.state == ANSWERED,
        "is_declined": visit.request.state == DECLINED,
    }
