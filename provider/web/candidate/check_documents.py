"""The page on which the candidate of a check sends documents, and sees and removes them.

It works as plain forms. A script sends the same form, shows how much of the file has arrived, and
asks for JSON. The upload is read in memory, and only pictures of its pages are stored.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from flask import (
    Blueprint,
    Response,
    current_app,
    jsonify,
    redirect,
    render_template,
    request,
    url_for,
)
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError, generate_csrf
from werkzeug.exceptions import RequestEntityTooLarge

from provider.core.kinds.check import Check
from provider.core.kinds.check.document_reading.document_pages import (
    ACCEPTED_TYPES,
    MAX_PAGES,
    MAX_UPLOAD_BYTES,
    MAX_UPLOAD_MEGABYTES,
)
from provider.core.kinds.check.documents import (
    StoredUpload,
    add_document,
    find_document,
    finish_documents,
    missing_slots,
    open_slots,
    remove_document,
    require_label,
    require_open_slot,
    require_room,
    stored_documents,
    stored_upload,
)
from provider.core.kinds.check.packages.document_slots import (
    DOCUMENT_LABELS,
    DOCUMENT_SLOTS,
    label_of,
)
from provider.core.kinds.check.tables.check_document import SMALL_PAGE, CheckDocument, read_page
from provider.core.orders import PENDING
from provider.errors import Conflict, Invalid, NotFound, ProviderError, Unavailable
from provider.services import current_services
from provider.texts import gettext
from provider.web.body_limits import MAX_DOCUMENT_BODY_BYTES
from provider.web.candidate.check_steps import next_url
from provider.web.candidate.responses import (
    branding_context,
    landing_url,
    redirect_to_landing,
    wants_json,
)
from provider.web.candidate.session import CandidateRequest, order_for_read, order_for_update

PAGE = "candidate.documents.page"
FILE_FIELD, LABEL_FIELD, REPLACED_FIELD = "file", "label", "replaces"
MAX_UPLOADS = 60  # of one check in a window: each takes seconds of a core
UPLOAD_WINDOW_SECONDS = 3600

routes = Blueprint("documents", __name__, url_prefix="/o/<public_id>/documents")


@routes.url_value_preprocessor
def _limit_body(endpoint: str | None, _: dict[str, Any] | None) -> None:
    # The CSRF check may read the body before the view runs, so the limit is set before it.
    if endpoint and endpoint.endswith(".upload"):
        request.max_content_length = MAX_DOCUMENT_BODY_BYTES


@routes.get("")
def page(public_id: str) -> ResponseReturnValue:
    with order_for_read(public_id, Check) as candidate_request:
        if not open_slots(candidate_request.order):
            return redirect_to_landing(public_id)
        return _render_page(candidate_request)


@routes.post("/<slot>")
def upload(public_id: str, slot: str) -> ResponseReturnValue:
    """Store the pages of a file; an error is shown beside the form of its slot."""
    label, replaced_id = (request.form.get(name, "") for name in (LABEL_FIELD, REPLACED_FIELD))
    try:
        with order_for_read(public_id, Check) as candidate_request:
            session, check = candidate_request.session, candidate_request.order
            require_open_slot(check, slot, candidate_request.given.given_at)
            require_label(slot, label)
            require_room(stored_documents(session, check), slot, replaced_id)
        folders = _store(public_id, slot, label, replaced_id)
    except (Invalid, Unavailable) as error:
        return _render_problem(public_id, slot, error)
    for folder in folders:
        current_services().media.delete_folder(folder)
    return _respond_saved(public_id, slot)


@routes.post("/<slot>/<document_id>/remove")
def remove(public_id: str, slot: str, document_id: str) -> ResponseReturnValue:
    with order_for_update(public_id, Check) as candidate_request:
        session, check = candidate_request.session, candidate_request.order
        require_open_slot(check, slot, candidate_request.given.given_at)
        if find_document(session, check, document_id).slot != slot:
            raise NotFound("There is no such document")
        folder = remove_document(session, check, document_id, candidate_request.now)
    current_services().media.delete_folder(folder)
    return _respond_saved(public_id, slot)


@routes.post("/done")
def finish(public_id: str) -> ResponseReturnValue:
    """Go on to the next step; after the consent, tell the staff that all documents are sent."""
    try:
        with order_for_update(public_id, Check) as candidate_request:
            check = candidate_request.order
            finish_documents(candidate_request.session, check, candidate_request.now)
            url = next_step_url(check)
    except Invalid as error:
        return _render_problem(public_id, "", error)
    return redirect(url, 303)


@routes.get("/<document_id>/pages/<int:number>")
def page_picture(public_id: str, document_id: str, number: int) -> ResponseReturnValue:
    """Send the candidate a page that she has sent, as a small picture."""
    with order_for_read(public_id, Check) as candidate_request:
        session, check = candidate_request.session, candidate_request.order
        document = find_document(session, check, document_id)
        if not 1 <= number <= document.page_count:
            raise NotFound("There is no such page")
        key = document.page_key(number, SMALL_PAGE)
    services = current_services()
    picture = read_page(services.media, services.secret_box, key)
    return Response(picture, mimetype="image/jpeg")


def next_step_url(check: Check) -> str:
    """Return the page after the documents."""
    if check.status == PENDING:
        return next_url(check, PAGE)
    return landing_url(check.public_id)


@routes.errorhandler(RequestEntityTooLarge)
def _handle_large_body(_: RequestEntityTooLarge) -> ResponseReturnValue:
    return _answer_form(
        Invalid("This file is too large. It may have %(maximum)d MB", maximum=MAX_UPLOAD_MEGABYTES)
    )


@routes.errorhandler(CSRFError)
def _handle_csrf_error(_: CSRFError) -> ResponseReturnValue:
    """Answer a form whose cookie is gone; the script sends it again with the new token."""
    if wants_json():
        return jsonify(csrf_token=generate_csrf()), 400
    return _answer_form(Invalid("This is not saved yet. Please send it again"))


def _answer_form(error: Invalid) -> ResponseReturnValue:
    """Answer a form that no view has seen. An error handler must not raise: that is a 500."""
    values = request.view_args or {}
    try:
        return _render_problem(values["public_id"], values.get("slot", ""), error)
    except ProviderError as other:
        return current_app.handle_user_exception(other)


def _store(public_id: str, slot: str, label: str, replaced_id: str) -> list[str]:
    """Store the file of the request; return the media folders to delete.

    Raises Invalid, Conflict and Unavailable; then nothing is stored.
    """
    with (
        received_upload(public_id) as stored,
        order_for_update(public_id, Check) as candidate_request,
    ):
        check = candidate_request.order
        require_open_slot(check, slot, candidate_request.given.given_at)
        return add_document(
            candidate_request.session,
            check,
            slot,
            label,
            stored,
            candidate_request.now,
            replaced_id=replaced_id,
        )


@contextmanager
def received_upload(public_id: str) -> Iterator[StoredUpload]:
    """Clean the file of the request and store its pages, as `stored_upload` does."""
    services = current_services()
    state = services.rate_limiter.hit(
        f"documents/{public_id}", MAX_UPLOADS, UPLOAD_WINDOW_SECONDS, services.now()
    )
    if state.remaining < 0:
        raise Invalid("You have sent many files. Please send more in an hour")
    content, clamd = _read_file(), services.settings.clamd
    with stored_upload(content, services.media, services.secret_box, clamd) as stored:
        yield stored


def upload_limits() -> dict[str, object]:
    """Return the template variables of a form with a file."""
    return {
        "accepted_types": ",".join(ACCEPTED_TYPES),
        "max_bytes": MAX_UPLOAD_BYTES,
        "max_megabytes": MAX_UPLOAD_MEGABYTES,
        "max_pages": MAX_PAGES,
    }


def _read_file() -> bytes:
    sent = request.files.get(FILE_FIELD)
    if sent is None or not sent.filename:
        raise Invalid("Please choose a file first")
    content: bytes = sent.read(MAX_UPLOAD_BYTES + 1)
    sent.close()  # a large one is a temporary file
    return content


def _read_label() -> str:
    with suppress(RequestEntityTooLarge):
        return request.form.get(LABEL_FIELD, "")
    return ""


def _respond_saved(public_id: str, slot: str) -> ResponseReturnValue:
    url = url_for(".page", public_id=public_id, _anchor=f"slot-{slot}")
    if wants_json():
        return jsonify(next=url)
    return redirect(url, 303)


def _render_problem(public_id: str, slot: str, error: ProviderError) -> ResponseReturnValue:
    """Answer with the page and what is wrong, or to the script with the sentence."""
    is_ours = isinstance(error, Unavailable)
    headers = error.retry_headers() if isinstance(error, Unavailable) else {}
    status = 503 if is_ours else 400
    if wants_json():
        return jsonify(error=error.translated()), status, headers
    with order_for_read(public_id, Check) as candidate_request:
        if not open_slots(candidate_request.order):
            raise Conflict("No document is asked of you just now")
        return _render_page(candidate_request, slot, error.translated()), status, headers


def _render_page(
    candidate_request: CandidateRequest[Check], problem_slot: str = "", problem: str = ""
) -> str:
    session, check = candidate_request.session, candidate_request.order
    documents = stored_documents(session, check)
    return render_template(
        "candidate/check/documents.html",
        **branding_context(check.account),
        order=check,
        content=check.content,
        slots=[
            {
                "name": name,
                "slot": DOCUMENT_SLOTS[name],
                "reasons": reasons,
                "choices": DOCUMENT_LABELS.get(name, {}),
                "documents": [entry for entry in documents if entry.slot == name],
            }
            for name, reasons in open_slots(check).items()
        ],
        is_missing=bool(missing_slots(session, check)),
        is_before_consent=check.status == PENDING,
        problem_slot=problem_slot,
        problem=problem,
        chosen_label=_read_label(),
        title_of=document_title,
        **upload_limits(),
    )


def document_title(document: CheckDocument) -> str:
    """Return the name of a document for the candidate."""
    if label := label_of(document.slot, document.label):
        return str(label)
    return gettext("File %(number)d", number=document.number)
