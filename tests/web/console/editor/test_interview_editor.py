"""Interview templates in the editor: every field, previews, and the recruiter's video."""

import io
from html import unescape
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from playwright.sync_api import FilePayload, Page, expect

from provider.core.products import Product
from provider.core.products.documents import Document
from provider.core.products.draft_edits import ROOT
from provider.core.products.file_pieces import FOLDER
from provider.core.sample_video import webm
from provider.services import Services
from tests import factories
from tests.conftest import LiveServer
from tests.interview_documents import generated_templates
from tests.pictures import make_png
from tests.wait_for import wait_for
from tests.web.accessibility import AccessibilityChecker
from tests.web.console.editor.test_editor import (
    LIST,
    draft_content,
    entry_page,
    publish,
    read_inputs,
    save_entry,
)
from tests.web.console.editor.test_editor_browser import author as author
from tests.web.console.editor.test_forms import assert_unchanged_by_saving
from tests.web.console_client import ConsoleClient

QUESTION = "questions.0"
VIDEO = webm()


@pytest.fixture
def console(services: Services, client: FlaskClient) -> ConsoleClient:
    return ConsoleClient.signed_in(services, client, "author")


@pytest.fixture
def template_id(services: Services) -> str:
    return factories.create_interview(services)


def question(services: Services, product_id: str) -> dict[str, Any]:
    entry: dict[str, Any] = draft_content(services, product_id)["questions"][0]
    return entry


@settings(deadline=None, max_examples=30)
@given(document=generated_templates())
def test_saving_unchanged_forms_of_any_template_changes_nothing(document: Document) -> None:
    assert_unchanged_by_saving(document)


def test_time_to_think_can_be_limited_or_not(
    services: Services, console: ConsoleClient, template_id: str
) -> None:
    save_entry(console, template_id, QUESTION, think_seconds="")
    assert question(services, template_id)["think_seconds"] is None
    save_entry(console, template_id, QUESTION, text="Why here?")
    assert question(services, template_id)["think_seconds"] is None
    save_entry(console, template_id, QUESTION, think_seconds="45")
    assert question(services, template_id)["think_seconds"] == 45


def test_fields_of_another_answer_are_named_in_words(
    services: Services, console: ConsoleClient, template_id: str
) -> None:
    save_entry(console, template_id, QUESTION, answer="choice")
    page = console.get_text(f"{LIST}{template_id}/edit")
    assert "It is for an answer by video or audio only; remove it." in page


def test_choice_is_written_previewed_and_published(
    services: Services, console: ConsoleClient
) -> None:
    template_id = factories.create_product(
        services, "interview", {"questions": [{"key": "days", "text": "Which?"}]}, "days", "Days"
    )
    save_entry(console, template_id, QUESTION, answer="choice", options="Weekdays\nWeekends")
    assert question(services, template_id)["options"] == ["Weekdays", "Weekends"]
    page = console.get_text(entry_page(template_id, QUESTION))
    assert 'value="Weekends"' in unescape(page.partition("srcdoc=")[2])
    fields = {
        "introduction.text": "Welcome",
        "practice.text": "Your name?",
        "closing.text": "Bye",
        "time_limit": "40",
        "preferences": ["takes", "time_limit"],
    }
    url = entry_page(template_id, ROOT)
    console.submit(url, **read_inputs(console.client.get(url).text) | fields)
    assert publish(console, template_id).status_code == 302
    with services.db.reading() as session:
        content = Product.find(session, template_id).versions[-1].content
    assert content["introduction"] == {"text": "Welcome"}
    assert content["practice"] == {"text": "Your name?"}
    assert content["closing"] == {"text": "Bye"}
    assert (content["time_limit"], content["preferences"]) == (40, ["takes", "time_limit"])
    version = console.get_text(f"{LIST}{template_id}")
    for text in ("Weekdays, Weekends", "40 minutes", "Your name?", "Welcome", "Bye"):
        assert text in version


def test_small_video_is_sent_with_the_form_and_can_be_removed(
    services: Services, console: ConsoleClient, template_id: str
) -> None:
    url = entry_page(template_id, QUESTION)
    values = read_inputs(console.client.get(url).text)
    values["upload:media.video"] = (io.BytesIO(VIDEO), "Anna sagt Hallo.webm")
    console.submit(url, **values)
    assert question(services, template_id)["media"] == {"video": "Anna-sagt-Hallo.webm"}
    page = console.get_text(url)
    poster = f"{LIST}{template_id}/edit/files/Anna-sagt-Hallo.webm/poster"
    assert f'poster="{poster}"' in page
    assert console.client.get(poster).mimetype == "image/jpeg"
    save_entry(console, template_id, QUESTION, **{"drop:media.video": "true"})
    assert "media" not in question(services, template_id)


def test_file_that_is_no_video_is_a_problem_of_its_field(
    services: Services, console: ConsoleClient, template_id: str
) -> None:
    url = entry_page(template_id, QUESTION)
    for content in (make_png(), VIDEO[:300]):
        values = read_inputs(console.client.get(url).text)
        values["upload:media.video"] = (io.BytesIO(content), "anna.webm")
        response = console.submit(url, follow_redirects=True, **values)
        assert "MP4 or WebM" in response.text or "cannot be read" in response.text
        assert "media" not in question(services, template_id)


def send_pieces(console: ConsoleClient, product_id: str, content: bytes, size: int) -> Any:
    base = f"{LIST}{product_id}/edit/pieces/video"
    upload = console.submit(base).json["upload"]  # type: ignore[index]
    token = factories.csrf_token(console.get_text(entry_page(product_id, QUESTION)))
    headers = {"X-CSRFToken": token, "Content-Type": "application/octet-stream"}
    for start in range(0, len(content), size):
        piece = content[start : start + size]
        sent = console.client.post(f"{base}/{upload}/{start}", data=piece, headers=headers)
        assert sent.status_code == 200
    return console.submit(f"{base}/{upload}", name="anna.webm", size=str(len(content)))


