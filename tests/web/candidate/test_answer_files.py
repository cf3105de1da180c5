"""Files as answers: forms with and without scripts, types, sizes, storage, downloads."""

import io
import os
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Page, expect
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from provider.core.kinds import accepted_files
from provider.core.kinds.answer_files import MAX_FILES, AnswerFile
from provider.core.kinds.assessment import Assessment
from provider.core.marking import find_second_look
from provider.core.products import Product
from provider.maintenance.erasure import delete_recordings, erase_order
from provider.maintenance.media_copy import list_media_references
from provider.services import Services
from tests import factories
from tests.conftest import LiveServer
from tests.factories import ManualClock
from tests.maintenance.test_erasure import deliver_everything
from tests.marking_factories import mark, task_ids
from tests.pictures import make_png
from tests.web.candidate import test_assessment, test_assessment_browser
from tests.web.console_client import ConsoleClient

PLAN = {"kind": "file", "key": "plan", "prompt": "Send a plan.", "points": 2}
SMALL: dict[str, Any] = {"max_megabytes": 2}
FACT = {"kind": "true_false", "key": "fact", "prompt": "So?", "answer": True}
PDF = b"%PDF-1.7 plan"


def place(services: Services, content: dict[str, Any] | None = None, **changes: Any) -> str:
    account_id, _ = factories.create_account(services)
    sections = [{"key": "one", "title": "One", "items": [PLAN | changes, FACT]}]
    product_id = factories.create_test(services, sections=sections, **(content or {}))
    return factories.place_order(services, account_id, product_id)


@pytest.fixture
def started(client: FlaskClient, services: Services) -> str:
    public_id = place(services, **SMALL)
    test_assessment.start_test(client, services, public_id)
    return public_id


def send(
    client: FlaskClient, public_id: str, content: bytes, name: str = "my plan.pdf", go: str = "next"
) -> TestResponse:
    data = {"file": (io.BytesIO(content), name), "go": go, "csrf_token": token(client, public_id)}
    return client.post(f"/c/o/{public_id}/items/1/file", data=data, buffered=True)


def token(client: FlaskClient, public_id: str) -> str:
    return factories.csrf_token(client.get(f"/c/o/{public_id}/items/1").text)


def saved(services: Services, public_id: str) -> Any:
    return test_assessment.saved_answers(services, public_id).get("plan")


def stored_keys(services: Services) -> list[str]:
    return sorted(key for key, _ in services.media.list_files(folder="answer-files"))


def test_file_is_stored_shown_and_downloaded(
    client: FlaskClient, services: Services, started: str
) -> None:
    assert send(client, started, PDF).location == f"/c/o/{started}/items/2"
    answer = saved(services, started)
    assert (answer["name"], answer["type"]) == ("my plan.pdf", "application/pdf")
    assert answer["size"] == len(PDF)
    page = client.get(f"/c/o/{started}/items/1").text
    assert "my plan.pdf (1 kB)" in page
    assert "Saved" in page
    download = client.get(f"/c/o/{started}/answer-files/{answer['file']}")
    assert download.data == PDF
    assert download.headers["Content-Disposition"] == "attachment; filename=answer"
    with services.db.reading() as session:
        references = {file.key: file.sha256 for file in list_media_references(session)}
    assert list(references) == stored_keys(services)


def test_form_without_a_file_keeps_the_one_that_was_sent(
    client: FlaskClient, services: Services, started: str
) -> None:
    send(client, started, PDF)
    answer = saved(services, started)
    assert send(client, started, b"", "").status_code == 303
    assert saved(services, started) == answer
    form = {"go": "remove", "csrf_token": token(client, started)}
    removed = client.post(f"/c/o/{started}/items/1/file", data=form)
    assert removed.location == f"/c/o/{started}/items/1"
    assert saved(services, started) is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"<svg xmlns=", "Please send a PDF, or a JPEG, PNG or WebP picture"),
        (b"....ftypheic....", "Please send a PDF, or a JPEG, PNG or WebP picture"),
        (PDF + b"x" * 2000, "This file is too large. It may have 2 MB"),
    ],
    ids=["svg", "heic", "large"],
)
def test_wrong_file_is_refused_and_the_earlier_one_stays(
    client: FlaskClient,
    services: Services,
    started: str,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
    problem: str,
) -> None:
    # The test client does not close the temporary file of a large body.
    monkeypatch.setattr(accepted_files, "MEGABYTE", 1000)
    send(client, started, PDF)
    before = saved(services, started), stored_keys(services)
    response = send(client, started, content)
    assert response.status_code == 400
    assert problem in response.text
    assert (saved(services, started), stored_keys(services)) == before


def test_body_above_the_limit_is_answered_with_the_question(
    client: FlaskClient, started: str
) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    path, size = f"/c/o/{started}/items/1/file", {"CONTENT_LENGTH": "3000000"}
    response = client.post(path, headers=headers, environ_overrides=size)
    assert response.status_code == 400
    assert "This file is too large. Please send a smaller one" in response.text
    assert "Send a plan." in response.text


