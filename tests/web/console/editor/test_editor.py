"""The console's pages that edit a product: drafts, colleagues, publishing, files."""

import io
import re
from html import unescape
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from provider.core.products import Product
from provider.core.products.draft import find_draft, node_digest, working_content
from provider.services import Services
from tests import factories
from tests.web.console_client import ConsoleClient

LIST = "/console/products/"
ITEM = "sections.0.items.0"


@pytest.fixture
def console(services: Services, client: FlaskClient) -> ConsoleClient:
    return ConsoleClient.signed_in(services, client, "author")


@pytest.fixture
def test_id(services: Services) -> str:
    return factories.create_test(services)


def read_inputs(page: str) -> dict[str, Any]:
    """Return the values of a form's text fields and hidden fields."""
    found = [
        (match[1], match[2])
        for tag in re.findall(r"<input [^>]*>", page)
        if 'type="checkbox"' not in tag or " checked" in tag
        if (match := re.search(r'name="([^"]+)" value="([^"]*)"', tag))
    ]
    found += re.findall(r'<textarea [^>]*name="([^"]+)"[^>]*>\n(.*?)</textarea>', page, re.DOTALL)
    values: dict[str, Any] = {}
    for name, value in found:
        values.setdefault(name, []).append(unescape(value))
    return {name: value for name, value in values.items() if name != "csrf_token"}


def entry_page(product_id: str, path: str) -> str:
    return f"{LIST}{product_id}/edit/at/{path}"


def save_entry(
    console: ConsoleClient, product_id: str, path: str, page: str = "", **changes: str
) -> TestResponse:
    """Submit an entry's form, as `page` shows it or as it is now, with changes."""
    url = entry_page(product_id, path)
    fields = read_inputs(page or console.client.get(url).text)
    return console.submit(url, **fields | changes)


def draft_content(services: Services, product_id: str) -> dict[str, Any]:
    with services.db.reading() as session:
        return working_content(session, Product.find(session, product_id))


def has_draft(services: Services, product_id: str) -> bool:
    with services.db.reading() as session:
        return find_draft(session, Product.find(session, product_id)) is not None


def publish(console: ConsoleClient, product_id: str) -> TestResponse:
    page = f"{LIST}{product_id}/edit/publish"
    return console.submit(page, page=page, seen=console.read_field(page, "seen"))


@pytest.mark.both
def test_incomplete_draft_is_stored_and_changes_no_version(
    services: Services, console: ConsoleClient, test_id: str
) -> None:
    response = save_entry(console, test_id, ITEM, prompt="", points="many")
    assert response.status_code == 302
    item = draft_content(services, test_id)["sections"][0]["items"][0]
    assert "prompt" not in item
    assert item["points"] == "many"
    page = console.get_text(f"{LIST}{test_id}/edit")
    assert "2 things have to be corrected" in page
    assert f'href="{entry_page(test_id, ITEM)}#field-prompt"' in page
    assert "What is 17 + 25?" in console.get_text(f"{LIST}{test_id}")
    page = console.get_text(f"{LIST}{test_id}/edit/publish")
    assert "It cannot be published yet" in page
    assert "Publish version 2</button>" not in page


def test_form_that_changes_nothing_makes_no_draft(
    services: Services, console: ConsoleClient, test_id: str
) -> None:
    assert save_entry(console, test_id, ITEM).status_code == 302
    assert not has_draft(services, test_id)


@pytest.mark.both
def test_second_author_of_the_same_item_sees_the_difference(
    services: Services, app: Flask, console: ConsoleClient, test_id: str
) -> None:
    colleague = ConsoleClient.signed_in(services, app.test_client(), "admin")
    page = console.client.get(entry_page(test_id, ITEM)).text
    save_entry(colleague, test_id, ITEM, prompt="What is 18 + 25?")
    response = save_entry(console, test_id, ITEM, page, prompt="What is 19 + 25?")
    assert response.status_code == 409
    text = unescape(response.text)
    assert "admin@provider.test changed this after you opened it" in text
    assert "<del>What is 18 + 25?</del><ins>What is 19 + 25?</ins>" in text
    assert "What is 18 + 25?" in str(draft_content(services, test_id))
    # What was typed is still in the form, and can be saved on purpose.
    assert save_entry(console, test_id, ITEM, response.text).status_code == 302
    assert "What is 19 + 25?" in str(draft_content(services, test_id))


