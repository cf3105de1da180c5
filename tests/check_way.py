"""The steps of a candidate to the consent of a check, in a test client."""

from html import unescape
from typing import Any
from urllib.parse import urlsplit

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from provider.services import Services
from tests import check_factories, factories

MAX_PAGES = 30


def open_invitation(services: Services, client: FlaskClient, public_id: str) -> str:
    """Follow the invitation's link; return the text of the first page."""
    path = urlsplit(factories.invitation_url(services, public_id)).path
    response = client.get(path, follow_redirects=True)
    assert response.status_code == 200
    return unescape(response.text)


def way(public_id: str, page: str = "") -> str:
    return f"/c/o/{public_id}/consent" + (f"/{page}" if page else "")


def send(client: FlaskClient, path: str, target: str = "", **fields: str) -> TestResponse:
    """Open a page and send its form, to the same address or to `target`, with these fields."""
    page = client.get(path)
    assert page.status_code == 200, (path, page.status_code, page.headers.get("Location"))
    data = shown_digests(page.text) | {"csrf_token": factories.csrf_token(page.text)} | fields
    return client.post(target or path, data=data)


def shown_digests(page: str) -> dict[str, str]:
    """Return the digests of what the page showed, as the form sends them."""
    return {
        part.split('"')[0]: part.split('value="')[1].split('"')[0]
        for part in page.split('name="')
        if part.startswith("shown.")
    }


def walk(
    client: FlaskClient, public_id: str, details: dict[str, Any] | None = None, **fields: str
) -> str:
    """Go through every page up to the review, with these details; return the review's path."""
    values = check_factories.FORM_VALUES if details is None else details
    form = check_factories.form_fields(values, **fields)
    path = client.get(way(public_id)).location
    for _ in range(MAX_PAGES):
        if path.endswith("/review"):
            return path
        target = f"{path}/done" if path.endswith("/documents") else path
        response = send(client, path, target, **form)
        assert response.status_code == 303, response.text
        path = response.location
    raise AssertionError("The way to the consent has no end")


def give_consent(
    client: FlaskClient, public_id: str, name: str = check_factories.SIGNED_NAME, **headers: str
) -> TestResponse:
    """Go through every page and sign."""
    path = walk(client, public_id)
    token = factories.csrf_token(client.get(path).text)
    return client.post(
        path,
        data={"csrf_token": token, "name": name},
        headers={"User-Agent": "A phone/2.0", **headers},
    )
