"""How the candidate's pages answer when they have nothing of their own to show."""

from flask import jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from provider.core.accounts import Account


def wants_json() -> bool:
    """Whether a script asks, rather than a person."""
    offers = ["text/html", "application/json"]
    return request.accept_mimetypes.best_match(offers) == "application/json"


def redirect_to_landing(public_id: str) -> ResponseReturnValue:
    """Lead to the page that says how things stand with an order."""
    return redirect(landing_url(public_id), 303)


def landing_url(public_id: str) -> str:
    """Return the address of the page that says how things stand with an order."""
    return url_for("candidate.landing", public_id=public_id)


def respond_with_message(status_code: int, template: str, message: str) -> ResponseReturnValue:
    """Answer with a page of a few words, or with its message to a script."""
    if wants_json():
        return jsonify(error=message), status_code
    public_id = (request.view_args or {}).get("public_id")
    return render_template(template, back=public_id and landing_url(public_id)), status_code


def respond_form_expired() -> ResponseReturnValue:
    """The browser has lost its form cookie: nothing was done, and a fresh page will do."""
    return respond_with_message(
        400, "candidate/forgotten.html", "This page has been open for too long"
    )


def branding_context(account: Account) -> dict[str, object]:
    """Return what a page wears of an account: its name, and a style sheet of its colour."""
    colour = str(account.branding.get("colour") or "").removeprefix("#")
    sheet = url_for("candidate.colour", colour=colour) if colour else None
    return {"account": account, "brand_css": sheet}
