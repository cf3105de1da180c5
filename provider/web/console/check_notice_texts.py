"""The texts of an account's notices to candidates, each with its versions."""

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from provider.core.accounts import Account
from provider.core.audit import Action
from provider.core.kinds.check.adverse_action import NOTICES
from provider.core.kinds.check.notice_text import (
    MAX_NOTICE_LENGTH,
    NOTICE_LABELS,
    PARAMETERS,
    SAMPLES,
    NoticeText,
    find_text,
    save_text,
)
from provider.core.staff import Permission
from provider.errors import Conflict, Invalid, NotFound
from provider.services import current_services
from provider.web.console.accounts import find_account
from provider.web.console.authentication import current_staff, record_act, requires
from provider.web.console.form_digest import content_digest

routes = Blueprint("notice_texts", __name__, url_prefix="/accounts/<account_id>/notices")

CHANGED_MESSAGE = "A colleague has saved another text meanwhile. Compare it, then save again"


@routes.get("/")
@requires(Permission.MANAGE_ACCOUNTS)
def listing(account_id: str) -> str:
    with current_services().db.reading() as session:
        account = find_account(session, account_id)
        return render_template(
            "console/check/notice_texts.html",
            account=account,
            notices=[
                (purpose, label, find_text(session, account.id, purpose))
                for purpose, label in NOTICE_LABELS.items()
            ],
            timezone=account.timezone,
        )


@routes.get("/<purpose>")
@requires(Permission.MANAGE_ACCOUNTS)
def detail(account_id: str, purpose: str) -> Response:
    _require_known(purpose)
    with current_services().db.reading() as session:
        return _render(session, find_account(session, account_id), purpose)


@routes.post("/<purpose>")
@requires(Permission.MANAGE_ACCOUNTS)
def save(account_id: str, purpose: str) -> Response:
    """Store the text of the form as a new version. Notices that were sent keep theirs."""
    _require_known(purpose)
    services = current_services()
    with services.db.writing() as session:
        account = find_account(session, account_id, lock=True)
        try:
            _require_unchanged(session, account, purpose)
            text, staff = request.form.get("text", ""), current_staff().email
            version = save_text(session, account.id, purpose, text, staff, services.now())
        except (Conflict, Invalid) as error:
            status_code = 409 if isinstance(error, Conflict) else 400
            return _render(session, account, purpose, str(error), status_code)
        if version:
            record_act(
                session,
                Action.NOTICE_TEXT_SAVED,
                f"account:{account.public_id}",
                after={"notice": purpose, "version": version.number},
            )
    flash("The text is saved. The next notice has it.", "success")
    return redirect(url_for(".listing", account_id=account_id))


def _require_known(purpose: str) -> None:
    if purpose not in NOTICES:
        raise NotFound("There is no such notice")


def _require_unchanged(session: Session, account: Account, purpose: str) -> None:
    if request.form.get("seen") != _seen(session, account, purpose):
        raise Conflict(CHANGED_MESSAGE)


def _seen(session: Session, account: Account, purpose: str) -> str:
    text = find_text(session, account.id, purpose)
    return content_digest(text.number if text else 0)


def _render(
    session: Session, account: Account, purpose: str, problem: str = "", status_code: int = 200
) -> Response:
    query = select(NoticeText).where(
        NoticeText.account_id == account.id, NoticeText.purpose == purpose
    )
    versions = session.scalars(query.order_by(NoticeText.number.desc())).all()
    present = versions[0].text if versions else SAMPLES[purpose]
    page = render_template(
        "console/check/notice_text.html",
        account=account,
        purpose=purpose,
        label=NOTICE_LABELS[purpose],
        text=request.form.get("text", present) if problem else present,
        is_sample=not versions,
        versions=versions,
        parameters=PARAMETERS,
        max_length=MAX_NOTICE_LENGTH,
        seen=_seen(session, account, purpose),
        problem=problem,
        timezone=account.timezone,
    )
    return make_response(page, status_code)