def test_authors_of_different_parts_do_not_disturb_each_other(
    services: Services, app: Flask, console: ConsoleClient, test_id: str
) -> None:
    colleague = ConsoleClient.signed_in(services, app.test_client(), "admin")
    page = console.client.get(entry_page(test_id, ITEM)).text
    section = console.client.get(entry_page(test_id, "sections.0")).text
    change = f"{LIST}{test_id}/edit/change"
    save_entry(colleague, test_id, "sections.0.items.1", prompt="What is half of 8?")
    # The colleague moves the item that is being edited, and its section's form is open too.
    assert colleague.submit(change, act=f"down {ITEM}").status_code == 302
    assert save_entry(console, test_id, ITEM, page, prompt="Changed").status_code == 302
    assert save_entry(console, test_id, "sections.0", section, title="New").status_code == 302
    section_content = draft_content(services, test_id)["sections"][0]
    prompts = [item["prompt"] for item in section_content["items"]]
    assert (section_content["title"], prompts) == ("New", ["What is half of 8?", "Changed"])
    page = console.get_text(f"{LIST}{test_id}/edit")
    assert "saved by author@provider.test" in page
    assert "author@provider.test is working" in colleague.get_text(f"{LIST}{test_id}/edit")


def test_autosave_answers_with_the_digest_of_the_next_save(
    services: Services, app: Flask, console: ConsoleClient, test_id: str
) -> None:
    url = entry_page(test_id, ITEM)
    page = console.client.get(url).text
    fields = read_inputs(page) | {"csrf_token": factories.csrf_token(page)}
    json = {"Accept": "application/json"}
    for prompt in ("One", "Two"):
        response = console.client.post(url, data=fields | {"prompt": prompt}, headers=json)
        assert response.json
        assert response.json["state"].startswith("Saved at")
        fields["seen"] = response.json["seen"]
    preview = console.client.get(f"{LIST}{test_id}/edit/preview/{ITEM}").json
    assert preview
    assert "<p>Two</p>" in preview["preview"]
    fields["seen"] = "other"
    response = console.client.post(url, data=fields, headers=json)
    assert response.status_code == 409
    assert response.json
    assert "Press “Save” to see the difference" in response.json["error"]


def test_warnings_are_shown_with_links_before_publishing(
    console: ConsoleClient, test_id: str
) -> None:
    save_entry(console, test_id, ITEM, prompt="2*3*4?")
    for page in (f"{LIST}{test_id}/edit", f"{LIST}{test_id}/edit/publish"):
        text = console.get_text(page)
        assert "write `plain: true` for the item" in text
        assert f"{entry_page(test_id, ITEM)}#field-prompt" in text
    assert "Nothing prevents publishing, but please look at this" in console.get_text(
        entry_page(test_id, ITEM)
    )


def test_published_draft_is_a_version_with_a_summary(
    services: Services, console: ConsoleClient, test_id: str
) -> None:
    save_entry(console, test_id, "-", time_limit="25", name="Renamed")
    page = console.get_text(f"{LIST}{test_id}/edit/publish")
    assert "2 changes" in page
    assert "Time limit in minutes" in page
    assert "<del>20</del><ins>25</ins>" in page
    assert publish(console, test_id).status_code == 302
    assert not has_draft(services, test_id)
    with services.db.reading() as session:
        product = Product.find(session, test_id)
        newest = product.versions[-1]
        assert (product.name, newest.number, newest.content["time_limit"]) == ("Renamed", 2, 25)
        assert product.current_version_id == newest.id
    text = console.get_text(f"{LIST}{test_id}/compare?from=1&to=2")
    assert "<del>20</del><ins>25</ins>" in text


def test_draft_that_changed_since_the_page_is_not_published(
    services: Services, console: ConsoleClient, test_id: str
) -> None:
    save_entry(console, test_id, "-", time_limit="25")
    page = f"{LIST}{test_id}/edit/publish"
    seen = console.read_field(page, "seen")
    save_entry(console, test_id, "-", time_limit="26")
    response = console.submit(page, page=page, seen=seen)
    assert response.status_code == 409
    assert has_draft(services, test_id)


