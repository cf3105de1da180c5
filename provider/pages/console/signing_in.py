"""Signing in and out. Judging a password is slow by intent, so no transaction is open meanwhile."""

from flask import Blueprint, make_response, redirect, render_template, request, url_for
from sqlalchemy import delete, select
from werkzeug.wrappers import Response

from provider import vault
from provider.accounts import Staff, StaffSession, enter, knock, matches
from provider.accounts.staff import SESSION_LIFE
from provider.errors import Denied
from provider.here import here
from provider.house import House
from provider.pages.console.gate import cookie_name
from provider.pages.pace import keep_pace

routes = Blueprint("signing_in", __name__)

WRONG = "The e-mail address or the password is not right"


@routes.route("/sign-in", methods=["GET", "POST"])
def sign_in() -> Response:
    """Ask who it is, and let them in."""
    keep_pace()
    if request.method == "GET":
        return _form()
    house, email = here(), request.form.get("email", "")
    address = request.remote_addr or ""
    try:
        with house.db.writing() as session:
            hashed = knock(session, email, address, house.now())
    except Denied as error:
        return _form(str(error), 429)
    if not matches(hashed, request.form.get("password", "")):
        return _form(WRONG, 403)
    with house.db.writing() as session:
        token = enter(session, email, address, house.now())
    return _signed_in(house, token)


@routes.post("/sign-out")
def sign_out() -> Response:
    """Forget the session: the cookie opens nothing any more."""
    house = here()
    token = request.cookies.get(cookie_name(house), "")
    with house.db.writing() as session:
        session.execute(delete(StaffSession).where(StaffSession.digest == vault.digest(token)))
    response = redirect(url_for("console.signing_in.sign_in"))
    _set_cookie(house, response, "", 0)
    return response


def local(address: str) -> str:
    """Return where to go after signing in: an address of the console, and no other."""
    inside = (address.partition("?")[0] + "/").startswith("/console/")
    if inside and address.isprintable() and "\\" not in address and ".." not in address:
        return address
    return url_for("console.home")


def _form(problem: str = "", code: int = 200) -> Response:
    with here().db.reading() as session:
        nobody = session.scalar(select(Staff.id).limit(1)) is None
    page = render_template(
        "console/sign_in.html",
        problem=problem, nobody=nobody, email=request.form.get("email", ""),
        next=request.values.get("next", ""),
    )  # fmt: skip
    return make_response(page, code)


def _signed_in(house: House, token: str) -> Response:
    response = redirect(local(request.form.get("next", "")))
    _set_cookie(house, response, token, int(SESSION_LIFE.total_seconds()))
    return response


def _set_cookie(house: House, response: Response, value: str, seconds: int) -> None:
    response.set_cookie(
        cookie_name(house), value, max_age=seconds, path="/",
        secure=house.settings.https, httponly=True, samesite="Lax",
    )  # fmt: skip
