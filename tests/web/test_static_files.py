"""Static files: compression, caching, and the part of Bootstrap that is served."""

import gzip
import re

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Page

from provider.web.bootstrap_subset import keep_used_rules
from tests import factories
from tests.conftest import LiveServer
from tests.web.accessibility import bootstrap_css, left_out_classes
from tests.web.candidate.test_assessment_browser import start_test

THEME = "/static/theme.css"


def hashed_path(client: FlaskClient) -> str:
    """Return the address of the theme that pages name."""
    match = re.search(rf'href="({THEME}\?v=\w+)"', client.get("/").text)
    assert match
    return match[1]


def test_file_is_compressed_for_browsers_that_accept_it(client: FlaskClient) -> None:
    plain = client.get(THEME)
    compressed = client.get(THEME, headers={"Accept-Encoding": "br, gzip"})
    assert compressed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(compressed.data) == plain.data
    assert "Content-Encoding" not in plain.headers
    for response in (plain, compressed):
        assert response.headers["Vary"] == "Accept-Encoding"
        assert response.headers["Content-Length"] == str(len(response.data))
        assert response.mimetype == "text/css"
    refused = client.get(THEME, headers={"Accept-Encoding": "gzip;q=0, br"})
    assert "Content-Encoding" not in refused.headers


def test_only_the_address_with_the_hash_is_cached_for_a_year(client: FlaskClient) -> None:
    path = hashed_path(client)
    assert client.get(path).headers["Cache-Control"] == "public, max-age=31536000, immutable"
    for other in (THEME, f"{THEME}?v=0123456789abcdef"):
        assert client.get(other).headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_unchanged_file_is_not_sent_again(client: FlaskClient, encoding: str) -> None:
    headers = {"Accept-Encoding": encoding}
    tag = client.get(THEME, headers=headers).headers["ETag"]
    again = client.get(THEME, headers=headers | {"If-None-Match": tag})
    assert (again.status_code, again.data) == (304, b"")
    # The other form of the file has another tag, or a proxy could mix them up.
    other = "identity" if encoding == "gzip" else "gzip"
    assert client.get(THEME, headers={"Accept-Encoding": other}).headers["ETag"] != tag


@pytest.mark.parametrize("path", ["/static/../app.py", "/static/unknown.css", "/static/."])
def test_what_is_no_static_file_is_404(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_pages_are_not_compressed(client: FlaskClient) -> None:
    response = client.get("/", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in response.headers


def test_subset_has_the_rules_of_used_classes_and_elements(client: FlaskClient) -> None:
    served = client.get("/bootstrap/static/css/bootstrap.min.css").text
    assert served == keep_used_rules(bootstrap_css())
    assert "Licensed under MIT" in served
    assert len(gzip.compress(served.encode())) < 12_000
    assert {"carousel", "navbar", "modal", "offcanvas"} <= left_out_classes()
    # From a template, put together in a template, put together in a script, of Markdown's tables.
    kept = ("form-check-input", "btn-outline-danger", "text-end", "table")
    assert left_out_classes().isdisjoint(kept)


def test_subset_keeps_rules_by_each_of_their_selectors() -> None:
    css = (
        '@charset "UTF-8";/*! banner */a{x:1}.btn,.navbar{x:2}.navbar .btn{x:3}'
        ".btn:not(.navbar):hover{x:4}@media print{.navbar{x:5}}"
        "@media (min-width:1px){.btn{x:6}.navbar{x:7}}@keyframes k{0%{x:8}to{x:9}}"
    )
    assert keep_used_rules(css) == (
        '/*! banner */@charset "UTF-8";a{x:1}.btn{x:2}.btn:not(.navbar):hover{x:4}'
        "@media (min-width:1px){.btn{x:6}}@keyframes k{0%{x:8}to{x:9}}"
    )


def test_font_of_formulas_comes_from_its_package_under_its_hash(client: FlaskClient) -> None:
    css = client.get(THEME).text
    match = re.search(r'url\("(fonts/STIXTwoMath-Regular.ttf\?v=[0-9a-f]{16})"\)', css)
    assert match
    font = client.get(f"/static/{match[1]}")
    assert font.data.startswith(b"\0\1\0\0")
    assert font.mimetype == "font/ttf"
    assert font.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    compressed = client.get(f"/static/{match[1]}", headers={"Accept-Encoding": "gzip"})
    assert gzip.decompress(compressed.data) == font.data


def test_font_is_loaded_only_by_a_page_with_a_formula(page: Page, live_server: LiveServer) -> None:
    item = {"kind": "true_false", "answer": True}
    items = [
        item | {"key": "plain", "prompt": "Is 2 a prime?"},
        item | {"key": "formula", "prompt": r"Is $\sqrt{\frac{1}{4}}$ one half?"},
    ]
    sections = [{"key": "one", "title": "One", "items": items}]
    services = live_server.services
    product_id = factories.create_test(services, sections=sections)
    account_id, _ = factories.create_account(services)
    order_id = factories.place_order(services, account_id, product_id)
    fonts: list[str] = []
    page.on(
        "response", lambda response: fonts.append(response.url) if ".ttf" in response.url else None
    )
    start_test(page, live_server, order_id)
    page.evaluate("document.fonts.ready.then(() => true)")
    assert fonts == []
    page.goto(f"{live_server.url}/c/o/{order_id}/items/2")
    assert page.evaluate(
        "document.fonts.ready.then(() => document.fonts.check('1em \"STIX Two Math\"'))"
    )
    [font] = fonts
    assert "?v=" in font
