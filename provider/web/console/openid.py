"""Signing in by OpenID Connect: to the issuer's page, and back with a code."""

from flask import (
    Blueprint,
    current_app,
    redirect,
    request,
    url_for,
)
from flask import (
    session as cookie_session,
)
from werkzeug.wrappers import Response

from provider.core.staff import (
    CHALLENGE_LIFETIME,
    create_challenge,
    record_failed_sign_in,
    use_challenge,
)
from provider.core.staff.openid import (
    EXTENSION_KEY,
    OPENID,
    OpenIdClient,
    OpenIdRequest,
    find_person,
)
from provider.errors import NotFound, ProviderError, Unauthorized, Unavailable
from provider.services import Services, current_services
from provider.storage import secrets
from provider.web.client_address import client_address
from provider.web.console import sign_in
from provider.web.console.authentication import public
from provider.web.rate_limit import limit_by_address

routes = Blueprint("openid", __name__, url_prefix="/sign-in/openid")

NEXT_KEY = "openid_next"  # of the signed cookie: where the person wanted to go
TOO_LATE_MESSAGE = "This took too long, or was begun in another browser. Try again"


@routes.get("/")
@public
def begin() -> Response:
    """Send the browser to the issuer's sign-in page."""
    limit_by_address()
    services = current_services()
    client, token = _require_client(services), secrets.generate_token()
    with services.db.writing() as session:
        state = create_challenge(session, OPENID, token, services.now())
    try:
        url = client.authorize_url(OpenIdRequest.of_browser(state, token, _redirect_uri()))
    except ProviderError as error:
        return sign_in.render_form(str(error), 503)
    cookie_session[NEXT_KEY] = sign_in.safe_redirect_target(request.args.get("next", ""))
    response = redirect(url)
    sign_in.set_cookie(
        services, response, sign_in.browser_cookie_name(services), token, CHALLENGE_LIFETIME
    )
    return response


@routes.get("/done")
@public
def finish() -> Response:
    """Take the code from the issuer, if this browser has asked for it, and sign the person in."""
    limit_by_address()
    services, email = current_services(), ""
    client, now = _require_client(services), services.now()
    state, token = (
        request.args.get("state", ""),
        request.cookies.get(sign_in.browser_cookie_name(services), ""),
    )
    try:
        with services.db.writing() as session:
            is_good = use_challenge(session, OPENID, state, token, now)
        if not is_good:
            raise Unauthorized(TOO_LATE_MESSAGE)
        if not (code := request.args.get("code", "")):
            raise Unauthorized("The sign-in was refused at your company’s page")
        identity = client.identify(
            OpenIdRequest.of_browser(state, token, _redirect_uri()),
            code,
            request.args.get("iss", ""),
        )
        email = identity.email
        with services.db.writing() as session:
            staff = find_person(session, identity)
            target = cookie_session.pop(NEXT_KEY, "")
            return sign_in.complete(session, staff.email, "openid", target=target)
    except Unavailable as error:
        return sign_in.render_form(str(error), 503)
    except ProviderError as error:
        with services.db.writing() as session:
            record_failed_sign_in(session, email, client_address(), now)
        return sign_in.render_form(str(error), 403)


def _redirect_uri() -> str:
    return f"{current_services().settings.base_url}{url_for('console.openid.finish')}"


def _require_client(services: Services) -> OpenIdClient:
    if not services.settings.openid_issuer:
        raise NotFound("OpenID Connect is not set up: PROVIDER_OPENID_ISSUER names the issuer")
    client: OpenIdClient = current_app.extensions[EXTENSION_KEY](services)
    return client