def test_import_during_a_draft_is_named(services: Services, console: ConsoleClient) -> None:
    product_id = factories.create_interview(services)
    save_entry(console, product_id, "questions.0", text="Why us?")
    factories.create_product(
        services, "interview", factories.INTERVIEW_CONTENT | {"language": "en"}, "first", "First"
    )
    with services.db.reading() as session:
        assert len(Product.find(session, product_id).versions) == 2
    page = console.get_text(f"{LIST}{product_id}/edit")
    assert "Version 2 was imported after this draft began" in page


def test_draft_downloads_and_uploads_as_the_same_content(
    services: Services, console: ConsoleClient, test_id: str
) -> None:
    save_entry(console, test_id, ITEM, prompt="")
    before = draft_content(services, test_id)
    file = console.client.get(f"{LIST}{test_id}/file/draft.yaml").data
    page = f"{LIST}{test_id}/edit"
    match = re.search(r'name="seen" value="([0-9a-f]{16})"', console.get_text(page))
    assert match
    data = (io.BytesIO(file.replace(b"half of 7", b"half of 8")), "a.yaml")
    assert console.submit(f"{page}/upload", seen=match[1], file=data).status_code == 302
    assert "half of 8" in str(draft_content(services, test_id))
    stale = (io.BytesIO(file), "a.yaml")
    assert console.submit(f"{page}/upload", seen=match[1], file=stale).status_code == 409
    same = (io.BytesIO(file), "a.yaml")
    seen = node_digest(draft_content(services, test_id))
    assert console.submit(f"{page}/upload", seen=seen, file=same).status_code == 302
    assert draft_content(services, test_id) == before
    version = console.client.get(f"{LIST}{test_id}/file/1.yaml")
    assert version.text.startswith("kind: assessment\nkey: ")


def test_new_product_of_each_kind_opens_in_the_editor(
    services: Services, console: ConsoleClient
) -> None:
    for kind, noun in (
        ("assessment", "section"),
        ("interview", "question"),
        ("check", "screening"),
    ):
        response = console.submit(f"{LIST}new", kind=kind, name=f"My {kind}")
        page = console.get_text(response.location)
        assert f"Add a {noun}" in page
        product_id = response.location.split("/")[3]
        response = console.submit(f"{LIST}{product_id}/edit/add", list=f"{noun}s")
        assert response.status_code == 302
        assert f"{noun.capitalize()} 1" in console.get_text(response.location)
    assert console.submit(f"{LIST}new", kind="check", name="My check").status_code == 400
    assert "My interview" in console.get_text(LIST)


def test_product_that_was_never_published_is_archived(
    services: Services, console: ConsoleClient
) -> None:
    response = console.submit(f"{LIST}new", kind="assessment", name="A mistake")
    product = f"{LIST}{response.location.split('/')[3]}"
    console.submit(
        f"{product}/edit/discard", seen=console.read_field(f"{product}/edit/discard", "seen")
    )
    assert f"{product}/archive" in console.get_text(product)
    page = console.get_text(f"{product}/archive")
    assert "It was never published" in page
    token = console.read_field(f"{product}/archive", "edit_token")
    assert console.submit(f"{product}/archive", edit_token=token).status_code == 302
    assert "Archived" in console.get_text(product)
    assert "A mistake" not in console.get_text(f"{LIST}?state=draft")
    assert "A mistake" in console.get_text(f"{LIST}?state=archived")


def test_duplicated_product_has_the_content_of_the_first(
    services: Services, console: ConsoleClient, test_id: str
) -> None:
    page = f"{LIST}new?copy={test_id}"
    assert "Reasoning (copy)" in console.get_text(page)
    response = console.submit(f"{LIST}new", page=page, copy=test_id, name="Second", key="second")
    copied = draft_content(services, response.location.split("/")[3])
    assert copied == draft_content(services, test_id) | {"name": "Second"}
    assert publish(console, response.location.split("/")[3]).status_code == 302


