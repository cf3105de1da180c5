"""Responses that several of the candidate's pages share."""

from typing import Any

from flask import jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select

from provider.core.accounts import Account
from provider.core.kinds import KINDS
from provider.core.orders import INVITE, Link, Order
from provider.core.products.documents import load_content
from provider.services import current_services
from provider.storage import secrets
from provider.texts import gettext
from provider.web.candidate.session import CandidateRequest, OrderT


def wants_json() -> bool:
    """Return True when a page's script sent the request, not a form."""
    offers = ["text/html", "application/json"]
    return request.accept_mimetypes.best_match(offers) == "application/json"


def redirect_to_landing(public_id: str) -> ResponseReturnValue:
    return redirect(landing_url(public_id), 303)


def landing_url(public_id: str, **parameters: Any) -> str:
    """Return the URL of an order's invitation and status page."""
    return url_for("candidate.landing", public_id=public_id, **parameters)


def respond_with_message(status_code: int, template: str, message: str) -> ResponseReturnValue:
    """Return a page with a short text; a script gets `message` as JSON."""
    if wants_json():
        return jsonify(error=message), status_code
    public_id = (request.view_args or {}).get("public_id")
    landing = public_id and landing_url(public_id)
    branding = branding_of_request()
    return render_template(template, landing_url=landing, **branding), status_code


def respond_form_expired() -> ResponseReturnValue:
    """Answer a form whose cookie is gone: nothing was changed, and a reload is enough."""
    return respond_with_message(
        400, "candidate/form_expired.html", gettext("This page has been open for too long")
    )


def branding_of_request() -> dict[str, object]:
    """Return the branding of the order that a candidate's URL names, for an error page.

    Empty for a URL without a known order.
    """
    values = request.view_args or {}
    query = select(Account).join(Order, Order.account_id == Account.id)
    if "public_id" in values:
        query = query.where(Order.public_id == values["public_id"].replace("\x00", ""))
    elif "token" in values:
        # A replaced link, too: its page says that there is a newer e-mail.
        digest = secrets.sha256_digest(values["token"])
        query = query.join(Link, Link.order_id == Order.id).where(
            Link.token_hash == digest, Link.purpose == INVITE
        )
    else:
        return {}
    with current_services().db.reading() as session:
        account = session.scalar(query)
        return branding_context(account) if account else {}


def order_context(candidate_request: CandidateRequest[OrderT]) -> dict[str, object]:
    """Return the template variables of a page about an order of any kind."""
    order = candidate_request.order
    kind = KINDS[order.kind]
    return {
        **branding_context(order.account),
        "order": order,
        "kind_texts": kind.texts,
        "content": load_content(order.version.content, kind.schema),
        "now": candidate_request.now,
        # The last one: an order may have a content of its own.
        **order.kind_context(current_services().secret_box),
    }


def branding_context(account: Account) -> dict[str, object]:
    """Return the template variables of an account's name, colour and logo."""
    colour = str(account.branding.get("colour") or "").removeprefix("#")
    brand_css = url_for("candidate.branding_css", colour=colour) if colour else None
    logo = account.branding.get("logo")
    brand_logo = url_for("candidate.logo", file_name=logo) if logo else None
    return {"account": account, "brand_css": brand_css, "brand_logo": brand_logo}
