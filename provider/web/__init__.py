"""What people see: the candidate's, the recruiter's and the staff's pages."""

from flask import Flask, Response, render_template
from flask_bootstrap import Bootstrap5
from werkzeug.exceptions import HTTPException, TooManyRequests

from provider.core import labels
from provider.errors import (
    Conflict,
    Gone,
    Invalid,
    NotFound,
    ProviderError,
    Unauthorized,
    Unavailable,
)
from provider.web import docs, headers, health, home, metrics
from provider.web.candidate import pages
from provider.web.console import blueprint
from provider.web.report import media
from provider.web.report import pages as results

PAGE_PREFIXES = ("/c/", "/r/", "/s/", "/console", "/docs", "/static/")
STATUS_CODES: dict[type[ProviderError], int] = {
    Unavailable: 503,
    Unauthorized: 403,
    NotFound: 404,
    Conflict: 409,
    Gone: 410,
    Invalid: 400,
}


def register_pages(app: Flask) -> None:
    """Add every page."""
    Bootstrap5(app)
    app.jinja_env.filters.update(labels.TEMPLATE_FILTERS)
    app.jinja_env.globals.update(labels.TEMPLATE_GLOBALS)
    for room in (home, pages, results, media, blueprint, docs, health, metrics):
        app.register_blueprint(room.routes)
    app.after_request(headers.add_security_headers)
    app.register_error_handler(ProviderError, _render_provider_error)


def is_page_path(path: str) -> bool:
    """Say whether a path is looked at by people."""
    return path == "/" or path.startswith(PAGE_PREFIXES)


def render_error_page(error: HTTPException) -> Response:
    """Answer an HTTP error with a page that says what to do."""
    if error.response is not None:
        return error.get_response()  # type: ignore[return-value]
    page = render_template("error.html", code=error.code or 500, message=None)
    answer = Response(page, error.code or 500, mimetype="text/html")
    if isinstance(error, TooManyRequests):
        answer.headers["Retry-After"] = str(error.retry_after)
    return answer


def _render_provider_error(error: ProviderError) -> Response:
    """Answer what went wrong in our own words."""
    code = STATUS_CODES.get(type(error), 500)
    return Response(render_template("error.html", code=code, message=str(error)), code)
