"""The stimulus of a question in the editor: texts, tables, pictures and sounds."""

import io
import zipfile
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from flask.testing import FlaskClient
from PIL import Image

from provider.core.products import Product
from provider.core.products.draft import node_digest
from provider.core.products.files import AUDIO, MAX_BYTES, media_key
from provider.maintenance.media_copy import list_media_references
from provider.maintenance.prune_media import find_unreferenced_files
from provider.services import Services
from tests import factories
from tests.core.products.test_files import MP3
from tests.pictures import make_png
from tests.web.console.editor.test_editor import (
    ITEM,
    LIST,
    draft_content,
    entry_page,
    publish,
    read_inputs,
    save_entry,
)
from tests.web.console_client import ConsoleClient

PICTURE = "stimulus.0.picture"


@pytest.fixture
def console(services: Services, client: FlaskClient) -> ConsoleClient:
    return ConsoleClient.signed_in(services, client, "author")


@pytest.fixture
def test_id(services: Services) -> str:
    return factories.create_test(services)


def jpeg_of_a_camera(width: int = 60, height: int = 30) -> bytes:
    """Return a picture that lies on its side, with the place where it was taken."""
    picture, target = Image.new("RGB", (width, height), "navy"), io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    exif[0x010F] = "A camera"
    picture.save(target, "JPEG", exif=exif)
    return target.getvalue()


def read_stimulus(services: Services, product_id: str) -> list[dict[str, Any]]:
    item = draft_content(services, product_id)["sections"][0]["items"][0]
    return list(item.get("stimulus", []))


def add_part(console: ConsoleClient, product_id: str, kind: str) -> str:
    response = save_entry(console, product_id, ITEM, act=f"add stimulus {kind}")
    assert response.status_code == 302
    return response.location.rpartition("#")[2]


def upload(
    console: ConsoleClient, product_id: str, field: str, content: bytes, name: str, **fields: str
) -> Any:
    url = entry_page(product_id, ITEM)
    values = read_inputs(console.client.get(url).text) | fields
    values[f"upload:{field}"] = (io.BytesIO(content), name)
    return console.submit(url, **values)


def read_draft_file(console: ConsoleClient, product_id: str, name: str) -> bytes:
    response = console.client.get(f"{LIST}{product_id}/edit/files/{name}")
    assert response.status_code == 200
    return bytes(response.data)


def open_picture(console: ConsoleClient, product_id: str, name: str) -> Image.Image:
    return Image.open(io.BytesIO(read_draft_file(console, product_id, name)))


@pytest.mark.both
def test_picture_is_encoded_again_and_published_with_the_version(
    services: Services, console: ConsoleClient, test_id: str
) -> None:
    assert add_part(console, test_id, "picture") == "row-stimulus-0"
    page = console.get_text(entry_page(test_id, ITEM))
    assert "It should name a file; none is chosen yet." in page
    assert "It should say what the picture shows, for candidates who cannot see it." in page
    response = upload(console, test_id, PICTURE, jpeg_of_a_camera(), "Straße 7.JPEG")
    assert response.status_code == 302
    save_entry(console, test_id, ITEM, **{"stimulus.0.alt": "A blue street"})
    assert read_stimulus(services, test_id) == [{"picture": "Strae-7.jpg", "alt": "A blue street"}]
    picture = open_picture(console, test_id, "Strae-7.jpg")
    assert (picture.size, dict(picture.getexif())) == ((30, 60), {})
    page = console.get_text(entry_page(test_id, ITEM))
    assert f"{LIST}{test_id}/edit/files/Strae-7.jpg" in page
    assert "Nothing is missing" in console.get_text(f"{LIST}{test_id}/edit")

    assert publish(console, test_id).status_code == 302
    with services.db.reading() as session:
        [file] = Product.find(session, test_id).versions[-1].files
        assert (file.name, file.type) == ("Strae-7.jpg", "image/jpeg")
        keys = {reference.key for reference in list_media_references(session)}
        assert file.media_key in keys
    assert console.client.get(f"{LIST}{test_id}/versions/2/files/Strae-7.jpg").status_code == 200
    # The next draft begins with the picture of the version.
    save_entry(console, test_id, ITEM, prompt="Which street is it?")
    assert open_picture(console, test_id, "Strae-7.jpg").size == (30, 60)
    assert publish(console, test_id).status_code == 302


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"GIF89a" + b"\0" * 40, "This file is no picture that can be read"),
        (make_png()[:-30], "This file is no picture that can be read"),
        (make_png(30_000, 1000), "This picture has more than 24 million pixels"),
    ],
)
def test_wrong_picture_is_refused_and_the_rest_is_saved(
    services: Services, console: ConsoleClient, test_id: str, content: bytes, problem: str
) -> None:
    add_part(console, test_id, "picture")
    response = upload(
        console, test_id, PICTURE, content, "a.png", **{"stimulus.0.alt": "Something"}
    )
    assert response.status_code == 400
    assert problem in response.text
    assert read_stimulus(services, test_id) == [{"picture": "", "alt": "Something"}]


