"""The documents of a check: a list, and a viewer of their pages.

The pages are pictures that this program has made; the upload is not stored. Each opening is an
event of the order and an entry of the audit log, and shows the pages for a short time.
"""

from datetime import timedelta

from flask import Blueprint, Response, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.core.audit import Action, AuditEntry
from provider.core.kinds.check import Check
from provider.core.kinds.check.documents import ask_again, describe_use, find_document
from provider.core.kinds.check.packages.document_slots import label_of
from provider.core.kinds.check.tables.check_document import CheckDocument, read_page
from provider.core.staff import Permission
from provider.errors import Conflict, NotFound
from provider.services import current_services
from provider.web.console.authentication import current_staff, record_act, requires

OPENED = timedelta(minutes=15)  # afterwards the document is opened again

routes = Blueprint("documents", __name__, url_prefix="/documents/<document_id>")


@routes.get("")
@requires(Permission.DECIDE_CHECKS)
def detail(order_id: str, document_id: str) -> str:
    """Show the pages of a document that this person has opened, or the button that opens it."""
    with current_services().db.reading() as session:
        check = Check.find(session, order_id)
        document = _find_sent_document(session, check, document_id)
        return render_template(
            "console/check/document.html",
            order=check,
            document=document,
            title=describe_document(check, document),
            is_open=_is_opened(session, order_id, document_id),
        )


@routes.post("/open")
@requires(Permission.DECIDE_CHECKS)
def open_document(order_id: str, document_id: str) -> ResponseReturnValue:
    with current_services().db.writing() as session:
        check = Check.find(session, order_id)
        document = _find_sent_document(session, check, document_id)
        if not _is_opened(session, order_id, document_id):
            note = describe_use(check, document)
            now = current_services().now()
            check.record_event(session, "document opened", current_staff().email, now, note)
            after = {"document": document_id}
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
    return any(after == {"document": document_id} for after in session.scalars(query))