def test_item_is_added_duplicated_and_removed(
    services: Services, console: ConsoleClient, test_id: str
) -> None:
    base = f"{LIST}{test_id}/edit"
    wrong = console.submit(f"{base}/add", list="sections.0.items", kind="dial")
    assert wrong.status_code == 400
    added = console.submit(f"{base}/add", list="sections.0.items", kind="likert")
    assert added.location.endswith("sections.0.items.2")
    copy = console.submit(f"{base}/change", act=f"duplicate {ITEM}")
    assert copy.location.endswith("sections.0.items.1")
    page = f"{base}/remove/{ITEM}"
    removed = console.submit(page, seen=console.read_field(page, "seen"))
    assert removed.status_code == 302
    items = draft_content(services, test_id)["sections"][0]["items"]
    assert [item.get("key") for item in items] == ["sum-2", "half", None]
    assert console.submit(page, seen="other").status_code == 409


def test_rows_of_a_form_move_and_go_without_a_script(
    services: Services, console: ConsoleClient, test_id: str
) -> None:
    for act, keys in (
        ("up options.1", "bac"),
        ("down options.0", "abc"),
        ("remove options.0", "bc"),
    ):
        save_entry(console, test_id, ITEM, act=act)
        options = draft_content(services, test_id)["sections"][0]["items"][0]["options"]
        assert "".join(option["key"] for option in options) == keys


def test_deleted_draft_leaves_the_versions(
    services: Services, console: ConsoleClient, test_id: str
) -> None:
    save_entry(console, test_id, "-", time_limit="25")
    page = f"{LIST}{test_id}/edit/discard"
    assert console.submit(page, page=page, seen="7").status_code == 409
    console.submit(page, page=page, seen=console.read_field(page, "seen"))
    assert draft_content(services, test_id)["time_limit"] == 20


def test_every_entry_of_every_kind_has_a_page_with_a_preview(
    services: Services, console: ConsoleClient
) -> None:
    interview = factories.create_interview(services)
    package = factories.create_package(services)
    for product_id, path, text in (
        (interview, "-", "Two short questions."),
        (interview, "questions.0", "1 minute 30 seconds to answer"),
        (package, "-", "We look at your record."),
        (package, "screenings.0", "Criminal record"),
    ):
        page = console.get_text(entry_page(product_id, path))
        preview = re.search(r'srcdoc="(.*)" data-preview', page, re.DOTALL)
        assert preview
        assert text in preview[1]
    for path in ("sections", "sections.0.items.0.options.0", "grades", "x.0", "sections.5"):
        console.get_text(entry_page(factories.create_test(services, "T", "t"), path), 404)


def test_form_says_that_a_scored_question_needs_its_answer(
    console: ConsoleClient, test_id: str
) -> None:
    hint = "A section that is scored needs it."
    pages = [
        console.get_text(entry_page(test_id, f"sections.0.items.{number}")) for number in range(2)
    ]
    counts = [page.count(hint) for page in pages if 'id="field-answer"' in page]
    assert counts == [1]


def test_editor_says_what_a_draw_gives(services: Services, console: ConsoleClient) -> None:
    item = {"kind": "true_false", "answer": True, "prompt": "So?"}
    items = [item | {"key": f"q{number}", "tags": ["hard"]} for number in range(4)]
    items += [item | {"key": "easy"}]
    items[0]["points"] = 2
    draw = {"count": 3, "tags": ["hard"]}
    sections = [{"key": "bank", "title": "Bank", "draw": draw, "items": items}]
    product_id = factories.create_test(services, sections=sections)
    sentence = (
        "Each candidate gets 3 of 4 questions with the tags hard. "
        "A question is seen by 75% of the candidates. "
        "Their points differ, so that candidates can reach different points. "
        "1 question is never drawn, for want of the tags."
    )
    section = entry_page(product_id, "sections.0")
    for page in (f"{LIST}{product_id}/edit", section):
        assert sentence in console.get_text(page)
    # A question that is incomplete does not hide that the bank is too small.
    save_entry(console, product_id, ITEM, prompt="")
    save_entry(console, product_id, "sections.0", **{"draw.count": "5"})
    page = console.get_text(f"{LIST}{product_id}/edit")
    assert "should be at most 4: the section has 4 items with the tags hard" in page
    assert "2 things have to be corrected" in page
    preview = console.client.get(f"{LIST}{product_id}/edit/preview/sections.0").json
    assert preview
    assert preview["note"] == "The draw needs 5 questions with the tags hard, and there are 4."
