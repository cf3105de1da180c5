"""The pages of candidates, recruiters and staff, the API documentation and the health endpoints."""

from functools import cache

from flask import Flask, Response, jsonify, render_template, request
from flask_bootstrap import Bootstrap5
from werkzeug.exceptions import HTTPException

from provider.config import Operator
from provider.core import formats, labels
from provider.errors import (
    Conflict,
    Gone,
    Invalid,
    NotFound,
    ProviderError,
    Unauthorized,
    Unavailable,
)
from provider.services import current_services
from provider.web import (
    docs,
    headers,
    health,
    home,
    metrics,
    static_files,
    translations,
)
from provider.web.candidate import pages as candidate_pages
from provider.web.candidate.responses import branding_of_request, wants_json
from provider.web.console import blueprint as console
from provider.web.kinds import KIND_PAGES
from provider.web.report import pages as report_pages

PAGE_PREFIXES = ("/c/", "/f/", "/r/", "/s/", "/console", "/docs", "/static/", "/bootstrap/")
STATUS_CODES: dict[type[ProviderError], int] = {
    Unavailable: 503,
    Unauthorized: 403,
    NotFound: 404,
    Conflict: 409,
    Gone: 410,
    Invalid: 400,
}


def register_monitoring(app: Flask) -> None:
    """Register /health, /ready and /metrics in the app that has no pages."""
    app.register_blueprint(health.routes)
    app.register_blueprint(metrics.routes)
    _register_response_hooks(app)


def register_pages(app: Flask) -> None:
    Bootstrap5(app)
    translations.register(app)
    app.jinja_env.filters.update(formats.TEMPLATE_FILTERS)
    app.jinja_env.globals.update(labels.TEMPLATE_GLOBALS)
    app.context_processor(_operator_context)
    _nest_kind_pages()
    static_files.register(app)
    for module in (home, candidate_pages, report_pages, console, docs):
        app.register_blueprint(module.routes)
    for pages in KIND_PAGES.values():
        for blueprint in filter(None, (pages.report, pages.others)):
            app.register_blueprint(blueprint)
    app.register_error_handler(HTTPException, _render_http_error)
    app.register_error_handler(ProviderError, _render_provider_error)
    _register_response_hooks(app)


def _operator_context() -> dict[str, Operator]:
    """Return the company that runs this server: error pages without an account name it, too."""
    return {"operator": current_services().settings.operator}


@cache
def _nest_kind_pages() -> None:
    """Nest the kinds' blueprints, once in a process: afterwards their parents are registered."""
    for pages in KIND_PAGES.values():
        for part in (pages.candidate, *pages.candidate_parts):
            candidate_pages.routes.register_blueprint(part)
        for blueprint in (pages.console, pages.products, pages.trial, pages.queue):
            if blueprint:
                console.routes.register_blueprint(blueprint)


def is_page_path(path: str) -> bool:
    """Return True for a path that people open in a browser: the app of the pages answers it."""
    return path == "/" or path.startswith(PAGE_PREFIXES)


def _register_response_hooks(app: Flask) -> None:
    app.after_request(headers.add_security_headers)
    app.after_request(metrics.count_response)


def _render_http_error(error: HTTPException) -> Response:
    """Return an HTML page for an HTTP error; an error that carries its own response keeps it."""
    if error.response is not None:
        return error.get_response()  # type: ignore[return-value]
    # Only this message names the right address.
    message = error.description if error.code == 421 else None
    page = _render_error_page(error.code or 500, message)
    response = Response(page, error.code or 500, mimetype="text/html")
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After"):
            response.headers[name] = value
    return response


def _render_error_page(code: int, message: str | None) -> str:
    """Return an error page; a candidate's page has the logo and the addresses of the account."""
    is_candidate = candidate_pages.routes.name in request.blueprints
    # Not where reading the account would fail again, or cost what a rate limit saves.
    branding = branding_of_request() if is_candidate and code < 500 and code != 429 else {}
    return render_template("error.html", code=code, message=message, **branding)


def _render_provider_error(error: ProviderError) -> Response:
    code = STATUS_CODES.get(type(error), 500)
    if isinstance(error, Unavailable) and wants_json():
        response = jsonify(error=error.translated())
        response.status_code = code
    else:
        page = _render_error_page(code, error.translated())
        response = Response(page, code)
    if isinstance(error, Unavailable):
        response.headers.update(error.retry_headers())
    return response