def test_allowed_types_are_those_of_the_item(client: FlaskClient, services: Services) -> None:
    public_id = place(services, types=["picture"])
    page = test_assessment.start_test(client, services, public_id)
    assert 'accept="image/jpeg,image/png,image/webp"' in page
    assert "This is not a picture" in send(client, public_id, PDF).text
    assert send(client, public_id, make_png()).status_code == 303


def test_late_file_is_refused_and_not_kept(
    client: FlaskClient, services: Services, started: str, clock: ManualClock
) -> None:
    form = {"file": (io.BytesIO(PDF), "a.pdf"), "csrf_token": token(client, started)}
    clock.advance(timedelta(minutes=21))
    assert client.post(f"/c/o/{started}/items/1/file", data=form).status_code == 409
    assert stored_keys(services) == []


def test_number_of_files_of_an_order_is_limited(
    client: FlaskClient, services: Services, started: str
) -> None:
    send(client, started, PDF)
    with services.db.writing() as session:
        test = Assessment.find(session, started)
        for number in range(MAX_FILES):
            session.add(
                AnswerFile(
                    order_id=test.id,
                    item_key="plan",
                    name=str(number),
                    type="application/pdf",
                    size=1,
                    sha256="0" * 64,
                    created_at=services.now(),
                )
            )
    keys = stored_keys(services)
    refused = send(client, started, PDF + b"2")
    assert refused.status_code == 409
    assert stored_keys(services) == keys


def test_other_items_take_no_file_and_other_orders_see_none(
    client: FlaskClient, services: Services, started: str
) -> None:
    send(client, started, PDF)
    file_id = saved(services, started)["file"]
    data = {"file": (io.BytesIO(PDF), "a.pdf"), "csrf_token": token(client, started)}
    assert client.post(f"/c/o/{started}/items/2/file", data=data).status_code == 404
    other = factories.place_order(
        services,
        factories.create_account(services, "Rival Corp")[0],
        factories.create_test(services, "Other", "other"),
    )
    test_assessment.start_test(client, services, other)
    assert client.get(f"/c/o/{other}/answer-files/{file_id}").status_code == 404


def submit(services: Services, public_id: str) -> None:
    with services.db.writing() as session:
        test = Assessment.find(session, public_id, lock=True)
        test.submit(session, services.secret_box, services.now())


def test_staff_download_the_file_on_the_orders_page(
    client: FlaskClient, services: Services, started: str
) -> None:
    send(client, started, PDF)
    submit(services, started)
    file_id = saved(services, started)["file"]
    console = ConsoleClient.signed_in(services, client)
    path = f"/console/orders/{started}/assessment/files/{file_id}"
    assert f'href="{path}">my plan.pdf (1 kB)</a>' in console.get_text(f"/console/orders/{started}")
    download = console.client.get(path)
    assert download.data == PDF
    assert download.headers["Content-Disposition"] == f"attachment; filename={started}-plan.pdf"
    assert download.mimetype == "application/octet-stream"
    assert download.headers["X-Content-Type-Options"] == "nosniff"


def test_marker_gets_the_file_without_its_name_and_marks_it(
    client: FlaskClient, services: Services, started: str
) -> None:
    send(client, started, PDF, "Lakita Marrero.pdf")
    submit(services, started)
    task = f"/console/marking/{task_ids(services, started)['plan']}"
    console = ConsoleClient.signed_in(services, client, "reviewer")
    page = console.get_text(f"{task}/")
    assert f'<a href="{task}/file">Download the file</a> (PDF, 1 kB)' in page
    assert "Lakita" not in page
    assert "<img class" not in page
    download = console.client.get(f"{task}/file")
    assert download.data == PDF
    assert download.headers["Content-Disposition"] == "attachment; filename=plan.pdf"
    assert download.headers["X-Content-Type-Options"] == "nosniff"
    assert console.client.get(f"{task}/picture").status_code == 404
    mark(services, task_ids(services, started)["plan"], "ana@provider.test", 1)
    assert test_assessment.score(services, started) == 33.3  # 1 of 3 points


def test_second_look_shows_the_file(client: FlaskClient, services: Services) -> None:
    public_id = place(services, content={"second_look": True})
    test_assessment.start_test(client, services, public_id)
    send(client, public_id, PDF)
    submit(services, public_id)
    answer = task_ids(services, public_id)["plan"]
    mark(services, answer, "ana@provider.test", 1)
    with services.db.writing() as session:
        test = Assessment.find(session, public_id, lock=True)
        test.ask_second_look(session, "The second page was not read", services.now())
        session.flush()
        look = find_second_look(session, test)
        assert look
        path = f"/console/marking/{look.public_id}"
    console = ConsoleClient.signed_in(services, client, "reviewer")
    assert f'href="/console/marking/{answer}/file"' in console.get_text(f"{path}/second-look")
    assert console.client.get(f"{path}/file").status_code == 404


