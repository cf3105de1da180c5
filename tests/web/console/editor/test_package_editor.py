"""Packages in the editor: usual values of a type, options, legal texts, previews."""

from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from marshmallow import Schema
from marshmallow.fields import Nested
from playwright.sync_api import Page, expect

from provider.core.kinds.check.packages.content import (
    LegalTextSchema,
    PackageSchema,
    ScreeningSchema,
)
from provider.core.kinds.check.packages.referee_questions import RefereeQuestionSchema
from provider.core.products.documents import Document
from provider.services import Services
from provider.web.console.editor import texts
from provider.web.console.editor.forms import FormField, build_form, read_form
from tests import check_factories
from tests.conftest import LiveServer
from tests.package_documents import generated_packages
from tests.web.accessibility import AccessibilityChecker
from tests.web.console.editor.test_editor import LIST, draft_content, entry_page, save_entry
from tests.web.console.editor.test_editor_browser import author as author
from tests.web.console.editor.test_editor_browser import press
from tests.web.console.editor.test_forms import assert_unchanged_by_saving, save, submit
from tests.web.console_client import ConsoleClient

SCREENING = "screenings.0"
IDENTITY = {"type": "identity", "key": "identity", "name": "Identity"}
RIGHTS: dict[str, Any] = {
    "key": "us-rights",
    "version": "1",
    "purpose": "rights",
    "title": "Your rights",
    "text": "You **may** ask.",
    "countries": ["US", "XX"],
}


@pytest.fixture
def console(services: Services, client: FlaskClient) -> ConsoleClient:
    return ConsoleClient.signed_in(services, client, "author")


@pytest.fixture
def package_id(services: Services) -> str:
    return check_factories.create_package(services, screenings=[IDENTITY])


def fields_of(entry: dict[str, Any]) -> dict[str, FormField]:
    return {field.name: field for field in build_form(ScreeningSchema(), entry, {})}


def screening(services: Services, package_id: str) -> dict[str, Any]:
    entry: dict[str, Any] = draft_content(services, package_id)["screenings"][0]
    return entry


@settings(deadline=None, max_examples=30)
@given(document=generated_packages())
def test_saving_unchanged_forms_of_any_package_changes_nothing(document: Document) -> None:
    assert_unchanged_by_saving(document)


def test_form_begins_with_the_type_and_shows_its_usual_values() -> None:
    fields = fields_of(IDENTITY)
    assert next(iter(fields)) == "type"
    assert ("motor_vehicle", "Driving record") in fields["type"].choices
    assert fields["asks"].value == ["full_name", "former_names", "date_of_birth", "address"]
    assert ("employers", "Last two employers") in fields["asks"].choices
    assert fields["documents"].help == "Usual for this type: Passport or identity card."
    assert (fields["working_days"].value, fields["performer"].value) == ("2", "staff")
    assert fields["reason"].value.startswith("A document and your details show")
    assert not fields["connector"].is_key


def list_own_labels(schema: Schema) -> Iterator[tuple[str, bool]]:
    """Yield each field of a schema and of those within, and whether it has a label of its own."""
    for name, field in schema.fields.items():
        label = texts.field_texts(schema, name)
        yield f"{type(schema).__name__}.{name}", label in texts.FIELD_TEXTS.values()
        inner = getattr(field, "inner", field)
        if isinstance(inner, Nested) and isinstance(inner.schema, Schema):
            yield from list_own_labels(inner.schema)


def test_each_field_of_a_package_has_a_label() -> None:
    labels = dict(list_own_labels(PackageSchema()))
    assert "RefereeQuestionSchema.kind" in labels
    assert [name for name, is_own in labels.items() if not is_own] == ["PackageSchema.schema"]


def test_kind_of_a_question_to_referees_is_chosen() -> None:
    question = {"key": "again", "text": "Again?"}
    fields = {field.name: field for field in build_form(RefereeQuestionSchema(), question, {})}
    assert ("yes_no", "By yes or no") in fields["kind"].choices
    changed = save(RefereeQuestionSchema(), question, kind="yes_no")
    assert changed == question | {"kind": "yes_no"}


def test_only_a_type_with_options_shows_them() -> None:
    assert "workforce" not in fields_of(IDENTITY)
    fields = fields_of({"type": "dbs_enhanced"})
    assert ("child", "Work with children") in fields["workforce"].choices
    assert fields["barred_lists"].value == "none"
    # An option that is wrong stays in sight, so that the author can empty it.
    assert "workforce" in fields_of({"type": "dbs_basic", "workforce": "child"})


def test_value_that_differs_from_the_usual_one_is_written() -> None:
    changed = save(ScreeningSchema(), IDENTITY, working_days="3", documents=None)
    assert changed == {**IDENTITY, "documents": [], "working_days": 3}
    assert save(ScreeningSchema(), changed, working_days="") == {**IDENTITY, "documents": []}


def test_usual_values_follow_a_type_that_changes_with_its_form_open() -> None:
    schema = ScreeningSchema()
    form = submit(build_form(schema, IDENTITY, {}), type="sanctions")
    form["shown:type"] = "identity"
    changed = read_form(schema, IDENTITY, form)
    assert changed == IDENTITY | {"type": "sanctions"}
    # A script sends the same form once more, with the fields of the former type.
    assert read_form(schema, changed, form) == changed
    form["working_days"] = "4"
    assert read_form(schema, changed, form) == changed | {"working_days": 4}


