"""A check at the console: what the candidate entered, each screening's outcome, completing it."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from hashlib import sha256

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from provider import words
from provider.errors import Conflict, Invalid
from provider.here import here
from provider.kinds.check import Check
from provider.kinds.check.content import Screening
from provider.kinds.check.particulars import PARTICULARS
from provider.orders import COMPLETED, CONSENTED, REPORT, Link
from provider.pages.console import gate

routes = Blueprint("checks", __name__, url_prefix="/checks/<order_id>")

MOVED = (
    "A colleague changed this check after you opened this page, so nothing was done. "
    "Below is how it stands now"
)


@dataclass(frozen=True)
class Line:
    """One screening on the page: its outcome and note, as they stand or as they were typed."""

    screening: Screening
    status: str = ""
    note: str = ""
    actor: str = ""
    problem: str = ""


@routes.get("/")
def one(order_id: str) -> Response:
    """Show a check, and to who may change it the form of its outcomes."""
    return _show(order_id)


@routes.post("/particulars")
def particulars(order_id: str) -> Response:
    """Show what the candidate entered, and put on record who asked for it."""
    house = here()
    with house.db.writing() as session:
        check = Check.find(session, order_id)
        if not check.entered and not check.consents:
            raise Conflict("The candidate has entered nothing yet")
        check.tell(session, "particulars shown", gate.visitor().email, house.now())
        session.flush()
        return _page(session, check, shown=True)


@routes.post("/outcomes")
def enter(order_id: str) -> Response:
    """Save the outcomes that were chosen; nothing is saved while one of them is wrong."""
    house = here()
    try:
        with house.db.writing() as session:
            _enter(session, _held(session, order_id))
    except Invalid as error:
        return _show(order_id, f"{error}. Nothing is saved yet", 400, typed=True)
    except Conflict as error:
        return _show(order_id, str(error), 409)
    if request.form.get("go") == "complete":
        return redirect(url_for(".confirm", order_id=order_id))
    flash("The outcomes are saved.", "success")
    return redirect(url_for(".one", order_id=order_id))


@routes.get("/complete")
def confirm(order_id: str) -> Response:
    """Say what completing will do, word for word what the ATS is told, and ask."""
    gate.require_change()
    return _ask(order_id)


@routes.post("/complete")
def complete(order_id: str) -> Response:
    """Complete the check and tell the ATS."""
    house = here()
    try:
        with house.db.writing() as session:
            check = _held(session, order_id)
            check.conclude(session, house.vault, gate.visitor().email, house.now())
    except Conflict as error:
        return _ask(order_id, str(error), 409)
    flash("The check is completed.", "success")
    return redirect(url_for("console.orders.story", order_id=order_id))


def _held(session: Session, order_id: str) -> Check:
    """Return a check for changing; Conflict when it moved on since the page was opened."""
    check = Check.find(session, order_id, lock=True)
    if request.form.get("stand") != stand_of(check):
        raise Conflict(MOVED)
    return check


def stand_of(check: Check) -> str:
    """Return a short sign of a check's status and outcomes: another one once they change."""
    found = [(each.screening, each.status, each.found_at.isoformat()) for each in check.findings]
    return sha256(repr((check.revision, sorted(found))).encode()).hexdigest()[:16]


def _enter(session: Session, check: Check) -> None:
    house = here()
    if problems := _problems(check):
        raise Invalid(next(iter(problems.values())))
    for each in check.content.screenings:
        status, note = _given(each.key)
        if status:
            actor = gate.visitor().email
            check.find_out(session, house.vault, each.key, status, note, actor, house.now())


def _problems(check: Check) -> dict[str, str]:
    """Return, by screening, what stands in the way of saving."""
    said = "{}: choose an outcome for what you noted"
    keys = [each for each in check.content.screenings if _given(each.key)[1].strip()]
    return {each.key: said.format(each.name) for each in keys if not _given(each.key)[0]}


def _given(key: str) -> tuple[str, str]:
    return request.form.get(f"status-{key}", ""), request.form.get(f"note-{key}", "")


def _show(order_id: str, problem: str = "", code: int = 200, *, typed: bool = False) -> Response:
    with here().db.reading() as session:
        return _page(session, Check.find(session, order_id), problem, code, typed=typed)


def _page(
    session: Session,
    check: Check,
    problem: str = "",
    code: int = 200,
    *,
    shown: bool = False,
    typed: bool = False,
) -> Response:
    house, sees = here(), gate.visitor().may_change
    report = Link.of(session, check, REPORT) if check.result else None
    page = render_template(
        "console/check.html",
        order=check, zone=check.account.timezone, problem=problem, stand=stand_of(check),
        consent=check.consents[-1] if check.consents else None,
        disclosure=check.content.disclosure,
        lines=_typed(check) if typed else _lines(check, sees),
        working=check.status == CONSENTED and sees,
        shown=_entered(check) if shown else None,
        agreed=check.agreed(house.vault) if shown else None,
        completed=check.status == COMPLETED,
        report=house.links.report(report.token(house.vault)) if report else "",
    )  # fmt: skip
    return make_response(page, code)


def _ask(order_id: str, problem: str = "", code: int = 200) -> Response:
    with here().db.reading() as session:
        check = Check.find(session, order_id)
        page = render_template(
            "console/check_complete.html",
            order=check, problem=problem, stand=stand_of(check),
            possible=check.status == CONSENTED, left=check.open_screenings(),
            outcomes=check.outcomes(), overall=check.overall,
        )  # fmt: skip
    return make_response(page, code)


def _entered(check: Check) -> list[tuple[str, str]]:
    found = check.particulars(here().vault)
    return [
        (each.label, _day(found[name]) if each.kind == "date" else found[name])
        for name, each in PARTICULARS.items()
        if name in found
    ]


def _day(text: str) -> str:
    return words.day(datetime.combine(date.fromisoformat(text), time(), UTC))


def _lines(check: Check, sees: bool) -> list[Line]:
    """Return the screenings as they stand; what was found is for those who work on it alone."""
    found = []
    for each in check.content.screenings:
        finding = check.finding(each.key)
        if finding is None:
            found.append(Line(each))
            continue
        note = check.note(here().vault, finding) if sees else ""
        found.append(Line(each, finding.status, note, finding.actor))
    return found


def _typed(check: Check) -> list[Line]:
    wrong = _problems(check)
    return [
        Line(each, *_given(each.key), problem=wrong.get(each.key, ""))
        for each in check.content.screenings
    ]
