"""The files that documents name: import, storage, pages, export."""

import io
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from provider.core import kinds
from provider.core.products import Product
from provider.core.products.documents import to_yaml
from provider.core.products.files import MAX_BYTES, PICTURE, media_key
from provider.errors import Invalid
from provider.maintenance.media_copy import list_media_references
from provider.services import Services
from provider.storage.file_types import detect_type
from tests import factories
from tests.cli.test_commands import Run
from tests.cli.test_commands import run as run
from tests.core.kinds.assessment.test_item_kinds import document_of
from tests.factories import ManualClock
from tests.pictures import data_uri, make_jpeg, make_png
from tests.web.candidate.test_assessment import start_test
from tests.web.console_client import ConsoleClient

PROMPT = {"kind": "true_false", "key": "a", "prompt": "So?", "answer": True}
CHART = {"picture": "chart.png", "alt": "Sales rise from 1 to 3"}
SOUND = {"audio": "call.mp3", "transcript": "*Hello*?"}
MP3 = b"ID3\x04" + b"\0" * 60
FILES = {"chart.png": make_png(), "call.mp3": MP3}


def sections_with(*stimulus: Any) -> list[dict[str, Any]]:
    items = [{**PROMPT, "stimulus": list(stimulus)}]
    return [{"key": "one", "title": "One", "items": items}]


def import_content(
    services: Services, sections: Any, files: dict[str, bytes] = FILES
) -> tuple[str, bool]:
    """Import a test; return its id, and whether its newest version is new."""
    document = replace(document_of(PROMPT), content={"name": "Example", "sections": sections})
    document = kinds.store_files(document, files.__getitem__, services.media)
    with services.db.writing() as session:
        product, version = kinds.import_document(session, document, services.now())
        product.publish(services.now())
        return product.public_id, version is not None


@pytest.mark.parametrize(
    ("first_bytes", "content_type"),
    [
        (make_png(), "image/png"),
        (make_jpeg(), "image/jpeg"),
        (b"RIFF....WEBPVP8 ", "image/webp"),
        (b"RIFF....WAVEfmt ", "audio/wav"),
        (b"....ftypM4A ....", "audio/mp4"),
        (b"....ftypheic....", "image/heic"),
        (b"....ftypisom....", "video/mp4"),
        (b"%PDF-1.7", "application/pdf"),
        (b"<svg xmlns=", None),
        (b"", None),
    ],
)
def test_type_is_read_from_the_first_bytes(first_bytes: bytes, content_type: str | None) -> None:
    assert detect_type(first_bytes) == content_type


def test_import_stores_files_once_and_a_changed_file_is_a_new_version(services: Services) -> None:
    sections = sections_with(CHART, SOUND, CHART)
    product_id, _ = import_content(services, sections)
    assert import_content(services, sections) == (product_id, False)
    other = make_png(colour=b"\0\0\0")
    assert import_content(services, sections, FILES | {"chart.png": other})[1]
    with services.db.reading() as session:
        first, second = Product.find(session, product_id).versions
        assert [(file.name, file.type) for file in first.files] == [
            ("chart.png", "image/png"),
            ("call.mp3", "audio/mpeg"),
        ]
        assert second.find_file("chart.png").media_key == media_key(sha256(other).hexdigest())
        keys = [reference.key for reference in list_media_references(session)]
        assert len(keys) == 3
        assert all(services.media.exists(key) for key in keys)


def test_data_uri_becomes_a_file_with_a_name(services: Services) -> None:
    picture = make_png()
    name = f"{sha256(picture).hexdigest()[:16]}.png"
    product_id, _ = import_content(
        services, sections_with({"picture": data_uri(picture), "alt": "A chart"})
    )
    named = sections_with({"picture": name, "alt": "A chart"})
    assert import_content(services, named, {name: picture}) == (product_id, False)