def test_countries_are_written_by_name_or_code() -> None:
    schema = LegalTextSchema()
    fields = {field.name: field for field in build_form(schema, RIGHTS, {})}
    assert fields["countries"].value == "United States (US)\nXX"
    assert save(schema, RIGHTS) == RIGHTS
    lines = "gb\r\nGermany\r\nFrance (FR)\r\nAtlantis"
    changed = save(schema, RIGHTS, countries=lines)
    assert changed["countries"] == ["GB", "DE", "FR", "Atlantis"]
    assert "countries" not in save(schema, RIGHTS, countries="")


def test_legal_texts_of_a_screening_are_lines_of_keys() -> None:
    schema, driving = ScreeningSchema(), IDENTITY | {"type": "motor_vehicle"}
    (field,) = (row for row in build_form(schema, driving, {}) if row.name == "consent_texts")
    assert field.value == "us-driving-record-authorization"
    assert "Usual for this type: us-driving-record-authorization." in field.help
    assert save(schema, driving) == driving
    changed = save(schema, driving, consent_texts="uk-driving\r\n\r\n de-driving \r\n")
    assert changed == driving | {"consent_texts": ["uk-driving", "de-driving"]}
    assert save(schema, changed, consent_texts="") == driving


def test_unknown_text_of_a_screening_is_shown_at_its_field(
    services: Services, console: ConsoleClient, package_id: str
) -> None:
    save_entry(console, package_id, SCREENING, consent_texts="us-rights")
    assert screening(services, package_id)["consent_texts"] == ["us-rights"]
    problem = "It is us-rights, which legal_texts does not have: add this text there"
    page = console.get_text(entry_page(package_id, SCREENING))
    assert problem in page
    assert problem in console.get_text(f"{LIST}{package_id}/edit")
    console.submit(f"{LIST}{package_id}/edit/add", list="legal_texts")
    text = {name: value for name, value in RIGHTS.items() if name != "countries"}
    save_entry(console, package_id, "legal_texts.0", **text, countries="United States")
    page = console.get_text(entry_page(package_id, SCREENING))
    assert problem not in page
    outline = console.get_text(f"{LIST}{package_id}/edit")
    assert problem not in outline
    assert "because screenings name legal texts" in outline


def test_screening_is_saved_and_previewed_with_what_it_needs(
    services: Services, console: ConsoleClient, package_id: str
) -> None:
    assert save_entry(console, package_id, SCREENING).status_code == 302
    save_entry(console, package_id, SCREENING, type="dbs_enhanced", workforce="child")
    assert screening(services, package_id) == IDENTITY | {"type": "dbs_enhanced"}
    page = console.get_text(entry_page(package_id, SCREENING))
    assert "It should be provided for a DBS enhanced check" in page
    save_entry(console, package_id, SCREENING, workforce="child", barred_lists="children")
    page = unescape(unescape(console.get_text(entry_page(package_id, SCREENING))))
    for text in (
        "Workforce: Work with children",
        "<li>Date of birth</li>",
        "<li>Identity document of group 1</li>",
        "Your name, date of birth and addresses say which records are yours.",
        "This takes about 20 working days.",
    ):
        assert text in page
    page = console.get_text(f"{LIST}{package_id}/edit")
    assert "for GB: a privacy policy" in page


def test_legal_text_is_added_previewed_and_listed(
    services: Services, console: ConsoleClient, package_id: str
) -> None:
    console.submit(f"{LIST}{package_id}/edit/add", list="legal_texts")
    text = {name: value for name, value in RIGHTS.items() if name != "countries"}
    save_entry(console, package_id, "legal_texts.0", **text, countries="United States")
    assert draft_content(services, package_id)["legal_texts"] == [RIGHTS | {"countries": ["US"]}]
    page = unescape(console.get_text(entry_page(package_id, "legal_texts.0")))
    assert "You <strong>may</strong> ask." in page
    page = console.get_text(f"{LIST}{package_id}/edit")
    assert "Legal texts" in page
    assert "has no text with the purpose disclosure for US" in page


def test_author_sees_the_usual_values_of_another_type(
    author: Page, live_server: LiveServer
) -> None:
    page, services = author, live_server.services
    package_id = check_factories.create_package(services, screenings=[IDENTITY])
    page.goto(f"{live_server.url}{entry_page(package_id, SCREENING)}")
    expect(page.get_by_label("Passport or identity card")).to_be_checked()
    page.get_by_label("Type").focus()
    page.get_by_label("Type").select_option(label="DBS enhanced check")
    expect(page.get_by_label("Workforce")).to_be_visible()
    expect(page.get_by_label("Type")).to_be_focused()
    expect(page.get_by_label("Identity document of group 1")).to_be_checked()
    page.get_by_label("Workforce").select_option(label="Work with adults")
    page.get_by_label("Barred lists").select_option(value="adults")
    page.get_by_label("Expected working days").fill("15")
    expect(page.frame_locator("iframe").get_by_text("about 15 working days")).to_be_visible()
    AccessibilityChecker(page, in_turn=True).check_page("screening")
    press(page, "Save and close")
    expect(page.get_by_role("heading", name="Screenings")).to_be_visible()
    assert screening(services, package_id) == {
        **IDENTITY,
        "type": "dbs_enhanced",
        "workforce": "adult",
        "barred_lists": "adults",
        "working_days": 15,
    }
