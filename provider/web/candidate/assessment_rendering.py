"""The pages of a running test as HTML: a question, a question whose time is over, the overview."""

from flask import render_template
from werkzeug.datastructures import MultiDict

from provider.core.kinds.assessment import UnreadText
from provider.core.kinds.assessment.items import ANSWER_FIELD
from provider.texts import gettext
from provider.web.candidate.assessment_navigation import (
    ItemPosition,
    list_item_positions,
    name_shown_fields,
)
from provider.web.candidate.assessment_page import AssessmentRequest, template_context
from provider.web.candidate.assessment_signals import find_reading_ms


def unread_text_advice(error: UnreadText) -> str:
    """Return the advice on a typed text, with the earlier answer that counts until then."""
    if not error.earlier_answer:
        return error.translated()
    return gettext(
        "%(advice)s. Until then, your earlier answer counts: %(answer)s",
        advice=error.translated(),
        answer=error.earlier_answer,
    )


def render_item_page(
    candidate_request: AssessmentRequest,
    position: ItemPosition,
    *,
    error: str = "",
    submitted_fields: list[tuple[str, str]] | None = None,
    is_kept: bool = False,
) -> str:
    """Render a question with its saved answer, or with the fields that were submitted."""
    order, item = candidate_request.order, position.item
    value, typed, answer_number = order.find_answer(item.key)
    saved_fields = [(ANSWER_FIELD, typed)] if typed else item.form_fields(value)
    selected = MultiDict(saved_fields if submitted_fields is None else submitted_fields)
    is_answered = bool(saved_fields) or value is not None
    problem = item.find_problem(typed)
    if problem and not error:
        is_kept = True
        error = unread_text_advice(UnreadText(problem, item.format_typed(value, None)))
    return render_template(
        "candidate/assessment/item.html",
        **template_context(candidate_request),
        position=position,
        answer_number=answer_number,
        value=value,
        is_answered=is_answered,
        reading_ms=find_reading_ms(candidate_request, item, is_answered=is_answered),
        shown_fields=name_shown_fields(saved_fields),
        selected=selected,
        selected_values=selected.getlist(ANSWER_FIELD),
        error=error,
        is_kept=is_kept,
        reading=item.reading(typed) if not error else None,
    )


def render_item_over_page(candidate_request: AssessmentRequest, position: ItemPosition) -> str:
    """Render the page of a question whose own time is over."""
    context = template_context(candidate_request)
    return render_template(
        "candidate/assessment/item_over.html", **context, position=position, is_item_over=True
    )


def render_overview_page(
    candidate_request: AssessmentRequest,
    template: str = "candidate/assessment/overview.html",
    *,
    show_missing: bool = False,
) -> str:
    """Render the list of the part's questions. `show_missing` names the required blanks."""
    return render_template(
        template,
        **template_context(candidate_request),
        positions=[
            position
            for position in list_item_positions(candidate_request.order.content)
            if position.number in candidate_request.order.part
        ],
        show_missing=show_missing,
    )
