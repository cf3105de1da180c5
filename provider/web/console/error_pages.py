"""What stands in the way, said on a page of the console, with its menu still at hand."""

from flask import Response, render_template

from provider.errors import Conflict, Gone, Invalid, NotFound, ProviderError, Unauthorized

ERROR_TITLES: dict[type[ProviderError], tuple[int, str]] = {
    Unauthorized: (403, "This is not open to you"),
    NotFound: (404, "It is not here"),
    Conflict: (409, "Something has changed in the meantime"),
    Gone: (410, "It is over"),
    Invalid: (400, "That did not work"),
}
DEFAULT_ERROR_TITLE = (500, "Something went wrong on our side")


def render_error(error: ProviderError) -> Response:
    """Answer an error in our own words."""
    code, title = ERROR_TITLES.get(type(error), DEFAULT_ERROR_TITLE)
    page = render_template("console/problem.html", title=title, problem=str(error))
    return Response(page, code, mimetype="text/html")
