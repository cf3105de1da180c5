"""The candidate's way to the consent of a check: one thing per page, in plain forms.

`check_steps` has the order of the pages. Every form is saved as it is sent, so that the candidate
can leave, and come back in another browser.
"""

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, current_app, redirect, render_template, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError

from provider.core.kinds.check import Check, IncompleteForm
from provider.core.kinds.check.consent_proof import render_consent_proof
from provider.core.kinds.check.packages import legal_text_slots
from provider.core.kinds.check.packages.addresses import subdivisions
from provider.core.kinds.check.packages.countries import country_names
from provider.core.kinds.check.packages.detail_fields import DETAIL_FIELDS
from provider.core.kinds.check.packages.detail_groups import group_of, list_groups
from provider.core.kinds.check.packages.document_slots import DOCUMENT_SLOTS
from provider.core.kinds.check.packages.residence import likely_country
from provider.core.kinds.check.screening_status import offers_copy
from provider.core.kinds.check.shown_texts import (
    ShownText,
    list_authorizations,
    list_step_texts,
)
from provider.core.orders import CONSENTED, PENDING
from provider.errors import NotFound, ProviderError
from provider.services import current_services
from provider.texts import Text
from provider.texts import lazy_gettext as _
from provider.web.candidate import check_details, check_notices
from provider.web.candidate.check_steps import (
    CheckRequest,
    asks_for_country,
    entry_url,
    find_detour,
    next_url,
    step_context,
)
from provider.web.candidate.responses import branding_context, redirect_to_landing
from provider.web.candidate.session import order_for_read, order_for_update
from provider.web.client_address import client_address
from provider.web.pdf_response import pdf_response

routes = Blueprint("check", __name__, url_prefix="/o/<public_id>/consent")
routes.register_blueprint(check_details.routes)

routes.register_blueprint(check_notices.routes)

COUNTRY, DISCLOSURE = "candidate.check.country_form", "candidate.check.disclosure"
TEXT, REVIEW = "candidate.check.legal_text", "candidate.check.review"


@routes.get("")
def begin(public_id: str) -> ResponseReturnValue:
    """Go to the first page that is not done, or back to where the candidate was."""
    with order_for_read(public_id, Check) as candidate_request:
        check = candidate_request.order
        return redirect_to_landing(public_id) if is_over(check) else redirect(entry_url(check), 303)


@routes.get("/country")
def country_form(public_id: str) -> ResponseReturnValue:
    with order_for_read(public_id, Check) as candidate_request:
        check = candidate_request.order
        if is_over(check):
            return redirect_to_landing(public_id)
        if not asks_for_country(check):
            raise NotFound("There is no such page")
        return _render_country(candidate_request)


@routes.post("/country")
def save_country(public_id: str) -> ResponseReturnValue:
    """Save where the candidate lives; a country with parts is asked for its part as well."""
    country = request.form.get("country", "")
    subdivision = request.form.get("subdivision", "")
    with order_for_update(public_id, Check) as candidate_request:
        check = candidate_request.order
        if check.status == CONSENTED:
            return redirect_to_landing(public_id)
        check.require_open(candidate_request.given.given_at)
        if country not in country_names():
            message = _("Please choose: %(field)s", field=_("Country"))
            return _render_country(candidate_request, {"country": message}), 400
        parts = dict(subdivisions(country))
        check.own_case.country = country
        check.own_case.subdivision = subdivision if subdivision in parts else ""
        if parts and not check.own_case.subdivision:
            message = _("Please choose: %(field)s", field=_("State or region"))
            is_asked = "subdivision" in request.form
            return _render_country(candidate_request, {"subdivision": message} if is_asked else {})
        return redirect(next_url(check, COUNTRY), 303)


@routes.get("/disclosure")
def disclosure(public_id: str) -> ResponseReturnValue:
    """Show the disclosure, and nothing else: the law of the US wants it on a page of its own."""
    return _show_text(public_id, DISCLOSURE)


@routes.post("/disclosure")
def confirm_disclosure(public_id: str) -> ResponseReturnValue:
    return _confirm_text(public_id, DISCLOSURE)


