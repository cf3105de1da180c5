"""Pictures and sounds above the size of a form: a script of the editor sends them in pieces."""

import io
import os
from typing import Any

import pytest
from flask.testing import FlaskClient
from PIL import Image
from playwright.sync_api import FilePayload, Page, expect

from provider.core.products.file_pieces import FOLDER, MAX_PIECE_BYTES, MAX_UPLOAD_BYTES
from provider.core.products.files import AUDIO, MAX_BYTES, PICTURE
from provider.services import Services
from tests import factories
from tests.conftest import LiveServer
from tests.core.products.test_files import MP3
from tests.wait_for import wait_for
from tests.web.accessibility import AccessibilityChecker
from tests.web.console.editor.test_editor import ITEM, LIST, draft_content, entry_page
from tests.web.console.editor.test_editor_browser import author as author
from tests.web.console_client import ConsoleClient


@pytest.fixture
def console(services: Services, client: FlaskClient) -> ConsoleClient:
    return ConsoleClient.signed_in(services, client, "author")


@pytest.fixture
def test_id(services: Services) -> str:
    return factories.create_test(services)


def large_picture() -> bytes:
    """Return a picture of some 4 MB, which no encoder makes much smaller."""
    target = io.BytesIO()
    Image.frombytes("RGB", (1200, 1100), os.urandom(1200 * 1100 * 3)).save(target, "PNG")
    return target.getvalue()


def send(console: ConsoleClient, product_id: str, field: str, content: bytes, name: str) -> Any:
    """Send a file as the script does; return the last reply."""
    base = f"{LIST}{product_id}/edit/pieces/{field}"
    upload_id = console.submit(base).json["upload"]  # type: ignore[index]
    token = factories.csrf_token(console.get_text(entry_page(product_id, ITEM)))
    headers = {"X-CSRFToken": token, "Content-Type": "application/octet-stream"}
    for start in range(0, len(content), MAX_PIECE_BYTES):
        piece = content[start : start + MAX_PIECE_BYTES]
        address = f"{base}/{upload_id}/{start}"
        assert console.client.post(address, data=piece, headers=headers).status_code == 200
    return console.submit(f"{base}/{upload_id}", name=name, size=str(len(content)))


@pytest.mark.both
def test_large_picture_in_pieces_is_made_smaller(
    services: Services, console: ConsoleClient, test_id: str
) -> None:
    content = large_picture()
    assert len(content) > 2 * 1024 * 1024
    stored = send(console, test_id, PICTURE, content, "from a phone.PNG")
    assert (stored.status_code, stored.json["name"]) == (200, "from-a-phone.png")
    shown = console.client.get(stored.json["url"])
    assert shown.mimetype == "image/png"
    assert len(shown.data) <= MAX_BYTES[PICTURE]
    assert list(services.media.list_files(folder=FOLDER)) == []


def test_large_sound_in_pieces_is_stored_as_it_is(
    services: Services, console: ConsoleClient, test_id: str
) -> None:
    content = MP3 + bytes(3_000_000)
    stored = send(console, test_id, AUDIO, content, "call.mp3")
    assert console.client.get(stored.json["url"]).data == content
    assert list(services.media.list_files(folder=FOLDER)) == []


@pytest.mark.parametrize(
    ("field", "content", "problem"),
    [
        (PICTURE, b"GIF89a" + bytes(40), "no picture that can be read"),
        (AUDIO, b"RIFF....AVI " + bytes(40), "no sound that browsers play"),
    ],
)
def test_file_of_a_wrong_type_in_pieces_is_refused(
    services: Services,
    console: ConsoleClient,
    test_id: str,
    field: str,
    content: bytes,
    problem: str,
) -> None:
    refused = send(console, test_id, field, content, "a.png")
    assert refused.status_code == 400
    assert problem in refused.json["error"]
    assert list(services.media.list_files(folder=FOLDER)) == []


@pytest.mark.parametrize("field", [PICTURE, AUDIO])
def test_piece_beyond_the_limit_of_its_field_is_refused(
    services: Services, console: ConsoleClient, test_id: str, field: str
) -> None:
    token = factories.csrf_token(console.get_text(entry_page(test_id, ITEM)))
    headers = {"X-CSRFToken": token, "Content-Type": "application/octet-stream"}
    address = f"{LIST}{test_id}/edit/pieces/{field}/{'a' * 22}/{MAX_UPLOAD_BYTES[field]}"
    assert console.client.post(address, data=b"x", headers=headers).status_code == 400
    assert console.client.post(address.replace(field, "text"), headers=headers).status_code == 404
    assert list(services.media.list_files(folder=FOLDER)) == []


def test_author_chooses_a_large_picture_in_the_browser(
    author: Page, live_server: LiveServer
) -> None:
    page, services = author, live_server.services
    test_id = factories.create_test(services)
    page.set_viewport_size({"width": 360, "height": 800})
    page.goto(f"{live_server.url}{entry_page(test_id, ITEM)}")
    page.get_by_role("button", name="Add a picture").click()
    field = page.locator("input[type=file][data-pieces-url]")
    expect(field).to_be_visible()
    picture = FilePayload(name="phone.png", mimeType="image/png", buffer=large_picture())
    field.evaluate("(input) => { input.dataset.maxBytes = 3_000_000 }")
    field.set_input_files(picture, timeout=30_000)
    expect(page.get_by_text("This file is larger than 3 MB")).to_be_visible()
    field.evaluate("(input) => { input.dataset.maxBytes = 20_000_000 }")
    field.set_input_files(picture, timeout=30_000)
    expect(page.get_by_text("The file is stored.")).to_be_visible(timeout=30_000)
    page.get_by_label("What the picture shows").fill("A shop")

    def stimulus() -> Any:
        return draft_content(services, test_id)["sections"][0]["items"][0].get("stimulus")

    wait_for(lambda: stimulus() == [{"picture": "phone.png", "alt": "A shop"}])
    expect(page.frame_locator("[data-preview]").get_by_alt_text("A shop")).to_be_visible()
    checker = AccessibilityChecker(page, in_turn=True)
    checker.check_page("question with a large picture")
    assert checker.problems == []
