"""The candidate disputes an outcome of a complete check, with a text and with documents.

All works as plain forms. A document goes with the form of the dispute, so that what was typed stays
on the page. While the dispute is open, its documents have a page of their own.
"""

from contextlib import suppress
from typing import Any

from flask import Blueprint, current_app, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError, generate_csrf
from werkzeug.exceptions import RequestEntityTooLarge

from provider.core.kinds.check import Check
from provider.core.kinds.check.dispute_documents import (
    MAX_DISPUTE_FILES,
    add_dispute_document,
    current_documents,
    remove_dispute_document,
    require_dispute_room,
)
from provider.core.kinds.check.disputes import (
    TEXT_LENGTHS,
    find_disputable,
    find_open_dispute,
    open_dispute,
    retract_dispute,
)
from provider.core.kinds.check.document_reading.document_pages import MAX_UPLOAD_MEGABYTES
from provider.core.kinds.check.tables.dispute import DISPUTE_REASONS
from provider.errors import Invalid, NotFound, ProviderError, Unavailable
from provider.services import current_services
from provider.texts import gettext
from provider.web.body_limits import MAX_DOCUMENT_BODY_BYTES
from provider.web.candidate.check_documents import (
    FILE_FIELD,
    document_title,
    received_upload,
    upload_limits,
)
from provider.web.candidate.responses import (
    order_context,
    redirect_to_landing,
    respond_form_expired,
    wants_json,
)
from provider.web.candidate.session import CandidateRequest, order_for_read, order_for_update

ADD, SEND, REMOVE = "add", "send", "remove:"  # the values of the buttons of a dispute's form
CheckRequest = CandidateRequest[Check]

routes = Blueprint("disputes", __name__, url_prefix="/disputes/<screening>")


@routes.url_value_preprocessor
def _limit_body(endpoint: str | None, _: dict[str, Any] | None) -> None:
    # The CSRF check may read the body before the view runs, so the limit is set before it.
    if endpoint and endpoint.endswith((".save", ".upload")):
        request.max_content_length = MAX_DOCUMENT_BODY_BYTES


@routes.get("")
def form(public_id: str, screening: str) -> ResponseReturnValue:
    with order_for_read(public_id, Check) as candidate_request:
        check = candidate_request.order
        find_disputable(check, screening)
        if find_open_dispute(check, screening):
            return redirect_to_landing(public_id)
        return _render_form(candidate_request, screening)


@routes.post("")
def save(public_id: str, screening: str) -> ResponseReturnValue:
    """Open a dispute, or add or remove a document; a form that is sent twice opens one dispute.

    A chosen file is stored before the rest is looked at, so that an error loses no file.
    """
    action = request.form.get("do", SEND)
    try:
        if action.startswith(REMOVE):
            _remove(public_id, screening, action.removeprefix(REMOVE))
            return _render_form_again(public_id, screening)
        if action == ADD or _has_file():
            _add(public_id, screening)
        if action == ADD:
            return _render_form_again(public_id, screening)
        with order_for_update(public_id, Check) as candidate_request:
            open_dispute(
                candidate_request.session,
                current_services().secret_box,
                candidate_request.order,
                screening,
                request.form.get("reason", ""),
                request.form.get("text", ""),
                candidate_request.now,
            )
    except (Invalid, Unavailable) as error:
        return _render_form_again(public_id, screening, error)
    return redirect_to_landing(public_id)


@routes.post("/retract")
def retract(public_id: str, screening: str) -> ResponseReturnValue:
    """Retract the open dispute of a screening; a second press changes nothing."""
    with order_for_update(public_id, Check) as candidate_request:
        check = candidate_request.order
        check.find_screening(screening)
        if dispute := find_open_dispute(check, screening):
            retract_dispute(candidate_request.session, check, dispute, candidate_request.now)
    return redirect_to_landing(public_id)


@routes.get("/documents")
def documents(public_id: str, screening: str) -> ResponseReturnValue:
    """Show the documents of the open dispute, and the form to send one more."""
    with order_for_read(public_id, Check) as candidate_request:
        find_disputable(candidate_request.order, screening)
        if not find_open_dispute(candidate_request.order, screening):
            return redirect_to_landing(public_id)
        return _render_documents(candidate_request, screening)


@routes.post("/documents")
def upload(public_id: str, screening: str) -> ResponseReturnValue:
    """Add a document to the open dispute."""
    try:
        with order_for_read(public_id, Check) as candidate_request:
            _require_open(candidate_request.order, screening)
        _add(public_id, screening)
    except (Invalid, Unavailable) as error:
        return _render_problem(public_id, screening, error)
    url = url_for(".documents", public_id=public_id, screening=screening)
    return jsonify(next=url) if wants_json() else redirect(url, 303)


@routes.post("/documents/<document_id>/remove")
def remove(public_id: str, screening: str, document_id: str) -> ResponseReturnValue:
    """Remove a document from the open dispute."""
    with order_for_read(public_id, Check) as candidate_request:
        _require_open(candidate_request.order, screening)
    _remove(public_id, screening, document_id)
    return redirect(url_for(".documents", public_id=public_id, screening=screening), 303)