def test_file_above_the_limit_is_refused(
    console: ConsoleClient, test_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_part(console, test_id, "audio")
    # A body of more than 500 kB is a temporary file, which the test client does not close.
    monkeypatch.setitem(MAX_BYTES, AUDIO, 1000)
    sound = b"ID3" + b"\0" * 998
    response = upload(console, test_id, "stimulus.0.audio", sound, "a.mp3")
    assert "Choose a file of at most" in response.text
    response = upload(console, test_id, "stimulus.0.audio", b"RIFF....AVI ", "a.wav")
    assert "This file is no sound that browsers play" in response.text


def test_moving_picture_is_refused(
    services: Services, console: ConsoleClient, test_id: str
) -> None:
    frames = [Image.new("RGB", (10, 10), colour) for colour in ("red", "blue")]
    target = io.BytesIO()
    frames[0].save(target, "WEBP", save_all=True, append_images=frames[1:])
    add_part(console, test_id, "picture")
    response = upload(console, test_id, PICTURE, target.getvalue(), "a.webp")
    assert "This picture moves" in response.text


@pytest.mark.both
def test_other_picture_of_the_same_name_is_another_file(
    services: Services, console: ConsoleClient, test_id: str
) -> None:
    add_part(console, test_id, "picture")
    names = []
    for colour in (b"\0\0\0", b"\0\0\0", b"\xff\0\0"):
        upload(console, test_id, PICTURE, make_png(colour=colour), "chart.png")
        names.append(read_stimulus(services, test_id)[0]["picture"])
    assert names == ["chart.png", "chart.png", "chart-2.png"]
    digests = {sha256(read_draft_file(console, test_id, name)).hexdigest() for name in set(names)}
    with services.db.reading() as session:
        keys = [reference.key for reference in list_media_references(session)]
    # A file that only a draft names is backed up, and no pruning deletes it.
    assert sorted(keys) == sorted(map(media_key, digests))
    later = services.now() + timedelta(days=3)
    assert find_unreferenced_files(services.db, services.media, later) == []


def test_autosave_answers_with_the_name_and_the_address(
    console: ConsoleClient, test_id: str
) -> None:
    add_part(console, test_id, "picture")
    url = entry_page(test_id, ITEM)
    page = console.client.get(url).text
    fields = read_inputs(page) | {"csrf_token": factories.csrf_token(page)}
    for content, files, problems in (
        (make_png(), ["a.png"], []),
        (b"no picture", [], ["This file is no picture that can be read"]),
    ):
        data = fields | {f"upload:{PICTURE}": (io.BytesIO(content), "a.png")}
        reply = console.client.post(url, data=data, headers={"Accept": "application/json"}).json
        assert reply
        assert [file["name"] for file in reply["files"].values()] == files
        assert [text.partition(".")[0] for text in reply["problems"].values()] == problems
        fields["seen"], fields[PICTURE] = reply["seen"], ["a.png"]


def test_parts_are_added_moved_and_removed_without_a_script(
    services: Services, console: ConsoleClient, test_id: str
) -> None:
    for kind in ("text", "table", "audio"):
        add_part(console, test_id, kind)
    assert read_stimulus(services, test_id) == [{"text": ""}, {"table": []}, {"audio": ""}]
    table = "Year | Sales\n2024\t1,5\n2025 | a \\| b"
    fields = {"stimulus.0.text": "*Read* this.", "stimulus.1.table": table}
    upload(console, test_id, "stimulus.2.audio", MP3, "call.mp3", **fields)
    rows = [["Year", "Sales"], ["2024", "1,5"], ["2025", "a | b"]]
    parts = [{"text": "*Read* this."}, {"table": rows}, {"audio": "call.mp3"}]
    assert read_stimulus(services, test_id) == parts
    preview = console.client.get(f"{LIST}{test_id}/edit/preview/{ITEM}").json
    assert preview
    for text in ("<em>Read</em> this.", ">a | b</td>", "edit/files/call.mp3"):
        assert text in preview["preview"]
    save_entry(console, test_id, ITEM, act="up stimulus.2")
    assert read_stimulus(services, test_id) == [parts[0], parts[2], parts[1]]
    for _ in range(3):
        save_entry(console, test_id, ITEM, act="remove stimulus.0")
    assert "stimulus" not in draft_content(services, test_id)["sections"][0]["items"][0]
    assert save_entry(console, test_id, ITEM, act="add stimulus film").status_code == 400


def test_duplicated_product_has_the_files_of_the_first(
    services: Services, console: ConsoleClient, test_id: str
) -> None:
    add_part(console, test_id, "picture")
    fields = {"stimulus.0.alt": "A chart"}
    upload(console, test_id, PICTURE, make_png(), "chart.png", **fields)
    page = f"{LIST}new?copy={test_id}"
    response = console.submit(f"{LIST}new", page=page, copy=test_id, name="Second", key="second")
    copy_id = response.location.split("/")[3]
    page = f"{LIST}{test_id}/edit/discard"
    console.submit(page, seen=console.read_field(page, "seen"))
    assert console.client.get(f"{LIST}{test_id}/edit/files/chart.png").status_code == 404
    assert open_picture(console, copy_id, "chart.png").size == (40, 20)
    assert publish(console, copy_id).status_code == 302


def test_draft_with_files_downloads_and_uploads_as_the_same_content(
    services: Services, console: ConsoleClient, test_id: str
) -> None:
    add_part(console, test_id, "picture")
    upload(console, test_id, PICTURE, make_png(), "chart.png", **{"stimulus.0.alt": "A chart"})
    archive = console.client.get(f"{LIST}{test_id}/file/draft.zip").data
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        names = opened.namelist()
        document = opened.read(names[0])
    assert names == [f"{names[0]}", "chart.png"]
    assert names[0].endswith("-draft.yaml")
    other = console.submit(f"{LIST}new", kind="assessment", name="Other").location.split("/")[3]
    before = draft_content(services, test_id)
    for sent, is_complete in (((archive, "a.zip"), True), ((document, "a.yaml"), True)):
        page = f"{LIST}{other}/edit"
        seen = node_digest(draft_content(services, other))
        file = (io.BytesIO(sent[0]), sent[1])
        assert console.submit(f"{page}/upload", seen=seen, file=file).status_code == 302
        assert draft_content(services, other) == before
        assert ("Nothing is missing" in console.get_text(page)) == is_complete
    assert publish(console, other).status_code == 302
    # The list of products imports the same file.
    response = console.submit(f"{LIST}import", page=LIST, file=(io.BytesIO(archive), "a.zip"))
    assert response.status_code == 302, response.text
    version = console.client.get(f"{LIST}{test_id}/file/2.zip").data
    with zipfile.ZipFile(io.BytesIO(version)) as opened:
        assert opened.read("chart.png").startswith(b"\x89PNG")


def test_file_that_is_nowhere_is_a_problem_of_the_draft(
    services: Services, console: ConsoleClient, test_id: str
) -> None:
    add_part(console, test_id, "picture")
    upload(console, test_id, PICTURE, make_png(), "chart.png", **{"stimulus.0.alt": "A chart"})
    document = console.client.get(f"{LIST}{test_id}/file/draft.yaml").data
    other = console.submit(f"{LIST}new", kind="assessment", name="Other").location.split("/")[3]
    page = f"{LIST}{other}/edit"
    seen = node_digest(draft_content(services, other))
    sent = console.submit(f"{page}/upload", seen=seen, file=(io.BytesIO(document), "a.yaml"))
    assert sent.status_code == 302
    assert "The file chart.png is not stored here; choose it again." in console.get_text(page)
    assert "It cannot be published yet" in console.get_text(f"{page}/publish")


@pytest.mark.parametrize("content", [b"PK\x03\x04 broken", b""])
def test_damaged_zip_file_is_refused(console: ConsoleClient, content: bytes) -> None:
    file = (io.BytesIO(content), "a.zip")
    response = console.submit(f"{LIST}import", page=LIST, file=file)
    assert response.status_code == 400
    assert "This ZIP file cannot be read" in response.text
