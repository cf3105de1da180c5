"""The security headers of every response; a response that sets one of them keeps its own."""

from functools import lru_cache

from flask import Response, request

from provider.services import current_services
from provider.web import csp

Header = tuple[str, str]
Headers = tuple[Header, ...]

NOSNIFF: Header = ("X-Content-Type-Options", "nosniff")
NO_STORE: Header = ("Cache-Control", "no-store")
COMMON_HEADERS: Headers = (
    NOSNIFF,
    ("Referrer-Policy", "no-referrer"),
    ("Permissions-Policy", "camera=(), microphone=(), geolocation=()"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
)
HSTS: Header = ("Strict-Transport-Security", "max-age=31536000")
NOINDEX: Header = ("X-Robots-Tag", "noindex, nofollow")


def add_security_headers(response: Response) -> Response:
    services = current_services()
    json_headers, file_headers, page_headers = _header_sets(
        services.settings.is_https, services.media.origin
    )
    if response.mimetype == "application/json":
        defaults = json_headers
    elif (request.endpoint or "").endswith("static") and response.status_code < 400:
        defaults = file_headers
    else:
        defaults = page_headers
    headers = response.headers
    present = {name.lower() for name, _ in headers}
    for name, value in defaults:
        if name.lower() not in present:
            headers.add(name, value)
    return response


@lru_cache
def _header_sets(https: bool, origin: str | None) -> tuple[Headers, Headers, Headers]:
    """Return the headers of a JSON response, of a static file, and of a page."""
    secure = (HSTS,) if https else ()
    files = (*COMMON_HEADERS, ("Content-Security-Policy", csp.page_policy(origin)), *secure)
    # JSON loads nothing and has no links, so it needs neither a policy nor a referrer rule.
    return (NOSNIFF, NO_STORE, *secure), files, (*files, NO_STORE, NOINDEX)