@routes.errorhandler(RequestEntityTooLarge)
def _handle_large_body(_: RequestEntityTooLarge) -> ResponseReturnValue:
    maximum = MAX_UPLOAD_MEGABYTES
    return _answer_form(
        Invalid("This file is too large. It may have %(maximum)d MB", maximum=maximum)
    )


@routes.errorhandler(CSRFError)
def _handle_csrf_error(_: CSRFError) -> ResponseReturnValue:
    """Answer a form whose cookie is gone with a new form that has the typed text in it."""
    if wants_json():
        return jsonify(csrf_token=generate_csrf()), 400
    if (request.endpoint or "").endswith((".save", ".upload")):
        return _answer_form(Invalid("This page has been open for too long"))
    return respond_form_expired()


def _answer_form(error: Invalid) -> ResponseReturnValue:
    """Answer a form that no view has seen. An error handler must not raise: that is a 500."""
    values = request.view_args or {}
    is_dispute = (request.endpoint or "").endswith(".save")
    render = _render_form_again if is_dispute else _render_problem
    try:
        return render(values["public_id"], values["screening"], error)
    except ProviderError as other:
        return current_app.handle_user_exception(other)


def _require_open(check: Check, screening: str) -> None:
    find_disputable(check, screening)
    if not find_open_dispute(check, screening):
        raise NotFound("There is no such page")


def _has_file() -> bool:
    sent = request.files.get(FILE_FIELD)
    return sent is not None and bool(sent.filename)


def _read_typed(name: str) -> str:
    """Return what was typed into a field; empty for a body that is too large to be read."""
    with suppress(RequestEntityTooLarge):
        return request.form.get(name, "")
    return ""


def _add(public_id: str, screening: str) -> None:
    """Store the file of the request for the dispute. Raises Invalid and Unavailable."""
    with order_for_read(public_id, Check) as candidate_request:
        session, check = candidate_request.session, candidate_request.order
        require_dispute_room(current_documents(session, check, screening))
    with (
        received_upload(public_id) as stored,
        order_for_update(public_id, Check) as candidate_request,
    ):
        session, check = candidate_request.session, candidate_request.order
        folders = add_dispute_document(session, check, screening, stored, candidate_request.now)
    for folder in folders:
        current_services().media.delete_folder(folder)


def _remove(public_id: str, screening: str, document_id: str) -> None:
    with order_for_update(public_id, Check) as candidate_request:
        session, check = candidate_request.session, candidate_request.order
        now = candidate_request.now
        folder = remove_dispute_document(session, check, screening, document_id, now)
    current_services().media.delete_folder(folder)


def _render_form_again(
    public_id: str, screening: str, error: ProviderError | None = None
) -> ResponseReturnValue:
    """Return the form with what was typed into it, and with what is wrong."""
    with order_for_read(public_id, Check) as candidate_request:
        if find_open_dispute(candidate_request.order, screening):  # opened in another window
            return redirect_to_landing(public_id)
        return _render_form(candidate_request, screening, error), *_status_of(error)


def _render_problem(public_id: str, screening: str, error: ProviderError) -> ResponseReturnValue:
    """Return the page of the documents with what is wrong, or the sentence to the script."""
    status = _status_of(error)
    if wants_json():
        return jsonify(error=error.translated()), *status
    with order_for_read(public_id, Check) as candidate_request:
        _require_open(candidate_request.order, screening)
        return _render_documents(candidate_request, screening, error), *status


def _status_of(error: ProviderError | None) -> tuple[int, dict[str, str]]:
    if isinstance(error, Unavailable):
        return 503, error.retry_headers()
    return 400 if error else 200, {}


def _render_form(
    candidate_request: CheckRequest, screening: str, error: ProviderError | None = None
) -> str:
    return render_template(
        "candidate/check/dispute.html",
        **_page_context(candidate_request, screening, error),
        action=url_for(".save", public_id=candidate_request.order.public_id, screening=screening),
        reasons=DISPUTE_REASONS,
        chosen_reason=_read_typed("reason"),
        text=_read_typed("text")[: TEXT_LENGTHS.stop],
        max_length=TEXT_LENGTHS.stop - 1,
        is_about_file=_read_typed("do") == ADD,
        title=gettext("Dispute an outcome"),
    )


def _render_documents(
    candidate_request: CheckRequest, screening: str, error: ProviderError | None = None
) -> str:
    return render_template(
        "candidate/check/dispute_documents.html",
        **_page_context(candidate_request, screening, error),
    )


def _page_context(
    candidate_request: CheckRequest, screening: str, error: ProviderError | None
) -> dict[str, object]:
    check = candidate_request.order
    return {
        **order_context(candidate_request),
        **upload_limits(),
        "screening": find_disputable(check, screening),
        "documents": current_documents(candidate_request.session, check, screening),
        "max_files": MAX_DISPUTE_FILES,
        "title_of": document_title,
        "problem": error.translated() if error else "",
    }
