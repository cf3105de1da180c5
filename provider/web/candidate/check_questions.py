"""The candidate's page with the questions of the staff: plain forms, without scripts."""

from collections.abc import Mapping

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.wrappers import Response

from provider.core.kinds.check import Check
from provider.core.kinds.check.packages.document_slots import DOCUMENT_SLOTS
from provider.core.kinds.check.questions import MAX_ANSWER_LENGTH, answer, open_questions
from provider.errors import Invalid
from provider.services import current_services
from provider.texts import Text, gettext
from provider.web.candidate.responses import branding_context, landing_url
from provider.web.candidate.session import order_for_read, order_for_update

routes = Blueprint("check_questions", __name__, url_prefix="/o/<public_id>/questions")


@routes.get("")
def listing(public_id: str) -> ResponseReturnValue:
    return _render_page(public_id)


@routes.post("/<request_id>")
def send(public_id: str, request_id: str) -> ResponseReturnValue:
    """Store an answer. One that was sent before, in another tab, is answered with a conflict."""
    try:
        with order_for_update(public_id, Check) as candidate_request:
            answer(
                candidate_request.session,
                current_services().secret_box,
                candidate_request.order,
                request_id,
                request.form.get("answer", ""),
                candidate_request.now,
            )
            is_last = not open_questions(candidate_request.order)
    except Invalid as error:
        return _render_page(public_id, {request_id: error.text}), 400
    flash(gettext("Thank you, your answer has been sent."), "success")
    if is_last:
        return redirect(landing_url(public_id), 303)
    return redirect(url_for("candidate.check_questions.listing", public_id=public_id), 303)


def _render_page(public_id: str, problems: Mapping[str, Text] | None = None) -> str | Response:
    with order_for_read(public_id, Check) as candidate_request:
        check, box = candidate_request.order, current_services().secret_box
        questions = open_questions(check)
        if not questions:
            return redirect(landing_url(public_id), 303)
        return render_template(
            "candidate/check/questions.html",
            **branding_context(check.account),
            order=check,
            content=check.content,
            questions=[
                (
                    question,
                    question.decrypt_question(box, check.public_id),
                    check.find_screening(question.screening).name,
                    [DOCUMENT_SLOTS[name].label for name in question.documents],
                )
                for question in questions
            ],
            documents_url=f"/c/o/{public_id}/documents",
            problems=problems or {},
            answer=request.form.get("answer", "")[:MAX_ANSWER_LENGTH],
            max_length=MAX_ANSWER_LENGTH,
        )