@routes.get("/texts/<purpose>/<key>")
def legal_text(public_id: str, purpose: str, key: str) -> ResponseReturnValue:
    return _show_text(public_id, TEXT, purpose=purpose, key=key)


@routes.post("/texts/<purpose>/<key>")
def confirm_text(public_id: str, purpose: str, key: str) -> ResponseReturnValue:
    return _confirm_text(public_id, TEXT, purpose=purpose, key=key)


@routes.get("/review")
def review(public_id: str) -> ResponseReturnValue:
    """Show everything that the candidate gave, and ask for her signature.

    The signature is not offered while a document is missing.
    """
    with order_for_read(public_id, Check) as candidate_request:
        check = candidate_request.order
        if is_over(check):
            return redirect_to_landing(public_id)
        if detour := find_detour(check, REVIEW):
            return redirect(detour, 303)
        return _render_review(candidate_request)


@routes.post("/review")
def give_consent(public_id: str) -> ResponseReturnValue:
    """Record the consent, or list what is missing; a second consent changes nothing."""
    try:
        with order_for_update(public_id, Check) as candidate_request:
            check = candidate_request.order
            if check.status != CONSENTED:
                check.require_open(candidate_request.given.given_at)
                if detour := find_detour(check, REVIEW):
                    return redirect(detour, 303)
                # Another tab may have chosen a country with other authorizations.
                shown_texts = _join_digests(check)
                if request.form.get("shown_texts", shown_texts) != shown_texts:
                    return redirect(request.path, 303)
                _record_consent(candidate_request)
    except IncompleteForm as error:
        return _render_review_again(public_id, error.fields)
    return redirect_to_landing(public_id)


@routes.get("/evidence.pdf")
def evidence(public_id: str) -> ResponseReturnValue:
    """Return the proof of the newest consent as a PDF, sealed where the server has a key."""
    services = current_services()
    with order_for_read(public_id, Check) as candidate_request:
        check = candidate_request.order
        if not check.consents:
            raise NotFound("There is no such page")
        pdf = render_consent_proof(
            check,
            check.consents[-1],
            services.secret_box,
            services.settings,
            services.now(),
        )
    return pdf_response(pdf, "inline; filename=consent.pdf")


@routes.errorhandler(CSRFError)
def _handle_csrf_error(_error: CSRFError) -> ResponseReturnValue:
    """Answer a form whose cookie is gone with a new form that has the typed values in it."""
    values = dict(request.view_args or {})
    public_id = str(values.pop("public_id"))
    try:
        match (request.endpoint or "").rpartition(".")[2]:
            case "save_country":
                with order_for_read(public_id, Check) as candidate_request:
                    return _render_country(candidate_request, is_redisplayed=True), 400
            case "confirm_disclosure":
                return _show_text(public_id, DISCLOSURE, is_redisplayed=True)
            case "confirm_text":
                return _show_text(public_id, TEXT, is_redisplayed=True, **values)
            case "give_consent":
                return _render_review_again(public_id, {})
        return check_details.render_expired_form(public_id, **values)
    except ProviderError as error:
        return current_app.handle_user_exception(error)


def is_over(check: Check) -> bool:
    return check.status != PENDING


def _show_text(
    public_id: str, endpoint: str, *, is_redisplayed: bool = False, **values: str
) -> ResponseReturnValue:
    with order_for_read(public_id, Check) as candidate_request:
        check = candidate_request.order
        if is_over(check):
            return redirect_to_landing(public_id)
        text = _find_text(check, **values)
        if detour := find_detour(check, endpoint, **values):
            return redirect(detour, 303)
        page = render_template(
            "candidate/check/text.html",
            **template_context(candidate_request),
            **step_context(check, endpoint, **values),
            text=text,
            is_disclosure=endpoint == DISCLOSURE,
            is_alone=text.purpose == legal_text_slots.DISCLOSURE,
            is_redisplayed=is_redisplayed,
        )
    return page, 400 if is_redisplayed else 200


