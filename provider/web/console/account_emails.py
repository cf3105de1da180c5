"""The own texts of an account's e-mails, by template and language, with a preview."""

from email import message_from_bytes, policy
from itertools import product

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.core.accounts import Account
from provider.core.audit import Action
from provider.core.emails import EMAIL_SUBJECTS
from provider.core.emails.own_text import PARAMETERS, EmailText
from provider.core.emails.sample import enqueue_sample, render_sample
from provider.core.kinds import KINDS
from provider.core.products.samples import sample_document
from provider.core.staff import Permission
from provider.errors import Invalid, NotFound
from provider.services import current_services
from provider.texts import list_languages
from provider.web.console.accounts import find_account
from provider.web.console.authentication import current_staff, record_act, requires

routes = Blueprint("account_emails", __name__, url_prefix="/accounts/<account_id>/emails")
PREVIEW_RECIPIENT = "alex@example.com"


@routes.get("/")
@requires(Permission.MANAGE_ACCOUNTS)
def listing(account_id: str) -> str:
    with current_services().db.reading() as session:
        account = find_account(session, account_id)
        query = select(EmailText.template, EmailText.language)
        own = {
            tuple(row) for row in session.execute(query.where(EmailText.account_id == account.id))
        }
        return render_template(
            "console/account_emails.html",
            account=account,
            templates=[*EMAIL_SUBJECTS],
            languages=list_languages(),
            own=own,
        )


@routes.get("/<template>/<language>")
@requires(Permission.MANAGE_ACCOUNTS)
def detail(account_id: str, template: str, language: str) -> str:
    _require_known(template, language)
    with current_services().db.reading() as session:
        account = find_account(session, account_id)
        text = EmailText.find(session, account.id, template, language)
        return _render(account, text or _new_text(account, template, language))


@routes.post("/<template>/<language>")
@requires(Permission.MANAGE_ACCOUNTS)
def save(account_id: str, template: str, language: str) -> ResponseReturnValue:
    """Save the texts of the form, or show them in a preview; empty ones are the standard's."""
    _require_known(template, language)
    subject, opening = request.form.get("subject", ""), request.form.get("opening", "")
    with current_services().db.writing() as session:
        account = find_account(session, account_id, lock=True)
        text = _new_text(account, template, language)
        try:
            text.change(subject, opening)
        except Invalid as error:
            text.subject, text.opening = subject, opening
            return _render(account, text, problem=f"{error}."), 400
        if request.form.get("act") == "preview":
            return _render(account, text)
        _store(session, account, text)
    flash("The text is saved. The next e-mail has it.", "success")
    return redirect(url_for("console.account_emails.listing", account_id=account_id))


@routes.post("/<template>/<language>/sample")
@requires(Permission.MANAGE_ACCOUNTS)
def send_sample(account_id: str, template: str, language: str) -> ResponseReturnValue:
    """Send the saved text to the member of the staff who asks for it."""
    _require_known(template, language)
    services, email = current_services(), current_staff().email
    with services.db.writing() as session:
        account = find_account(session, account_id)
        enqueue_sample(
            session,
            account,
            template=template,
            language=language,
            kind=_read_kind(),
            email=email,
            now=services.now(),
        )
        record_act(
            session,
            Action.ACCOUNT_SAMPLE_SENT,
            f"account:{account.public_id}",
            after={"template": template, "language": language},
        )
    flash(f"A sample is on its way to {email}.", "success")
    return redirect(url_for(".detail", account_id=account_id, template=template, language=language))


def _require_known(template: str, language: str) -> None:
    if (template, language) not in product(EMAIL_SUBJECTS, list_languages()):
        raise NotFound("There is no such e-mail")


def _new_text(account: Account, template: str, language: str) -> EmailText:
    return EmailText(
        account_id=account.id, template=template, language=language, subject="", opening=""
    )


def _store(session: Session, account: Account, text: EmailText) -> None:
    """Replace the stored texts; empty ones are removed."""
    stored = EmailText.find(session, account.id, text.template, text.language)
    before = _audit_fields(stored) if stored else {}
    after = _audit_fields(text) if text.subject or text.opening else {}
    if stored:
        session.delete(stored)
        session.flush()  # the new row has the same account, template and language
    if after:
        session.add(text)
    subject = f"account:{account.public_id}"
    record_act(session, Action.ACCOUNT_CHANGED, subject, before=before, after=after)


def _audit_fields(text: EmailText) -> dict[str, str]:
    name = f"{text.template} {text.language}"
    return {f"{name} subject": text.subject, f"{name} opening": text.opening}


def _read_kind() -> str:
    kind = request.values.get("kind", "")
    return kind if kind in KINDS else next(iter(KINDS))


def _render(account: Account, text: EmailText, problem: str = "") -> str:
    kind = _read_kind()
    subject, body = _preview(account, text, kind) if not problem else ("", "")
    return render_template(
        "console/account_email.html",
        account=account,
        text=text,
        problem=problem,
        parameters=[*PARAMETERS],
        kinds=[*KINDS],
        kind=kind,
        subject=subject,
        body=body,
    )


def _preview(account: Account, text: EmailText, kind: str) -> tuple[str, str]:
    """Return the subject and the text part of a sample."""
    services = current_services()
    message = message_from_bytes(
        render_sample(
            text.template,
            sample_document(kind),
            account,
            services.secret_box,
            email=PREVIEW_RECIPIENT,
            url=services.urls.invitation("sample"),
            sender=services.settings.mail_from,
            message_id="preview",
            now=services.now(),
            language=text.language,
            own_text=text,
        ),
        policy=policy.SMTPUTF8,
    )
    body = message.get_body(("plain",))
    assert body is not None
    return str(message["Subject"]), str(body.get_content()).replace("\r\n", "\n").strip()
