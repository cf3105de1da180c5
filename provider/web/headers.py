"""What every answer says to a browser, unless it says something else itself."""

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
    """Add them to an answer."""
    services = current_services()
    machines, files, pages = _header_sets(services.settings.is_https, services.media.origin)
    if response.mimetype == "application/json":
        said = machines
    else:
        said = files if (request.endpoint or "static").endswith("static") else pages
    headers = response.headers
    given = {name.lower() for name, _ in headers}
    for name, value in said:
        if name.lower() not in given:
            headers.add(name, value)
    return response


@lru_cache
def _header_sets(https: bool, origin: str | None) -> tuple[Headers, Headers, Headers]:
    """Return what is said with a document for machines, with a file, and with a page."""
    secure = (HSTS,) if https else ()
    files = (*COMMON_HEADERS, ("Content-Security-Policy", csp.page_policy(origin)), *secure)
    # A document for machines loads nothing and leads nowhere: it needs to say no more than that it
    # is one, and not to be kept.
    return (NOSNIFF, NO_STORE, *secure), files, (*files, NO_STORE, NOINDEX)
