"""The details of a check's candidate: masked, until a person of the staff gives a reason.

Each access is an act of the audit log, with the names of the fields, and an event of the order with
the reason. A reason that somebody typed may name the candidate, so the audit log does not have it.
"""

from collections.abc import Collection
from dataclasses import dataclass

from flask import Blueprint, make_response, render_template, request
from werkzeug.wrappers import Response

from provider.core.audit import Action
from provider.core.kinds.check import Check
from provider.core.kinds.check.masking import (
    MAX_REASON_LENGTH,
    REVEAL_REASONS,
    mask,
    read_reveal_reason,
)
from provider.core.kinds.check.packages.detail_fields import DETAIL_FIELDS
from provider.core.orders import PENDING
from provider.core.staff import Permission
from provider.errors import Conflict, Invalid
from provider.services import current_services
from provider.web.console.authentication import current_staff, record_act, requires

routes = Blueprint("details", __name__, url_prefix="/details")

# The fields that a consent has beside the details.
CONSENT_LABELS = {"signature": "Name typed", "ip_address": "IP address", "user_agent": "Browser"}
FIELD, ALL = "field", "all"  # the names of a field of the form, and of its button for everything


@dataclass(frozen=True)
class DetailRow:
    """A detail on the page. `value` is masked unless `is_shown`."""

    name: str
    label: str
    value: str
    is_shown: bool = False


@routes.get("")
@requires(Permission.DECIDE_CHECKS)
def listing(order_id: str) -> Response:
    """Show the masked details, and ask why they must be shown."""
    with current_services().db.reading() as session:
        return _render(_require_details(Check.find(session, order_id)))


@routes.post("")
@requires(Permission.DECIDE_CHECKS)
def reveal(order_id: str) -> Response:
    """Show the chosen details, and record who saw which of them and why."""
    services = current_services()
    try:
        reason = read_reveal_reason(request.form.get("reason", ""), request.form.get("text", ""))
        with services.db.writing() as session:
            check = _require_details(Check.find(session, order_id))
            shown = _read_fields(check)
            labels_shown = [row.label for row in list_details(check) if row.name in shown]
            note = f"{', '.join(labels_shown)} ({reason})"
            staff = current_staff().email
            check.record_event(session, "details shown", staff, services.now(), note)
            after = {"fields": shown, "reason": request.form["reason"]}
            record_act(session, Action.CHECK_DETAILS_SHOWN, f"order:{order_id}", after=after)
            session.flush()
            return _render(check, shown)
    except Invalid as error:
        with services.db.reading() as session:
            return _render(Check.find(session, order_id), problem=str(error), status_code=400)


def list_details(check: Check, shown: Collection[str] = ()) -> list[DetailRow]:
    """Return the details of the newest consent, in the order of the form."""
    secret_box = current_services().secret_box
    rows = []
    if consent := check.latest_consent_view(secret_box):
        proof = check.consents[-1]
        values = (consent.name, proof.ip_address, proof.user_agent)
        rows = [
            _build_row(name, label, value, shown)
            for (name, label), value in zip(CONSENT_LABELS.items(), values, strict=True)
            if value
        ]
    # Details that a candidate types before the consent are not shown.
    details = {} if check.status == PENDING else check.decrypt_details(secret_box)
    return rows + [
        _build_row(name, str(field.label), details[name], shown)
        for name, field in DETAIL_FIELDS.items()
        if name in details
    ]


def _read_fields(check: Check) -> list[str]:
    """Return the names of the details that the form asks for. Raises Invalid for none."""
    names = [row.name for row in list_details(check)]
    chosen = set(names) if ALL in request.form else set(request.form.getlist(FIELD))
    if not chosen & set(names):
        raise Invalid("Choose what must be shown")
    return [name for name in names if name in chosen]


def _build_row(name: str, label: str, value: str, shown: Collection[str]) -> DetailRow:
    if name not in shown:
        return DetailRow(name, label, mask(value))
    return DetailRow(name, label, value, is_shown=True)


def _require_details(check: Check) -> Check:
    if not check.candidate_details and not check.consents:
        raise Conflict("The candidate has not entered any details yet")
    return check


def _render(
    check: Check, shown: Collection[str] = (), problem: str = "", status_code: int = 200
) -> Response:
    page = render_template(
        "console/check/details.html",
        order=check,
        details=list_details(check, shown),
        has_shown=bool(shown),
        reasons=REVEAL_REASONS,
        chosen_reason=request.form.get("reason", ""),
        text=request.form.get("text", "")[:MAX_REASON_LENGTH],
        max_length=MAX_REASON_LENGTH,
        chosen_fields=request.form.getlist(FIELD),
        problem=problem,
    )
    response = make_response(page, status_code)
    response.cache_control.no_store = True
    return response
