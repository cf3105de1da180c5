"""The adjudication matrix of an account: edit the draft, try it over past checks, switch it on."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from provider.core.audit import Action
from provider.core.kinds.check.adjudication.matrix import (
    AdjudicationMatrix,
    activate_draft,
    find_active,
    find_draft,
    list_versions,
    retire_active,
    save_draft,
)
from provider.core.kinds.check.adjudication.rules import DISPOSITIONS, MAX_AGE_YEARS, MAX_RULES
from provider.core.kinds.check.adjudication.trial import try_over_past_checks
from provider.core.kinds.check.packages.screening_types import SCREENING_TYPES
from provider.core.kinds.check.tables.found_record import RECORD_KINDS, SEVERITIES
from provider.core.staff import Permission
from provider.errors import Conflict, Invalid
from provider.services import current_services
from provider.web.console.accounts import find_account
from provider.web.console.authentication import current_staff, record_act, requires
from provider.web.console.form_digest import content_digest

routes = Blueprint("adjudication", __name__, url_prefix="/accounts/<account_id>/adjudication")

EMPTY_ROWS = 3  # to add rules, below those that are there
RULE_FIELDS = ("record_kind", "severity", "screening_type", "max_age_years", "disposition")
CHANGED_MESSAGE = (
    "A colleague has changed the draft meanwhile, so nothing was saved. The form shows the "
    "present draft: make your change again"
)
MAX_LISTED_CHECKS = 100


@routes.get("/")
@requires(Permission.MANAGE_ACCOUNTS)
def detail(account_id: str) -> Response:
    return _render(account_id)


@routes.post("/")
@requires(Permission.MANAGE_ACCOUNTS)
def save(account_id: str) -> Response:
    """Replace the rules of the draft by those of the form, in the order of their positions."""
    services, rows = current_services(), _read_rows()
    try:
        with services.db.writing() as session:
            account = find_account(session, account_id, lock=True)
            _require_unchanged(find_draft(session, account.id))
            chosen = [row for row in rows if any(row[name] for name in RULE_FIELDS)]
            draft = save_draft(session, account.id, chosen, current_staff().email, services.now())
            record_act(
                session,
                Action.ADJUDICATION_SAVED,
                f"account:{account.public_id}",
                after={"version": draft.number, "rules": len(chosen)},
            )
    except Invalid as error:
        return _render(account_id, str(error), 400, rows)
    except Conflict as error:
        return _render(account_id, str(error), 409)
    flash("The draft is saved. It proposes nothing before it is switched on.", "success")
    if request.form.get("go") == "try":
        return redirect(url_for(".try_draft", account_id=account_id))
    return redirect(url_for(".detail", account_id=account_id))


@routes.get("/try")
@requires(Permission.MANAGE_ACCOUNTS)
def try_draft(account_id: str) -> str:
    """Show what the draft, or without one the matrix that is on, does to past checks."""
    services = current_services()
    with services.db.reading() as session:
        account = find_account(session, account_id)
        draft = find_draft(session, account.id)
        matrix = draft or find_active(session, account.id)
        trial = (
            try_over_past_checks(session, services.secret_box, account.id, matrix.rules)
            if matrix
            else None
        )
        return render_template(
            "console/check/adjudication_trial.html",
            account=account,
            matrix=matrix,
            is_draft=draft is not None,
            seen=_digest(draft),
            trial=trial,
            listed=trial.different[:MAX_LISTED_CHECKS] if trial else [],
            timezone=account.timezone,
        )


@routes.post("/activate")
@requires(Permission.MANAGE_ACCOUNTS)
def activate(account_id: str) -> Response:
    """Switch the draft on, if it is the one that the page showed."""

    def activate_unchanged(
        session: Session, number: int, actor: str, now: datetime
    ) -> AdjudicationMatrix:
        _require_unchanged(find_draft(session, number))
        return activate_draft(session, number, actor, now)

    notice = "The matrix is on: it proposes outcomes from now on, and people decide."
    return _switch(account_id, activate_unchanged, Action.ADJUDICATION_ACTIVATED, notice)


@routes.post("/retire")
@requires(Permission.MANAGE_ACCOUNTS)
def retire(account_id: str) -> Response:
    notice = "The matrix is off: nothing is proposed any more."
    return _switch(account_id, retire_active, Action.ADJUDICATION_RETIRED, notice)


def _switch(
    account_id: str,
    act: Callable[[Session, int, str, datetime], AdjudicationMatrix],
    action: Action,
    notice: str,
) -> Response:
    """Perform an act on the account's matrix, and record the version that it returns."""
    services = current_services()
    try:
        with services.db.writing() as session:
            account = find_account(session, account_id, lock=True)
            version = act(session, account.id, current_staff().email, services.now())
            subject = f"account:{account.public_id}"
            record_act(session, action, subject, after={"version": version.number})
    except Conflict as error:
        return _render(account_id, str(error), 409)
    flash(notice, "success")
    return redirect(url_for(".detail", account_id=account_id))


def _read_rows() -> list[dict[str, str]]:
    """Return the rules of the form, sorted by their positions."""
    rows = []
    for number in range(1, MAX_RULES + EMPTY_ROWS + 1):
        if f"disposition-{number}" in request.form:
            row = {name: request.form.get(f"{name}-{number}", "") for name in RULE_FIELDS}
            position = request.form.get(f"position-{number}", "")
            is_number = position.isascii() and position.isdigit() and len(position) < 4
            rows.append((int(position) if is_number else number, number, row))
    return [row for _, _, row in sorted(rows, key=lambda entry: entry[:2])]


def _require_unchanged(draft: AdjudicationMatrix | None) -> None:
    if request.form.get("seen") != _digest(draft):
        raise Conflict(CHANGED_MESSAGE)


def _digest(draft: AdjudicationMatrix | None) -> str:
    return content_digest(draft.number, draft.rules_json) if draft else content_digest("")


def _render(
    account_id: str,
    problem: str = "",
    status_code: int = 200,
    submitted: list[dict[str, str]] | None = None,
) -> Response:
    with current_services().db.reading() as session:
        account = find_account(session, account_id)
        draft, active = find_draft(session, account.id), find_active(session, account.id)
        shown = draft or active
        rows: list[Mapping[str, Any]] = list(
            submitted if submitted is not None else shown.rules_json if shown else ()
        )
        rows += [dict.fromkeys(RULE_FIELDS, "") for _ in range(EMPTY_ROWS)]
        page = render_template(
            "console/check/adjudication.html",
            account=account,
            draft=draft,
            active=active,
            versions=list_versions(session, account.id),
            rows=rows,
            seen=_digest(draft),
            problem=problem,
            max_age_years=MAX_AGE_YEARS,
            choices={
                "record_kind": [("", "Any record"), *RECORD_KINDS.items()],
                "severity": [("", "Any severity"), *SEVERITIES.items()],
                "screening_type": [
                    ("", "Any screening"),
                    *((name, entry.label) for name, entry in SCREENING_TYPES.items()),
                ],
                "disposition": [("", "No rule"), *DISPOSITIONS.items()],
            },
            timezone=account.timezone,
        )
    return make_response(page, status_code)
