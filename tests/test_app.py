"""The two Flask apps: which of them answers a path, and how each answers an error."""

import pytest
from flask.testing import FlaskClient

from provider.services import Services
from provider.web.body_limits import MAX_BODY_BYTES
from tests import factories

JSON, HTML = "application/json", "text/html"


@pytest.mark.parametrize(
    ("path", "status_code", "mimetype"),
    [
        ("/", 200, HTML),
        ("//", 200, HTML),
        ("/docs/", 200, HTML),
        ("/static/theme.css", 200, "text/css"),
        ("/bootstrap/static/css/bootstrap.min.css", 200, "text/css"),
        ("//console/orders/", 302, HTML),
        ("/console/unknown", 404, HTML),
        ("/c/unknown", 404, HTML),
        ("/health", 200, JSON),
        ("/tests/", 401, JSON),
        ("//tests", 401, JSON),
        ("/unknown", 404, JSON),
        ("//example.com/console", 404, JSON),
    ],
)
def test_path_is_answered_by_its_app(
    client: FlaskClient, path: str, status_code: int, mimetype: str
) -> None:
    # The test client would read a path with two slashes as a host.
    response = client.get("/", environ_overrides={"PATH_INFO": path}, buffered=True)
    assert (response.status_code, response.mimetype) == (status_code, mimetype)


@pytest.mark.parametrize(("path", "mimetype"), [("/docs/", HTML), ("/health", JSON)])
def test_wrong_method_names_the_allowed_ones(client: FlaskClient, path: str, mimetype: str) -> None:
    response = client.delete(path)
    assert (response.status_code, response.mimetype) == (405, mimetype)
    assert response.allow == {"GET", "HEAD", "OPTIONS"}


def test_form_without_csrf_token_is_refused(client: FlaskClient) -> None:
    response = client.post("/console/sign-in", data={"email": "sam@provider.test"})
    assert (response.status_code, response.mimetype) == (400, HTML)


def test_too_large_body_is_refused_by_both_apps(client: FlaskClient, services: Services) -> None:
    body = b"x" * (MAX_BODY_BYTES + 1)
    _, token = factories.create_account(services)
    headers = {"Authorization": f"Bearer {token}"}
    response = client.post("/assessments", data=body, headers=headers, content_type=JSON)
    assert (response.status_code, response.mimetype) == (413, JSON)
    form_type = "application/x-www-form-urlencoded"
    response = client.post("/console/sign-in", data=body, content_type=form_type)
    assert (response.status_code, response.mimetype) == (413, HTML)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/c/unknown"),
        ("GET", "/console/unknown"),
        ("GET", "/static/unknown.css"),
        ("DELETE", "/docs/"),
        ("GET", "/docs"),
    ],
)
def test_error_and_redirect_have_the_headers_of_pages(
    client: FlaskClient, method: str, path: str
) -> None:
    headers = client.open(path, method=method).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Robots-Tag"] == "noindex, nofollow"