@pytest.mark.parametrize(
    ("part", "problem"),
    [
        (CHART | {"picture": "gone.png"}, "gone.png cannot be read: put the file beside"),
        (CHART | {"picture": "../chart.png"}, "should be the name of a file beside"),
        (CHART | {"picture": "https://a.b/c.png"}, "should be the name of a file beside"),
        (CHART | {"picture": "call.mp3"}, "should be a PNG, JPEG or WebP file"),
        (CHART | {"picture": "data:image/png;base64,!"}, "should be Base64 after the comma"),
        (CHART | {"picture": data_uri(b"<svg/>")}, "should be a PNG, JPEG or WebP file"),
        (CHART | {"picture": "big.png"}, "should be a file of at most 2 MB"),
        (SOUND | {"audio": "chart.png"}, "should be a MP3, M4A, Ogg or WAV file"),
    ],
)
def test_wrong_file_is_named_with_its_path(
    services: Services, part: dict[str, str], problem: str
) -> None:
    files = FILES | {"big.png": make_png() + b"\0" * MAX_BYTES[PICTURE]}
    with pytest.raises(Invalid) as caught:
        import_content(services, sections_with(part), files)
    assert f"stimulus[0].{next(iter(part))}: {problem}" in str(caught.value)


def test_document_whose_files_are_not_stored_is_refused(services: Services) -> None:
    for picture in ("chart.png", data_uri(make_png())):
        document = document_of({**PROMPT, "stimulus": [CHART | {"picture": picture}]})
        with (
            pytest.raises(Invalid, match="is not stored: import it with the document"),
            services.db.writing() as session,
        ):
            kinds.import_document(session, document, services.now())


def test_candidate_gets_a_file_while_the_test_runs(
    client: FlaskClient, services: Services, clock: ManualClock
) -> None:
    product_id, _ = import_content(services, sections_with(CHART, SOUND))
    account_id, _ = factories.create_account(services)
    public_id = factories.place_order(services, account_id, product_id)
    page = start_test(client, services, public_id)
    path = f"/c/o/{public_id}/files/chart.png"
    assert f'src="{path}" alt="Sales rise from 1 to 3"' in page
    assert "<em>Hello</em>?" in page
    picture = client.get(path)
    assert (picture.data, picture.mimetype) == (FILES["chart.png"], "image/png")
    part = client.get(f"/c/o/{public_id}/files/call.mp3", headers={"Range": "bytes=0-2"})
    assert (part.status_code, part.data, part.mimetype) == (206, b"ID3", "audio/mpeg")
    assert client.get(f"/c/o/{public_id}/files/other.png").status_code == 404
    clock.advance(timedelta(days=9))
    assert client.get(path).status_code == 409


def test_console_imports_and_shows_a_document_with_its_files(
    client: FlaskClient, services: Services
) -> None:
    console = ConsoleClient.signed_in(services, client, "author")
    document = replace(
        document_of(PROMPT), content={"name": "Example", "sections": sections_with(CHART)}
    )
    sent = [
        (io.BytesIO(to_yaml(document).encode()), "a.yaml"),
        (io.BytesIO(FILES["chart.png"]), "chart.png"),
    ]
    page_path = "/console/products/"
    response = console.submit(f"{page_path}import", page=page_path, file=sent)
    page = console.get_text(response.location)
    source = page.partition('class="stimulus-picture" src="')[2].partition('"')[0]
    assert console.client.get(source).data == FILES["chart.png"]
    alone = [(io.BytesIO(to_yaml(document).encode()), "a.yaml")]
    refused = console.submit(f"{page_path}import", page=page_path, file=alone)
    assert "chart.png cannot be read" in refused.text


def test_command_exports_files_beside_the_document_and_imports_them(
    services: Services, run: Run, tmp_path: Path
) -> None:
    import_content(services, sections_with(CHART, SOUND))
    printed = run("product", "export", "example")
    assert "chart.png, call.mp3. --to FILE writes them too." in printed.stderr
    file = tmp_path / "example.yaml"
    run("product", "export", "example", "--to", str(file))
    assert file.read_text() == printed.stdout
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == FILES
    assert "unchanged" in run("product", "import", str(file)).stdout
    (tmp_path / "chart.png").write_bytes(make_png(colour=b"\0\0\0"))
    assert "version 2: new" in run("product", "import", str(file)).stdout