def _confirm_text(public_id: str, endpoint: str, **values: str) -> ResponseReturnValue:
    with order_for_update(public_id, Check) as candidate_request:
        check = candidate_request.order
        if check.status == CONSENTED:
            return redirect_to_landing(public_id)
        check.require_open(candidate_request.given.given_at)
        text = _find_text(check, **values)
        if detour := find_detour(check, endpoint, **values):
            return redirect(detour, 303)
        # Another tab may have chosen a country with another text.
        if request.form.get("digest", text.digest) != text.digest:
            return redirect(request.path, 303)
        check.confirm_text(candidate_request.session, text, candidate_request.now)
        return redirect(next_url(check, endpoint, **values), 303)


def _find_text(check: Check, purpose: str = "", key: str = "") -> ShownText:
    """Return a text of the candidate's country; without a key the disclosure. Raises NotFound."""
    first, *others = list_step_texts(check.content, check.country)
    if not key:
        return first
    for text in others:
        if (text.purpose, text.key) == (purpose, key):
            return text
    raise NotFound("There is no such page")


def _join_digests(check: Check) -> str:
    """Return the digests of the texts beside the signature, as its form has them."""
    return " ".join(text.digest for text in list_authorizations(check.content, check.country))


def _record_consent(candidate_request: CheckRequest) -> None:
    check = candidate_request.order
    check.own_case.wants_copy = offers_copy(check) and "wants_copy" in request.form
    check.give_consent(
        candidate_request.session,
        current_services().secret_box,
        request.form.get("name", ""),
        {},
        ip_address=client_address(),
        user_agent=request.user_agent.string,
        now=candidate_request.now,
        submitted_at=candidate_request.given.given_at,
    )


def _render_country(
    candidate_request: CheckRequest,
    problems: Mapping[str, Text] | None = None,
    *,
    is_redisplayed: bool = False,
) -> str:
    check = candidate_request.order
    case_country = check.country or likely_country(check.content, check.timezone)
    country = request.form.get("country", case_country)
    subdivision = check.case.subdivision if check.case else ""
    return render_template(
        "candidate/check/country.html",
        **template_context(candidate_request),
        **step_context(check, COUNTRY),
        countries=country_names(),
        country=country,
        subdivisions=subdivisions(country) if country in country_names() else (),
        subdivision=request.form.get("subdivision", subdivision),
        problems=problems or {},
        is_redisplayed=is_redisplayed,
    )


def _render_review_again(public_id: str, problems: Mapping[str, Text]) -> ResponseReturnValue:
    with order_for_read(public_id, Check) as candidate_request:
        candidate_request.order.require_open(candidate_request.given.given_at)
        return _render_review(candidate_request, problems, is_redisplayed=True), 400


def _render_review(
    candidate_request: CheckRequest,
    problems: Mapping[str, Text] | None = None,
    *,
    is_redisplayed: bool = False,
) -> str:
    check, services = candidate_request.order, current_services()
    values = check.detail_values(services.secret_box)
    typed = {name: value for name, value in values.items() if not value.is_empty}
    detail_problems: dict[str, list[Text]] = {}
    for problem in check.find_detail_problems(services.secret_box, candidate_request.now):
        messages = detail_problems.setdefault(problem.detail, [])
        if problem.detail in typed:
            messages.append(problem.message)
        else:
            messages[:] = [
                _("Please fill in: %(field)s", field=DETAIL_FIELDS[problem.detail].label)
            ]
    return render_template(
        "candidate/check/review.html",
        **template_context(candidate_request),
        **step_context(check, REVIEW),
        groups=list_groups(check.content),
        group_of={name: group_of(check.content, name) for name in check.content.requested_details},
        detail_fields=DETAIL_FIELDS,
        descriptions={name: DETAIL_FIELDS[name].describe(value) for name, value in typed.items()},
        detail_problems=detail_problems,
        authorizations=list_authorizations(check.content, check.country),
        shown_texts=_join_digests(check),
        missing_documents={
            name: DOCUMENT_SLOTS[name].label
            for name in check.find_missing_documents(candidate_request.session)
        },
        offers_copy=offers_copy(check),
        wants_copy="wants_copy" in request.form,
        name=request.form.get("name", "")[:400],
        problems=problems or {},
        is_redisplayed=is_redisplayed,
    )


def template_context(candidate_request: CheckRequest) -> dict[str, Any]:
    order = candidate_request.order
    return {**branding_context(order.account), "order": order, "content": order.content}
