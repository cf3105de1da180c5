"""`/docs/` shows the same operations, fields and responses as `/openapi.json`."""

import html
import json
import re
import shlex

import pytest
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Page, expect

from provider.web import docs
from tests.conftest import LiveServer
from tests.web.accessibility import AccessibilityChecker


@pytest.fixture
def page_text(client: FlaskClient) -> str:
    """The page's text, with single spaces."""
    response = client.get("/docs/")
    assert response.status_code == 200
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", response.text)).split())


@pytest.fixture
def spec(client: FlaskClient) -> docs.Spec:
    """The OpenAPI document."""
    document: docs.Spec = client.get("/openapi.json").get_json()
    return document


def find_operation(spec: docs.Spec, operation_id: str) -> docs.Operation:
    return next(op for op in docs.list_operations(spec) if op.id == operation_id)


def test_docs_page_shows_every_operation_with_its_path(page_text: str, spec: docs.Spec) -> None:
    shown = {(operation.method, operation.path) for operation in docs.list_operations(spec)}
    published = {
        (method.upper(), path)
        for path, methods in spec["paths"].items()
        for method in methods
        if method != "parameters"
    }

    assert shown == published
    assert len(shown) >= 12
    for method, path in shown:
        assert f"{method} {path}" in page_text


def test_docs_page_shows_every_field_with_its_type(client: FlaskClient, spec: docs.Spec) -> None:
    page = client.get("/docs/").text
    for schema in spec["components"]["schemas"].values():
        if "candidate" in schema.get("properties", {}):
            assert all(f"<code>{name}</code>" in page for name in schema["properties"])
            assert "<code>candidate.email</code>" in page

    operation = find_operation(spec, "create_assessment")
    assert operation.request_body
    fields = {field.name: field for field in operation.request_body.fields}
    assert fields["candidate.email"].required
    assert not fields["candidate.phone"].required
    assert fields["test_id"].type == "string or integer"
    assert "At most 500 characters" in fields["job_title"].description


def test_list_operations_lists_fields_of_array_items(spec: docs.Spec) -> None:
    operation = find_operation(spec, "list_tests")

    types = {field.name: field.type for field in operation.responses[0].body.fields}
    assert types == {
        "tests": "array of objects",
        "tests[].id": "string",
        "tests[].name": "string",
    }


def test_docs_page_describes_every_response(spec: docs.Spec, page_text: str) -> None:
    for operation in docs.list_operations(spec):
        assert any(response.is_success for response in operation.responses)
        for response in operation.responses:
            assert response.description in page_text


def test_curl_examples_are_valid_shell_commands(spec: docs.Spec) -> None:
    for operation in docs.list_operations(spec):
        arguments = shlex.split(operation.curl)
        assert arguments[:3] == ["curl", "-X", operation.method]
        assert arguments[3].startswith(spec["servers"][0]["url"])
        assert "{" not in arguments[3]
        assert "Authorization: Bearer $TOKEN" in arguments
        if operation.request_body:
            assert json.loads(arguments[-1]) == json.loads(operation.request_body.example)


def test_list_operations_includes_callbacks(spec: docs.Spec) -> None:
    operation = find_operation(spec, "create_check")

    (callback,) = operation.callbacks
    assert (callback.method, callback.url) == ("PUT", "callback_url")
    assert "check.result[].status" in [field.name for field in callback.request_body.fields]


def test_parse_fields_of_recursive_schema_stops_at_max_depth(app: Flask) -> None:
    tree = {"type": "object", "properties": {"child": {"$ref": "#/components/schemas/Tree"}}}
    spec = {"components": {"schemas": {"Tree": tree}}}

    fields = list(docs._parse_fields(spec, {"$ref": "#/components/schemas/Tree"}))
    assert [field.name for field in fields][:2] == ["child", "child.child"]
    assert len(fields) == docs.MAX_DEPTH


def test_docs_page_is_accessible(page: Page, live_server: LiveServer) -> None:
    checker = AccessibilityChecker(page)
    page.goto(f"{live_server.url}/docs/")
    # The template draws every operation alike. Axe would need ten seconds for all of them.
    operations = page.locator(".docs-operation")
    operations.evaluate_all("sections => sections.slice(3).forEach(section => section.remove())")
    expect(operations).to_have_count(3)
    for detail in page.locator("summary").all():
        detail.click()
    checker.check_page()
    assert checker.problems == []
