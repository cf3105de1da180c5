"""The pages of the candidate's details: before the consent, and to correct them afterwards.

Before the consent each form is saved as it is, complete or not. Afterwards only complete values
replace those that the candidate agreed to give, and only until a screening that needs them begins.
"""

from collections.abc import Iterable, Mapping

from flask import Blueprint, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from provider.core.kinds.check import Check, IncompleteForm
from provider.core.kinds.check.packages.countries import country_names
from provider.core.kinds.check.packages.detail_fields import MAX_ROWS, Problem, find_problems
from provider.core.kinds.check.packages.detail_groups import (
    DetailGroup,
    find_group,
    list_reasons,
    select_groups,
)
from provider.core.kinds.check.packages.detail_parts import MAX_AGE_YEARS
from provider.core.kinds.check.packages.detail_value import DetailValue
from provider.core.kinds.check.packages.residence import likely_country
from provider.core.orders import CONSENTED, PENDING
from provider.errors import NotFound
from provider.services import current_services
from provider.texts import gettext
from provider.web.candidate.check_form import (
    Action,
    apply_action,
    build_views,
    find_changed,
    read_values,
    value_digest,
)
from provider.web.candidate.check_steps import CheckRequest, find_detour, next_url, step_context
from provider.web.candidate.responses import branding_context, redirect_to_landing, wants_json
from provider.web.candidate.session import order_for_read, order_for_update

routes = Blueprint("details", __name__)

FORM = "candidate.check.details.form"


@routes.get("/details/<group>")
def form(public_id: str, group: str) -> ResponseReturnValue:
    with order_for_read(public_id, Check) as candidate_request:
        check = candidate_request.order
        if check.status != PENDING:
            return redirect_to_landing(public_id)
        _require_group(check, group)
        if detour := find_detour(check, FORM, group=group):
            return redirect(detour, 303)
        values = check.detail_values(current_services().secret_box)
        return _render_form(candidate_request, group, values, is_checked="check" in request.args)


@routes.post("/details/<group>")
def save(public_id: str, group: str) -> ResponseReturnValue:
    """Save what the form changed, and do what its button says."""
    action = Action.parse(request.form.get("do", ""))
    secret_box = current_services().secret_box
    with order_for_update(public_id, Check) as candidate_request:
        check = candidate_request.order
        if check.status == CONSENTED:
            return redirect_to_landing(public_id)
        check.require_open(candidate_request.given.given_at)
        if detour := find_detour(check, FORM, group=group):
            return redirect(detour, 303)
        names = _require_group(check, group).names
        typed = read_values(request.form, names, default_country(check))
        stored = check.detail_values(secret_box)
        changed, conflicts = find_changed(request.form, typed, stored)
        if conflicts or _removes_unseen_row(action, stored):
            return _respond_conflict(candidate_request, group, typed)
        kept = {name: stored[name] for name in names if name in stored and name not in changed}
        if action.detail:
            changed = _select_action(apply_action({**typed, **kept}, action), changed, action)
        check.save_details(secret_box, changed)
        if wants_json():
            return jsonify(shown={name: value_digest(value) for name, value in typed.items()})
        return redirect(_url_after(check, group, action), 303)


@routes.get("/corrections")
def corrections(public_id: str) -> ResponseReturnValue:
    """List what the candidate gave, as long as she may correct it."""
    with order_for_read(public_id, Check) as candidate_request:
        check = candidate_request.order
        if not check.can_correct_details:
            return redirect_to_landing(public_id)
        correctable = check.correctable_details
        return render_template(
            "candidate/check/corrections.html",
            **_context(candidate_request),
            groups=select_groups(correctable),
            has_locked_details=not correctable.issuperset(check.content.requested_details),
            descriptions=check.decrypt_details(current_services().secret_box),
        )


@routes.get("/corrections/<group>")
def correction_form(public_id: str, group: str) -> ResponseReturnValue:
    with order_for_read(public_id, Check) as candidate_request:
        check = candidate_request.order
        if not check.can_correct_details:
            return redirect_to_landing(public_id)
        if not _find_correctable(check, group).names:
            return redirect(url_for(".corrections", public_id=public_id))
        values = check.detail_values(current_services().secret_box)
        return _render_form(candidate_request, group, values)


