"""The documents of a check: a list, and a viewer of their pages.

The pages are pictures that this program has made; the upload is not stored. Each opening is an
event of the order and an entry of the audit log, and shows the pages for a short time. It needs a
reason, as masked details do: the audit log has the chosen one, and the event also a typed one.
"""

from datetime import timedelta

from flask import (
    Blueprint,
    Response,
    flash,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.core.audit import Action, AuditEntry
from provider.core.kinds.check import Check
from provider.core.kinds.check.documents import ask_again, describe_use, find_document
from provider.core.kinds.check.masking import (
    MAX_REASON_LENGTH,
    REVEAL_REASONS,
    read_reveal_reason,
)
from provider.core.kinds.check.packages.document_slots import label_of
from provider.core.kinds.check.tables.check_document import CheckDocument, read_page
from provider.core.staff import Permission
from provider.errors import Conflict, Invalid, NotFound
from provider.services import current_services
from provider.web.console.authentication import current_staff, record_act, requires
from provider.web.console.presence import record_visit

OPENED = timedelta(minutes=15)  # afterwards the document is opened again

routes = Blueprint("documents", __name__, url_prefix="/documents/<document_id>")


@routes.get("")
@requires(Permission.DECIDE_CHECKS)
def detail(order_id: str, document_id: str) -> Response:
    """Show the pages of a document that this person has opened, or ask why to open it."""
    record_visit(order_id)
    return _render(order_id, document_id)


def _render(order_id: str, document_id: str, problem: str = "", status_code: int = 200) -> Response:
    with current_services().db.reading() as session:
        check = Check.find(session, order_id)
        document = _find_sent_document(session, check, document_id)
        page = render_template(
            "console/check/document.html",
            order=check,
            document=document,
            title=describe_document(check, document),
            is_open=_is_opened(session, order_id, document_id),
            reasons=REVEAL_REASONS,
            chosen_reason=request.form.get("reason", ""),
            text=request.form.get("text", "")[:MAX_REASON_LENGTH],
            max_length=MAX_REASON_LENGTH,
            problem=problem,
        )
    return make_response(page, status_code)


@routes.post("/open")
@requires(Permission.DECIDE_CHECKS)
def open_document(order_id: str, document_id: str) -> ResponseReturnValue:
    """Open a document for a while, and record who sees it and why."""
    try:
        reason = read_reveal_reason(request.form.get("reason", ""), request.form.get("text", ""))
    except Invalid as error:
        return _render(order_id, document_id, str(error), 400)
    with current_services().db.writing() as session:
        check = Check.find(session, order_id)
        document = _find_sent_document(session, check, document_id)
        if not _is_opened(session, order_id, document_id):
            note = f"{describe_use(check, document)} ({reason})"
            now = current_services().now()
            check.record_event(session, "document opened", current_staff().email, now, note)
            after = {"document": document_id, "reason": request.form["reason"]}
            record_act(session, Action.CHECK_DOCUMENT_OPENED, f"order:{order_id}", after=after)
    return redirect(url_for(".detail", order_id=order_id, document_id=document_id), 303)


@routes.get("/pages/<int:number>")
@requires(Permission.DECIDE_CHECKS)
def page_picture(order_id: str, document_id: str, number: int) -> Response:
    """Send a page of a document that this person has opened."""
    with current_services().db.reading() as session:
        document = _find_sent_document(session, Check.find(session, order_id), document_id)
        if not 1 <= number <= document.page_count:
            raise NotFound("There is no such page")
        if not _is_opened(session, order_id, document_id):
            raise Conflict("Open the document first, so that it is recorded who sees it")
        key = document.page_key(number)
    services = current_services()
    picture = read_page(services.media, services.secret_box, key)
    return Response(picture, mimetype="image/jpeg", headers={"Content-Disposition": "inline"})


@routes.post("/ask-again")
@requires(Permission.DECIDE_CHECKS)
def ask_for_another(order_id: str, document_id: str) -> ResponseReturnValue:
    """Mark a document as not readable, and ask the candidate for another one."""
    services = current_services()
    with services.db.writing() as session:
        check = Check.find(session, order_id, lock=True)
        document = _find_sent_document(session, check, document_id)
        ask_again(session, check, document, current_staff().email, services.now())
        after = {"document": document_id}
        record_act(session, Action.CHECK_DOCUMENT_REFUSED, f"order:{order_id}", after=after)
    flash("The candidate is asked for another document by e-mail.", "success")
    return redirect(url_for("console.checks.detail", order_id=order_id), 303)


def describe_document(check: Check, document: CheckDocument) -> str:
    """Return the name of a document in a list."""
    label = label_of(document.slot, document.label)
    return f"{describe_use(check, document)}{f' ({label})' if label else ''}"


def _find_sent_document(session: Session, check: Check, public_id: str) -> CheckDocument:
    """Return a document that the candidate has sent. Raises NotFound, also for a draft."""
    document = find_document(session, check, public_id)
    if document.is_draft:
        raise NotFound("There is no such document")
    return document


def _is_opened(session: Session, order_id: str, document_id: str) -> bool:
    """Return whether the audit log has it that this person opened the document just now."""
    query = select(AuditEntry.after).where(
        AuditEntry.subject == f"order:{order_id}",
        AuditEntry.action == Action.CHECK_DOCUMENT_OPENED,
        AuditEntry.actor == current_staff().email,
        AuditEntry.at > current_services().now() - OPENED,
    )
    return any(after and after["document"] == document_id for after in session.scalars(query))
