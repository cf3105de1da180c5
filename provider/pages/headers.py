"""What every answer says to a browser, unless it says something else itself."""

from functools import lru_cache

from flask import Response, request

from provider.here import here
from provider.pages import csp

Header = tuple[str, str]
Headers = tuple[Header, ...]

NO_SNIFFING: Header = ("X-Content-Type-Options", "nosniff")
NO_STORE: Header = ("Cache-Control", "no-store")
ALWAYS: Headers = (
    NO_SNIFFING,
    ("Referrer-Policy", "no-referrer"),
    ("Permissions-Policy", "camera=(), microphone=(), geolocation=()"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
)
HTTPS: Header = ("Strict-Transport-Security", "max-age=31536000")
HIDDEN: Header = ("X-Robots-Tag", "noindex, nofollow")


def protect(response: Response) -> Response:
    """Add them to an answer."""
    house = here()
    machines, files, pages = _said(house.settings.https, house.media.origin)
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
def _said(https: bool, origin: str | None) -> tuple[Headers, Headers, Headers]:
    """Return what is said with a document for machines, with a file, and with a page."""
    secure = (HTTPS,) if https else ()
    files = (*ALWAYS, ("Content-Security-Policy", csp.policy(origin)), *secure)
    # A document for machines loads nothing and leads nowhere: it needs to say no more than that it
    # is one, and not to be kept.
    return (NO_SNIFFING, NO_STORE, *secure), files, (*files, NO_STORE, HIDDEN)