def test_video_in_pieces_becomes_a_file_of_the_draft_that_is_published(
    services: Services, console: ConsoleClient, template_id: str
) -> None:
    stored = send_pieces(console, template_id, VIDEO, 3000)
    assert (stored.status_code, stored.json["name"]) == (200, "anna.webm")
    assert console.client.get(stored.json["url"]).data == VIDEO
    save_entry(console, template_id, QUESTION, **{"media.video": "anna.webm"})
    assert publish(console, template_id).status_code == 302
    with services.db.reading() as session:
        version = Product.find(session, template_id).versions[-1]
        assert [(file.name, file.type) for file in version.files] == [("anna.webm", "video/webm")]
    assert list(services.media.list_files(folder=FOLDER)) == []


def test_piece_outside_the_limits_and_a_broken_video_are_refused(
    services: Services, console: ConsoleClient, template_id: str
) -> None:
    broken = send_pieces(console, template_id, b"\x1a\x45\xdf\xa3" + b"x" * 500, 200)
    assert broken.status_code == 400
    assert "cannot be read" in broken.json["error"]
    base = f"{LIST}{template_id}/edit/pieces/video/{'a' * 22}"
    token = factories.csrf_token(console.get_text(entry_page(template_id, QUESTION)))
    headers = {"X-CSRFToken": token, "Content-Type": "application/octet-stream"}
    large = console.client.post(f"{base}/100000000", data=b"x", headers=headers)
    assert (large.status_code, "at most 100 MB" in large.json["error"]) == (400, True)  # type: ignore[index]
    missing = console.submit(base, name="a.webm", size="10")
    assert missing.status_code == 400


def test_author_sends_a_large_video_in_the_browser(author: Page, live_server: LiveServer) -> None:
    page, services = author, live_server.services
    template_id = factories.create_interview(services)
    video = VIDEO + _void_element(2_600_000)
    page.set_viewport_size({"width": 360, "height": 800})
    page.goto(f"{live_server.url}{entry_page(template_id, QUESTION)}")
    field = page.locator("input[type=file][data-pieces-url$=video]")
    field.set_input_files(FilePayload(name="anna.webm", mimeType="video/webm", buffer=video))
    expect(page.get_by_text("The file is stored.")).to_be_visible(timeout=30_000)
    wait_for(lambda: question(services, template_id).get("media") == {"video": "anna.webm"})
    expect(page.frame_locator("[data-preview]").locator("video")).to_be_visible()
    checker = AccessibilityChecker(page, in_turn=True)
    checker.check_page("question with a video")
    assert checker.problems == []


def _void_element(size: int) -> bytes:
    """Return an EBML element without a meaning, which readers skip."""
    return b"\xec" + (0x0100000000000000 | (size - 9)).to_bytes(8, "big") + b"\0" * (size - 9)


def test_pages_of_a_published_template_with_files_are_shown(
    services: Services, console: ConsoleClient
) -> None:
    media = {"media": {"video": "anna.webm", "transcript": "Hello"}}
    content = {
        "questions": [{"key": "why", "text": "Why?"} | media],
        "introduction": {"text": "Welcome"} | media,
        "practice": {"text": "Your name?", "media": {"picture": "shop.png", "alt": "The shop"}},
    }
    files = {"anna.webm": VIDEO, "shop.png": make_png()}
    template_id = factories.create_product(
        services, "interview", content, "talk", "Talk", files=files
    )
    for page in (
        f"{LIST}{template_id}/edit",
        entry_page(template_id, ROOT),
        f"{LIST}{template_id}",
    ):
        assert "Talk" in console.get_text(page)
    page = console.get_text(entry_page(template_id, QUESTION))
    assert f'src="{LIST}{template_id}/edit/files/anna.webm"' in page
    assert f'src="{LIST}{template_id}/edit/files/anna.webm"' in unescape(
        page.partition("srcdoc=")[2]
    )


def test_author_walks_through_the_pages_of_a_draft(
    services: Services, console: ConsoleClient
) -> None:
    content = {
        "introduction": {"text": "Welcome"},
        "practice": {"text": "Your name?"},
        "questions": [
            {"key": "why", "text": "Why?", "media": {"video": "anna.webm"}},
            {"key": "letter", "text": "Write.", "answer": "text"},
            {"key": "days", "text": "Which days?", "answer": "choice", "options": ["One", "Two"]},
            {"key": "paper", "text": "Send it.", "answer": "file"},
        ],
        "closing": {"text": "Bye"},
    }
    template_id = factories.create_product(
        services, "interview", content, "talk", "Talk", files={"anna.webm": VIDEO}
    )
    walk = f"{LIST}{template_id}/walk"
    assert f'href="{walk}/1"' in console.get_text(f"{LIST}{template_id}/edit")
    expected = ["Welcome", "Your name?", "Why?", "<textarea", 'value="Two"', 'type="file"', "Bye"]
    for number, text in enumerate(expected, 1):
        page = console.get_text(f"{walk}/{number}")
        assert text in page
        assert ("Next page" in page) == (number < len(expected))
    assert console.client.get(f"{walk}/{len(expected) + 1}").status_code == 404
    test_id = factories.create_test(services)
    assert console.client.get(f"{LIST}{test_id}/walk/1").status_code == 400
    save_entry(console, template_id, QUESTION, text="")
    assert "Correct them, then try it" in console.client.get(f"{walk}/1").text
