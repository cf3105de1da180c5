"""Passkeys: adding and removing one's own, and signing in with one.

`static/passkeys.js` asks for a challenge, lets the device sign it, and sends the form.
"""

from fido2.webauthn import AuthenticationResponse, RegistrationResponse
from flask import Blueprint, flash, jsonify, make_response, redirect, request, url_for
from werkzeug.wrappers import Response

from provider.core.audit import Action
from provider.core.staff import (
    CHALLENGE_LIFETIME,
    create_challenge,
    list_passkeys,
    record_failed_sign_in,
    remove_passkey,
    use_challenge,
)
from provider.core.staff.webauthn import (
    REGISTRATION,
    SIGN_IN,
    RelyingParty,
    challenge_of,
    owner_of,
    read_answer,
)
from provider.errors import NotFound, ProviderError, Unauthorized
from provider.services import Services, current_services
from provider.storage import secrets
from provider.web.client_address import client_address
from provider.web.console import own_account, sign_in
from provider.web.console.authentication import cookie_name, public, record_act, requires
from provider.web.rate_limit import limit_by_address

routes = Blueprint("passkeys", __name__)

TOO_LATE_MESSAGE = "This took too long, or was sent twice. Try again"


@routes.post("/me/passkeys/begin")
@requires()
def begin_registration() -> Response:
    """Return the options for a new passkey, after the present password."""
    services = current_services()
    party = _require_relying_party(services)
    try:
        own_account.require_password()
    except ProviderError as error:
        return make_response(jsonify(error=str(error)), 400)
    with services.db.writing() as session:
        staff = own_account.find_self(session)
        token = request.cookies.get(cookie_name(services), "")
        challenge = create_challenge(session, REGISTRATION, token, services.now())
        options = party.registration_options(staff, list_passkeys(session, staff), challenge)
    return jsonify(options)


@routes.post("/me/passkeys")
@requires()
def add() -> Response:
    services = current_services()
    party, now = _require_relying_party(services), services.now()
    token = request.cookies.get(cookie_name(services), "")
    try:
        answer = read_answer(RegistrationResponse, request.form.get("credential", ""))
        with services.db.writing() as session:
            is_good = use_challenge(session, REGISTRATION, challenge_of(answer), token, now)
        if not is_good:
            raise Unauthorized(TOO_LATE_MESSAGE)
        with services.db.writing() as session:
            staff, name = own_account.find_self(session), request.form.get("name", "")
            passkey = party.register(session, staff, answer, name, now)
            after = {"name": passkey.name}
            record_act(session, Action.STAFF_PASSKEY_ADDED, own_account.subject(), after=after)
    except ProviderError as error:
        return own_account.render_page(passkey_problem=str(error))
    flash("The passkey is added: you can sign in with it.", "success")
    return redirect(url_for("console.own_account.detail"))


@routes.post("/me/passkeys/<int:number>/remove")
@requires()
def remove(number: int) -> Response:
    try:
        own_account.require_password()
    except ProviderError as error:
        return own_account.render_page(passkey_problem=str(error))
    with current_services().db.writing() as session:
        name = remove_passkey(session, own_account.find_self(session), number)
        before = {"name": name}
        record_act(session, Action.STAFF_PASSKEY_REMOVED, own_account.subject(), before=before)
    flash(f"The passkey “{name}” is removed.", "success")
    return redirect(url_for("console.own_account.detail"))


@routes.post("/sign-in/passkey/begin")
@public
def begin_sign_in() -> Response:
    """Return the options for signing in, and bind their challenge to this browser."""
    limit_by_address()
    services = current_services()
    party = _require_relying_party(services)
    token = secrets.generate_token()
    with services.db.writing() as session:
        challenge = create_challenge(session, SIGN_IN, token, services.now())
    response = jsonify(party.sign_in_options(challenge))
    sign_in.set_cookie(
        services, response, sign_in.browser_cookie_name(services), token, CHALLENGE_LIFETIME
    )
    return response


@routes.post("/sign-in/passkey")
@public
def finish_sign_in() -> Response:
    """Sign in: the device has verified its person, so a passkey counts as both factors."""
    limit_by_address()
    services = current_services()
    party, now, ip_address = _require_relying_party(services), services.now(), client_address()
    token = request.cookies.get(sign_in.browser_cookie_name(services), "")
    email = ""
    try:
        answer = read_answer(AuthenticationResponse, request.form.get("credential", ""))
        with services.db.writing() as session:
            email = owner_of(session, answer)
            is_good = use_challenge(session, SIGN_IN, challenge_of(answer), token, now)
        if not is_good:
            raise Unauthorized(TOO_LATE_MESSAGE)
        with services.db.writing() as session:
            staff = party.verify(session, answer, now)
            return sign_in.complete(session, staff.email, "passkey")
    except ProviderError as error:
        with services.db.writing() as session:
            record_failed_sign_in(session, email, ip_address, now)
        return sign_in.render_form(str(error), 403)


def _require_relying_party(services: Services) -> RelyingParty:
    party = RelyingParty(services.settings.base_url)
    if not party.is_usable:
        raise NotFound("Passkeys need a base URL with https and a name")
    return party
