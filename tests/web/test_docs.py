"""/docs/: what an ATS's engineer reads; it says no more and no less than /openapi.json."""

import html
import json
import re
import shlex

import pytest
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Page

from provider.web import docs
from tests.conftest import LiveServer
from tests.web.accessibility import EXTREME_VARIANTS, AccessibilityChecker


@pytest.fixture
def said(client: FlaskClient) -> str:
    """The page as text."""
    answer = client.get("/docs/")
    assert answer.status_code == 200
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


@pytest.fixture
def spec(client: FlaskClient) -> docs.Spec:
    """The description for machines."""
    described: docs.Spec = client.get("/openapi.json").get_json()
    return described


def test_every_operation_is_shown_with_its_address(said: str, spec: docs.Spec) -> None:
    shown = {(it.method, it.path) for it in docs.list_operations(spec)}
    described = {
        (method.upper(), path)
        for path, methods in spec["paths"].items()
        for method in methods
        if method != "parameters"
    }

    assert shown == described
    assert len(shown) >= 12
    for method, path in shown:
        assert f"{method} {path}" in said


def test_every_field_is_shown_with_its_type(client: FlaskClient, spec: docs.Spec) -> None:
    page = client.get("/docs/").text
    for schema in spec["components"]["schemas"].values():
        if "candidate" in schema.get("properties", {}):
            assert all(f"<code>{name}</code>" in page for name in schema["properties"])
            assert "<code>candidate.email</code>" in page

    order = next(it for it in docs.list_operations(spec) if it.id == "create_assessment")
    assert order.request_body
    fields = {field.name: field for field in order.request_body.fields}
    assert fields["candidate.email"].required
    assert not fields["candidate.phone"].required
    assert fields["test_id"].type == "string or integer"
    assert "At most 500 characters" in fields["job_title"].description


def test_objects_in_arrays_are_written_out(spec: docs.Spec) -> None:
    listing = next(it for it in docs.list_operations(spec) if it.id == "list_tests")

    names = {field.name: field.type for field in listing.responses[0].body.fields}
    assert names == {
        "tests": "array of objects",
        "tests[].id": "string",
        "tests[].name": "string",
    }


def test_every_answer_is_explained(spec: docs.Spec, said: str) -> None:
    for operation in docs.list_operations(spec):
        assert [answer.status_code for answer in operation.responses if answer.is_success]
        for answer in operation.responses:
            assert answer.description in said


def test_every_example_can_be_pasted_into_a_shell(spec: docs.Spec) -> None:
    for operation in docs.list_operations(spec):
        words = shlex.split(operation.curl)
        assert words[:3] == ["curl", "-X", operation.method]
        assert words[3].startswith(spec["servers"][0]["url"])
        assert "{" not in words[3]
        assert "Authorization: Bearer $TOKEN" in words
        if operation.request_body:
            assert json.loads(words[-1]) == json.loads(operation.request_body.example)


def test_an_operation_tells_what_comes_back_later(spec: docs.Spec) -> None:
    order = next(it for it in docs.list_operations(spec) if it.id == "create_check")

    (call,) = order.callbacks
    assert (call.method, call.url) == ("PUT", "callback_url")
    assert "check.result[].status" in [field.name for field in call.request_body.fields]


def test_a_description_that_refers_to_itself_comes_to_an_end(app: Flask) -> None:
    tree = {"type": "object", "properties": {"child": {"$ref": "#/components/schemas/Tree"}}}
    spec = {"components": {"schemas": {"Tree": tree}}}

    found = list(docs._parse_fields(spec, {"$ref": "#/components/schemas/Tree"}))
    assert [field.name for field in found][:2] == ["child", "child.child"]
    assert len(found) == docs.MAX_DEPTH


def test_the_page_is_fit_for_everybody(page: Page, live_server: LiveServer) -> None:
    eye = AccessibilityChecker(page, EXTREME_VARIANTS)
    page.goto(f"{live_server.url}/docs/")
    for detail in page.locator("summary").all():
        detail.click()
    eye.check_page()
    assert eye.problems == []
