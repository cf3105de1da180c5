"""Errors as pages of the console, so that its navigation stays available."""

from flask import Response, render_template

from provider.errors import (
    Conflict,
    Gone,
    Invalid,
    NotFound,
    ProviderError,
    Unauthorized,
    Unavailable,
)

ERROR_TITLES: dict[type[ProviderError], tuple[int, str]] = {
    Unauthorized: (403, "You have no access to this page"),
    NotFound: (404, "Not found"),
    Conflict: (409, "Something has changed in the meantime"),
    Gone: (410, "No longer available"),
    Invalid: (400, "That did not work"),
    Unavailable: (503, "Not possible just now"),
}
DEFAULT_ERROR_TITLE = (500, "Something went wrong on our side")


def render_error(error: ProviderError) -> Response:
    status_code, title = ERROR_TITLES.get(type(error), DEFAULT_ERROR_TITLE)
    page = render_template("console/error.html", title=title, problem=str(error))
    headers = error.retry_headers() if isinstance(error, Unavailable) else None
    return Response(page, status_code, headers, mimetype="text/html")
