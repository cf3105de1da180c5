"""The texts of an account's notices to candidates, by package and language, with versions."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from sqlalchemy import or_, select
from sqlalchemy.orm import Session, defer
from werkzeug.wrappers import Response

from provider.core.accounts import Account, Caller
from provider.core.audit import Action
from provider.core.kinds.check.adverse.notice_samples import (
    MAX_NOTICE_LENGTH,
    NOTICE_LABELS,
    clean_text,
    list_parameters,
)
from provider.core.kinds.check.adverse.notice_text import (
    NoticeScope,
    NoticeText,
    end_text,
    find_applying,
    find_applying_text,
    list_current,
    list_versions,
    require_language,
    sample_text,
    save_text,
)
from provider.core.kinds.check.packages.package import Package
from provider.core.kinds.check.tables.adverse_action import NOTICES
from provider.core.products import Product
from provider.core.products.product import visibility_conditions
from provider.core.staff import Permission
from provider.errors import Conflict, Invalid, NotFound
from provider.services import current_services
from provider.texts import DEFAULT_LANGUAGE, find_language, list_languages
from provider.web.console.accounts import find_account
from provider.web.console.authentication import current_staff, record_act, requires
from provider.web.console.check_notice_preview import (
    NoticePreview,
    find_version,
    render_email,
    render_pdf,
)
from provider.web.console.form_digest import content_digest

routes = Blueprint("notice_texts", __name__, url_prefix="/accounts/<account_id>/notices")

CHANGED_MESSAGE = "A colleague has changed this text meanwhile. Compare it, then save again"


@dataclass(frozen=True)
class Place:
    """One text of an account: its notice, its package or None for all, and its language."""

    account: Account
    purpose: str
    package: Package | None
    language: str

    @property
    def scope(self) -> NoticeScope:
        return NoticeScope(self.package.id if self.package else None, self.language)

    @property
    def shown_language(self) -> str:
        """The language of a preview."""
        version = find_version(self.package) if self.package else None
        tags = (self.language, version.language if version else "")
        return find_language(*tags) or DEFAULT_LANGUAGE

    @property
    def url_values(self) -> dict[str, str]:
        values = {"account_id": self.account.public_id, "purpose": self.purpose}
        package = self.package.public_id if self.package else None
        query = {"package": package, "language": self.language}
        return values | {name: value for name, value in query.items() if value}


class Cell(NamedTuple):
    """The text that applies to a package and a language; None for the sample."""

    language: str
    text: NoticeText | None
    is_own: bool  # for exactly this package and language


@routes.get("/")
@requires(Permission.MANAGE_ACCOUNTS)
def listing(account_id: str) -> str:
    """Show which text applies to each package and language."""
    with current_services().db.reading() as session:
        account = find_account(session, account_id)
        packages = _list_packages(session, account)
        texts = list_current(session, account.id, options=[defer(NoticeText.text)])
        return render_template(
            "console/check/notice_texts.html",
            account=account,
            notices=[
                (purpose, label, _list_rows([row for row in texts if row.purpose == purpose]))
                for purpose, label in NOTICE_LABELS.items()
            ],
            packages=packages,
            languages=list_languages(),
            timezone=account.timezone,
        )


@routes.get("/<purpose>")
@requires(Permission.MANAGE_ACCOUNTS)
def detail(account_id: str, purpose: str) -> Response:
    with current_services().db.reading() as session:
        return _render(session, _read_place(session, account_id, purpose))


@routes.post("/<purpose>")
@requires(Permission.MANAGE_ACCOUNTS)
def save(account_id: str, purpose: str) -> Response:
    """Store the text of the form as a new version, or preview it. Sent notices keep theirs."""
    services, text = current_services(), request.form.get("text", "")
    with services.db.writing() as session:
        place = _read_place(session, account_id, purpose, lock=True)
        try:
            if request.form.get("act") in ("preview", "pdf"):
                return _preview(session, place, clean_text(purpose, text))
            _require_unchanged(session, place)
            version = save_text(
                session,
                place.account.id,
                purpose,
                text,
                current_staff().email,
                services.now(),
                place.scope,
            )
        except (Conflict, Invalid) as error:
            status_code = 409 if isinstance(error, Conflict) else 400
            return _render(session, place, problem=str(error), status_code=status_code)
        if version:
            _record(session, Action.NOTICE_TEXT_SAVED, place, version)
    flash("The text is saved. The next notice has it.", "success")
    return redirect(url_for(".listing", account_id=account_id))


@routes.post("/<purpose>/end")
@requires(Permission.MANAGE_ACCOUNTS)
def end(account_id: str, purpose: str) -> Response:
    """End the use of a text, so that a wider one applies."""
    services = current_services()
    with services.db.writing() as session:
        place = _read_place(session, account_id, purpose, lock=True)
        try:
            _require_unchanged(session, place)
            text = end_text(
                session,
                place.account.id,
                purpose,
                place.scope,
                current_staff().email,
                services.now(),
            )
        except Conflict as error:
            return _render(session, place, problem=str(error), status_code=409)
        _record(session, Action.NOTICE_TEXT_ENDED, place, text)
    flash("The text is no longer in use. Its versions stay.", "success")
    return redirect(url_for(".listing", account_id=account_id))


def _read_place(session: Session, account_id: str, purpose: str, *, lock: bool = False) -> Place:
    """Return what the address and the form name.

    Raises NotFound for an unknown notice, and for a package that the account neither sees nor has
    a text for. Raises Invalid for an unknown language.
    """
    account = find_account(session, account_id, lock=lock)
    if purpose not in NOTICES:
        raise NotFound("There is no such notice")
    language = request.values.get("language", "")
    require_language(language)
    package, package_id = None, request.values.get("package", "")
    if package_id:
        query = select(Package).where(Package.public_id == package_id, *_conditions(account))
        package = session.scalar(query)
        if package is None:
            raise NotFound("There is no such package")
    return Place(account, purpose, package, language)


def _list_packages(session: Session, account: Account) -> Sequence[Package]:
    """Return the packages for which the account may have texts, by name."""
    query = select(Package).where(*_conditions(account))
    return session.scalars(query.order_by(Package.name, Package.id)).all()


def _conditions(account: Account) -> list[Any]:
    visible = visibility_conditions(("check",), Caller.from_account(account))
    with_text = select(NoticeText.product_id).where(
        NoticeText.account_id == account.id, NoticeText.product_id.is_not(None)
    )
    return [or_(Package.id.in_(select(Package.id).where(*visible)), Package.id.in_(with_text))]


def _list_rows(texts: Sequence[NoticeText]) -> list[tuple[Product | None, list[Cell]]]:
    """Return a row for all packages, and one for each package with a text of its own, by name."""
    own = {text.product for text in texts if text.product}
    packages = [None, *sorted(own, key=attrgetter("name"))]
    return [(package, _list_cells(texts, package)) for package in packages]


def _list_cells(texts: Sequence[NoticeText], package: Product | None) -> list[Cell]:
    """Return a cell for all languages, and one for each."""
    cells = []
    for language in ("", *list_languages()):
        scope = NoticeScope(package.id if package else None, language)
        text = find_applying(texts, scope)
        cells.append(Cell(language, text, text is not None and text.scope == scope))
    return cells


def _require_unchanged(session: Session, place: Place) -> None:
    versions = list_versions(session, place.account.id, place.purpose, place.scope)
    if request.form.get("seen") != _seen(versions):
        raise Conflict(CHANGED_MESSAGE)


def _seen(versions: Sequence[NoticeText]) -> str:
    newest = versions[0] if versions else None
    return content_digest(newest.number if newest else 0, bool(newest and newest.ended_at))


def _record(session: Session, action: Action, place: Place, text: NoticeText) -> None:
    fields = {
        "notice": place.purpose,
        "package": place.package.public_id if place.package else "",
        "language": place.language,
        "version": text.number,
        "digest": text.digest,
    }
    record_act(session, action, f"account:{place.account.public_id}", after=fields)


def _preview(session: Session, place: Place, text: str) -> Response:
    preview = NoticePreview.create(
        place.account, place.package, place.purpose, text, place.shown_language
    )
    if request.form.get("act") == "pdf":
        return render_pdf(preview)
    return _render(session, place, email=render_email(preview))


def _render(
    session: Session,
    place: Place,
    *,
    problem: str = "",
    email: tuple[str, str] | None = None,
    status_code: int = 200,
) -> Response:
    account, purpose = place.account, place.purpose
    versions = list_versions(session, account.id, purpose, place.scope)
    applying = find_applying_text(session, account.id, purpose, place.scope)
    text = applying.text if applying else sample_text(purpose, place.shown_language).text
    page = render_template(
        "console/check/notice_text.html",
        account=account,
        place=place,
        label=NOTICE_LABELS[purpose],
        text=request.form.get("text", text) if problem or email else text,
        applying=applying,
        is_own=applying is not None and applying.scope == place.scope,
        versions=versions,
        parameters=list_parameters(purpose),
        max_length=MAX_NOTICE_LENGTH,
        seen=_seen(versions),
        problem=problem,
        email=email,
        timezone=account.timezone,
    )
    return make_response(page, status_code)