@routes.post("/corrections/<group>")
def correct(public_id: str, group: str) -> ResponseReturnValue:
    """Replace the details of a group; a form with a problem is shown again, and changes nothing."""
    action = Action.parse(request.form.get("do", ""))
    secret_box = current_services().secret_box
    try:
        with order_for_update(public_id, Check) as candidate_request:
            check = candidate_request.order
            names = _require_group(check, group).names
            typed = read_values(request.form, names, default_country(check))
            stored = check.detail_values(secret_box)
            changed, conflicts = find_changed(request.form, typed, stored)
            check.require_correctable(changed)
            if action.name != "continue":
                return _render_form(candidate_request, group, apply_action(typed, action))
            if conflicts:
                return _respond_conflict(candidate_request, group, typed)
            values = {name: value.without_empty_rows() for name, value in changed.items()}
            check.correct_details(
                candidate_request.session, secret_box, values, candidate_request.now
            )
    except IncompleteForm:
        with order_for_read(public_id, Check) as candidate_request:
            values = {**candidate_request.order.detail_values(secret_box), **typed}
            return _render_form(candidate_request, group, values, is_checked=True), 400
    return redirect(url_for(".corrections", public_id=public_id), 303)


def render_expired_form(public_id: str, group: str) -> ResponseReturnValue:
    """Return the form with the typed values in it: its CSRF token is replaced."""
    with order_for_read(public_id, Check) as candidate_request:
        check = candidate_request.order
        names = _require_group(check, group).names
        typed = read_values(request.form, names, default_country(check))
        if wants_json():
            return jsonify(error=gettext("This page has been open for too long")), 400
        return _render_form(candidate_request, group, typed, notice="expired"), 400


def default_country(check: Check) -> str:
    """Return the country that an empty row begins with."""
    return check.country or likely_country(check.content, check.timezone)


def _require_group(check: Check, name: str) -> DetailGroup:
    group = find_group(check.content, name)
    if group is None:
        raise NotFound("There is no such page")
    return group


def _find_correctable(check: Check, name: str) -> DetailGroup:
    """Return a group with those of its details that the candidate may still correct."""
    group = _require_group(check, name)
    correctable = check.correctable_details
    return DetailGroup(group.title, tuple(name for name in group.names if name in correctable))


def _removes_unseen_row(action: Action, stored: Mapping[str, DetailValue]) -> bool:
    """Whether the number of the row to remove may be another one's since the page was opened."""
    if action.name != "remove" or action.detail not in stored:
        return False
    shown = request.form.get(f"shown.{action.detail}", "")
    return value_digest(stored[action.detail]) != shown


def _select_action(
    after: Mapping[str, DetailValue], changed: Mapping[str, DetailValue], action: Action
) -> dict[str, DetailValue]:
    """Return what to save: what the form changed, and the detail of the button."""
    return (
        {**changed, action.detail: after[action.detail]} if action.detail in after else {**changed}
    )


def _url_after(check: Check, group: str, action: Action) -> str:
    if action.name == "continue":
        return next_url(check, FORM, group=group)
    anchor = f"detail-{action.detail}" if action.detail else None
    return url_for(".form", public_id=check.public_id, group=group, _anchor=anchor)


def _respond_conflict(
    candidate_request: CheckRequest, group: str, typed: Mapping[str, DetailValue]
) -> ResponseReturnValue:
    """Show what was typed: another window has saved something else since this page was opened."""
    if wants_json():
        return jsonify(error=gettext("Another window has changed this page")), 409
    return _render_form(candidate_request, group, typed, notice="conflict"), 409


def _render_form(
    candidate_request: CheckRequest,
    group: str,
    values: Mapping[str, DetailValue],
    *,
    is_checked: bool = False,
    notice: str = "",
) -> str:
    check, now = candidate_request.order, candidate_request.now
    is_correction = check.status != PENDING
    find_shown = _find_correctable if is_correction else _require_group
    shown_group = find_shown(check, group)
    stored = check.detail_values(current_services().secret_box)
    problems: Iterable[Problem] = ()
    if is_checked:
        problems = find_problems(check.content.requested_details, {**stored, **values}, now)
    steps = {} if is_correction else step_context(check, FORM, group=group)
    return render_template(
        "candidate/check/details.html",
        **_context(candidate_request),
        **steps,
        group_name=group,
        group=shown_group,
        reasons=list_reasons(check.content, shown_group.names),
        details=build_views(shown_group.names, values, stored, problems, default_country(check)),
        countries=country_names(),
        max_rows=MAX_ROWS,
        today=now.date(),
        min_year=now.year - MAX_AGE_YEARS,
        notice=notice,
        is_correction=is_correction,
    )


def _context(candidate_request: CheckRequest) -> dict[str, object]:
    order = candidate_request.order
    return {**branding_context(order.account), "order": order, "content": order.content}