def test_trial_of_an_author_checks_a_file_and_stores_none(
    client: FlaskClient, services: Services
) -> None:
    place(services)
    console = ConsoleClient.signed_in(services, client, "author")
    with services.db.reading() as session:
        product_id = session.scalars(select(Product.public_id)).one()
    path = f"/console/products/{product_id}/try/1"
    for content, text in ((PDF, "Trial: a candidate can send this file"), (b"x", "Please send a")):
        form = {"csrf_token": factories.csrf_token(console.get_text(path))}
        data = {**form, "file": (io.BytesIO(content), "a.pdf"), "go": "stay"}
        page = console.client.post(path, data=data, follow_redirects=True).text
        assert text in page
    assert stored_keys(services) == []


def test_marker_sees_a_picture_and_a_deleted_file_is_gone(
    client: FlaskClient, services: Services, started: str
) -> None:
    send(client, started, make_png(), "plan.svg")
    submit(services, started)
    task = f"/console/marking/{task_ids(services, started)['plan']}"
    console = ConsoleClient.signed_in(services, client, "reviewer")
    assert f'src="{task}/picture"' in console.get_text(f"{task}/")
    picture = console.client.get(f"{task}/picture")
    assert (picture.data, picture.mimetype) == (make_png(), "image/png")
    assert picture.headers["X-Content-Type-Options"] == "nosniff"
    with services.db.writing() as session:
        session.execute(update(AnswerFile).values(is_deleted=True))
    assert console.client.get(f"{task}/file").status_code == 410


def test_retake_shows_no_file_of_the_attempt_before(
    client: FlaskClient, services: Services, started: str, clock: ManualClock
) -> None:
    send(client, started, PDF)
    first = saved(services, started)["file"]
    submit(services, started)
    mark(services, task_ids(services, started)["plan"], "ana@provider.test", 2)
    with services.db.writing() as session:
        test = Assessment.find(session, started, lock=True)
        test.retake(session, services.secret_box, "sam", "A fire alarm", services.now())
    clock.advance(timedelta(minutes=1))
    page = test_assessment.start_test(client, services, started)
    assert "my plan.pdf" not in page
    assert "Not answered yet" in page
    assert client.get(f"/c/o/{started}/answer-files/{first}").status_code == 404
    send(client, started, PDF + b" 2", "second.pdf")
    submit(services, started)
    task = task_ids(services, started)["plan"]
    console = ConsoleClient.signed_in(services, client)
    assert console.client.get(f"/console/marking/{task}/file").data == PDF + b" 2"
    # The earlier result keeps its own answer.
    page = console.get_text(f"/console/orders/{started}")
    assert page.index("second.pdf (1 kB)") < page.index("my plan.pdf (1 kB)")


def test_file_of_a_question_that_is_left_for_good_is_not_kept(
    client: FlaskClient, services: Services
) -> None:
    public_id = place(services, content={"navigation": "forward"})
    test_assessment.start_test(client, services, public_id)
    form = {"go": "next", "csrf_token": token(client, public_id)}
    sent = send(client, public_id, PDF, go="stay")
    assert sent.location == f"/c/o/{public_id}/items/1"
    client.post(f"/c/o/{public_id}/items/1/file", data=form)
    keys, answer = stored_keys(services), saved(services, public_id)
    data = {**form, "file": (io.BytesIO(PDF), "late.pdf")}
    late = client.post(f"/c/o/{public_id}/items/1/file", data=data)
    assert late.location == f"/c/o/{public_id}/items/2"
    assert (stored_keys(services), saved(services, public_id)) == (keys, answer)


def test_files_are_deleted_with_recordings_and_with_the_order(
    client: FlaskClient, services: Services, started: str
) -> None:
    send(client, started, PDF)
    with services.db.writing() as session:
        test = Assessment.find(session, started)
        test.cancel(session, "sam", "The job is filled", services.now())
    now = services.now()
    assert delete_recordings(services.db, services.media, started, actor="sam", now=now) == 1
    assert stored_keys(services) == []
    with services.db.reading() as session:
        assert list(list_media_references(session)) == []
    deliver_everything(services)
    erase_order(
        services.db, services.media, services.secret_box, started, actor="sam", now=services.now()
    )
    with services.db.reading() as session:
        assert session.scalars(select(AnswerFile)).all() == []


def test_script_sends_a_chosen_file_and_makes_a_large_picture_smaller(
    live_server: LiveServer, page: Page
) -> None:
    public_id = place(live_server.services, **SMALL)
    test_assessment_browser.start_test(page, live_server, public_id)
    field = page.locator("input[type=file]")
    field.set_input_files({"name": "plan.pdf", "mimeType": "application/pdf", "buffer": PDF})
    expect(page.get_by_role("link", name="plan.pdf")).to_be_visible()
    live_server.clock.advance(timedelta(minutes=1))
    large = make_png(900, 900) + os.urandom(2_500_000)
    field.set_input_files({"name": "photo.png", "mimeType": "image/png", "buffer": large})
    expect(page.get_by_role("link", name="photo.jpg")).to_be_visible()
    field.set_input_files({"name": "b.pdf", "mimeType": "application/pdf", "buffer": PDF + large})
    expect(page.locator("[data-error]")).to_contain_text("This file is too large")
    test_assessment_browser.press(page, "Next")
    page.wait_for_url("**/items/2")
    assert saved(live_server.services, public_id)["name"] == "photo.jpg"
