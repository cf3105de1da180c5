"""How the candidate's pages answer when they have nothing of their own to show."""

from flask import jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from provider.accounts import Account


def wants_json() -> bool:
    """Whether a script asks, rather than a person."""
    offers = ["text/html", "application/json"]
    return request.accept_mimetypes.best_match(offers) == "application/json"


def to_landing(public_id: str) -> ResponseReturnValue:
    """Lead to the page that says how things stand with an order."""
    return redirect(landing_of(public_id), 303)


def landing_of(public_id: str) -> str:
    """Return the address of the page that says how things stand with an order."""
    return url_for("candidate.landing", public_id=public_id)


def say(code: int, template: str, message: str) -> ResponseReturnValue:
    """Answer with a page of a few words, or with its message to a script."""
    if wants_json():
        return jsonify(error=message), code
    public_id = (request.view_args or {}).get("public_id")
    return render_template(template, back=public_id and landing_of(public_id)), code


def forgotten() -> ResponseReturnValue:
    """The browser has lost its form cookie: nothing was done, and a fresh page will do."""
    return say(400, "candidate/forgotten.html", "This page has been open for too long")


def dress(account: Account) -> dict[str, object]:
    """Return what a page wears of an account: its name, and a style sheet of its colour."""
    colour = str(account.brand.get("colour") or "").removeprefix("#")
    sheet = url_for("candidate.colour", colour=colour) if colour else None
    return {"account": account, "brand_css": sheet}
