"""Large files as answers, sent in pieces: admission, broken lines, clean-up, and a browser."""

import os
import re
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import FilePayload, Page, Route, expect
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from provider.core.kinds.assessment import Assessment
from provider.core.kinds.assessment.answer_uploads import (
    ABANDONED_AFTER,
    DISCARD_ABANDONED_FILES,
    AnswerUpload,
)
from provider.core.kinds.assessment.file_answers import QUOTA_FACTOR
from provider.maintenance.erasure import erase_order
from provider.services import Services
from tests import factories
from tests.conftest import LiveServer
from tests.factories import ManualClock
from tests.pictures import make_png
from tests.web.candidate import test_assessment, test_assessment_browser
from tests.web.candidate.test_answer_files import PDF, place, saved, stored_keys, token

PIECE_BYTES = 1_000_000
LARGE_PDF = PDF + bytes(range(256)) * 10_000  # three pieces
PATCH_TYPE = "application/offset+octet-stream"


class Sender:
    """A script that sends a file in pieces."""

    def __init__(self, client: FlaskClient, public_id: str, content: bytes) -> None:
        self.client, self.root, self.content = client, f"/c/o/{public_id}", content
        self.csrf = token(client, public_id)
        self.upload = ""

    def announce(self, *, item: int = 1, **changes: Any) -> TestResponse:
        data = {"size": len(self.content), "sha256": sha256(self.content).hexdigest()}
        reply = self.client.post(
            f"{self.root}/items/{item}/file/pieces",
            data=data | {"name": "photo.pdf"} | changes,
            headers=self._headers,
        )
        if reply.status_code == 201:
            self.upload = reply.get_json()["upload"]
        return reply

    def send(self, start: int, data: bytes | None = None) -> TestResponse:
        piece = self.content[start : start + PIECE_BYTES] if data is None else data
        headers = {**self._headers, "Upload-Offset": str(start), "Content-Type": PATCH_TYPE}
        return self.client.patch(self.upload, data=piece, headers=headers)

    def send_all(self) -> TestResponse:
        reply = self.announce()
        while "offset" in reply.get_json():
            reply = self.send(reply.get_json()["offset"])
        return reply

    @property
    def _headers(self) -> dict[str, str]:
        return {"Accept": "application/json", "X-CSRFToken": self.csrf}


@pytest.fixture
def sender(client: FlaskClient, services: Services) -> Sender:
    public_id = place(services)
    test_assessment.start_test(client, services, public_id)
    return Sender(client, public_id, LARGE_PDF)


def order_of(sender: Sender) -> str:
    return sender.root.rpartition("/")[2]


def piece_keys(services: Services) -> list[str]:
    return sorted(key for key, _ in services.media.list_files(folder="answer-uploads"))


def count_uploads(services: Services) -> int:
    with services.db.reading() as session:
        return session.scalar(select(func.count()).select_from(AnswerUpload)) or 0


@pytest.mark.both
def test_pieces_become_the_answer(client: FlaskClient, services: Services, sender: Sender) -> None:
    assert sender.announce().get_json()["offset"] == 0
    assert sender.send(0).get_json() == {"offset": PIECE_BYTES}
    assert saved(services, order_of(sender)) is None
    assert len(piece_keys(services)) == 1
    assert sender.send(PIECE_BYTES).get_json() == {"offset": 2 * PIECE_BYTES}
    assert sender.send(2 * PIECE_BYTES).get_json() == {"next": f"{sender.root}/items/1"}
    answer = saved(services, order_of(sender))
    assert (answer["name"], answer["type"]) == ("photo.pdf", "application/pdf")
    assert answer["size"] == len(LARGE_PDF)
    assert client.get(f"{sender.root}/answer-files/{answer['file']}").data == LARGE_PDF
    assert piece_keys(services) == []
    assert count_uploads(services) == 0
    # The reply was lost, and the script begins again.
    assert sender.announce().get_json() == {"next": f"{sender.root}/items/1"}
    assert len(stored_keys(services)) == 1


def test_sending_goes_on_where_the_line_broke(services: Services, sender: Sender) -> None:
    sender.announce()
    sender.send(0)
    first = sender.upload
    again = sender.send(0)  # its reply was lost
    assert (again.status_code, again.get_json()["offset"]) == (409, PIECE_BYTES)
    assert sender.client.get(sender.upload).get_json() == {"offset": PIECE_BYTES}
    # A page that was loaded again sends the same file.
    assert sender.announce().get_json() == {"upload": first, "offset": PIECE_BYTES}
    assert sender.send_all().get_json()["next"]
    assert saved(services, order_of(sender))["size"] == len(LARGE_PDF)


@pytest.mark.parametrize(
    ("content", "changes", "status", "problem"),
    [
        (LARGE_PDF, {"size": 10_000_001}, 415, "It may have 10 MB"),
        (LARGE_PDF, {"size": 0}, 415, "This file is empty"),
        (LARGE_PDF, {"sha256": "x"}, 415, "This file is empty"),
        (LARGE_PDF, {"item": 2}, 404, "There is no such page"),
    ],
    ids=["large", "empty", "hash", "item"],
)
def test_refused_announcement_stores_nothing(
    services: Services,
    sender: Sender,
    content: bytes,
    changes: dict[str, Any],
    status: int,
    problem: str,
) -> None:
    reply = sender.announce(**changes)
    assert reply.status_code == status
    assert problem in reply.text
    assert count_uploads(services) == 0


def test_wrong_type_is_refused_with_the_first_piece(services: Services, sender: Sender) -> None:
    sender.content = b"<svg>" + LARGE_PDF
    sender.announce()
    reply = sender.send(0)
    assert reply.status_code == 415
    assert "Please send a PDF" in reply.get_json()["error"]
    assert (piece_keys(services), count_uploads(services)) == ([], 0)


@pytest.mark.parametrize(
    ("start", "data", "status"),
    [(0, bytes(PIECE_BYTES + 1), 413), (0, b"", 409), (5, None, 409)],
    ids=["large", "empty", "gap"],
)
def test_wrong_piece_is_refused_and_not_stored(
    services: Services, sender: Sender, start: int, data: bytes | None, status: int
) -> None:
    sender.announce()
    assert sender.send(start, data).status_code == status
    assert piece_keys(services) == []


def test_piece_beyond_the_announced_size_is_refused(services: Services, sender: Sender) -> None:
    sender.announce(size=100)
    assert sender.send(0).status_code == 409
    assert piece_keys(services) == []


def test_damaged_file_begins_again(services: Services, sender: Sender) -> None:
    sender.announce()
    sender.send(0)
    sender.send(PIECE_BYTES, bytes(PIECE_BYTES))
    reply = sender.send(2 * PIECE_BYTES)
    assert (reply.status_code, reply.get_json()["restart"]) == (400, True)
    assert (piece_keys(services), count_uploads(services)) == ([], 0)
    assert sender.send_all().get_json()["next"]


def test_file_that_was_announced_in_time_counts_until_the_test_is_closed(
    services: Services, sender: Sender, clock: ManualClock
) -> None:
    clock.advance(timedelta(minutes=19, seconds=55))
    sender.announce()
    sender.send(0)
    clock.advance(timedelta(seconds=9))  # four seconds after the end
    sender.send(PIECE_BYTES)
    assert sender.send(2 * PIECE_BYTES).status_code == 200
    assert saved(services, order_of(sender))["size"] == len(LARGE_PDF)


def test_piece_after_the_close_is_refused(
    services: Services, sender: Sender, clock: ManualClock
) -> None:
    sender.announce()
    sender.send(0)
    clock.advance(timedelta(minutes=21))
    assert sender.send(PIECE_BYTES).status_code == 409
    assert sender.announce().status_code == 409
    assert saved(services, order_of(sender)) is None
    assert len(piece_keys(services)) == 1
    _discard(services)
    assert (piece_keys(services), count_uploads(services)) == ([], 0)


def test_file_announced_before_its_question_was_left_still_counts(
    client: FlaskClient, services: Services, clock: ManualClock
) -> None:
    public_id = place(services, content={"navigation": "forward"})
    test_assessment.start_test(client, services, public_id)
    sender = Sender(client, public_id, LARGE_PDF)
    sender.announce()
    sender.send(0)
    clock.advance(timedelta(seconds=1))
    form = {"go": "next", "csrf_token": sender.csrf}
    client.post(f"{sender.root}/items/1/file", data=form)
    sender.send(PIECE_BYTES)
    assert sender.send(2 * PIECE_BYTES).get_json()["next"] == f"{sender.root}/items/2"
    assert saved(services, public_id)["size"] == len(LARGE_PDF)
    late = Sender.announce(sender, sha256="0" * 64)
    assert late.status_code == 409
    assert count_uploads(services) == 0


def test_quota_of_an_attempt_is_checked_before_a_byte_is_stored(
    client: FlaskClient, services: Services
) -> None:
    public_id = place(services, max_megabytes=1)
    test_assessment.start_test(client, services, public_id)
    for number in range(QUOTA_FACTOR):
        content = PDF + bytes([number]) * (PIECE_BYTES - len(PDF))
        assert Sender(client, public_id, content).send_all().status_code == 200
    keys = stored_keys(services)
    refused = Sender(client, public_id, PDF + b"x" * 100).announce()
    assert refused.status_code == 409
    assert "You have sent too many files" in refused.text
    assert (stored_keys(services), count_uploads(services)) == (keys, 0)


def test_candidate_of_another_order_sees_no_upload(
    client: FlaskClient, services: Services, sender: Sender
) -> None:
    sender.announce()
    other = factories.place_order(
        services,
        factories.create_account(services, "Rival Corp")[0],
        factories.create_test(services, "Other", "other"),
    )
    test_assessment.start_test(client, services, other)
    sender.upload = sender.upload.replace(order_of(sender), other)
    assert sender.client.get(sender.upload).status_code == 404
    assert sender.send(0).status_code == 404


@pytest.mark.both
def test_unfinished_file_is_discarded_after_a_day_and_erased_with_its_order(
    services: Services, sender: Sender, clock: ManualClock
) -> None:
    sender.announce()
    sender.send(0)
    _discard(services)
    assert len(piece_keys(services)) == 1
    services.media.put("answer-uploads/" + "a" * 22 + "/" + "b" * 22, [b"left by a crash"])
    with services.db.writing() as session:
        order = Assessment.find(session, order_of(sender))
        order.cancel(session, "sam", "The job is filled", clock.now())
    erase_order(
        services.db,
        services.media,
        services.secret_box,
        order_of(sender),
        actor="sam",
        now=clock.now(),
        give_up_deliveries=True,
    )
    assert count_uploads(services) == 0
    assert len(piece_keys(services)) == 1


def _discard(services: Services) -> None:
    with services.db.reading() as session:
        assert DISCARD_ABANDONED_FILES.is_needed
        is_needed = DISCARD_ABANDONED_FILES.is_needed(session, services.now())
    if is_needed:
        DISCARD_ABANDONED_FILES.run(services)


def test_upload_without_a_piece_for_a_day_is_discarded(
    services: Services, sender: Sender, clock: ManualClock
) -> None:
    sender.announce()
    with services.db.writing() as session:
        upload = session.scalars(select(AnswerUpload)).one()
        upload.received_at -= ABANDONED_AFTER
    _discard(services)
    assert count_uploads(services) == 0


def photo(megabytes: int) -> FilePayload:
    content = make_png(900, 900) + os.urandom(megabytes * 1_000_000)
    return {"name": "photo.png", "mimeType": "image/png", "buffer": content}


def test_photo_of_a_phone_arrives_whole_over_a_broken_line(
    live_server: LiveServer, page: Page
) -> None:
    public_id = place(live_server.services)
    test_assessment_browser.start_test(page, live_server, public_id)
    pieces: list[str] = []

    def break_line(route: Route) -> None:
        if route.request.method == "PATCH":
            pieces.append(route.request.headers["upload-offset"])
            if len(pieces) in (2, 3):
                route.abort("connectionreset")
                return
        route.continue_()

    page.route("**/answer-uploads/*", break_line)
    page.locator("input[type=file]").set_input_files(photo(4))
    expect(page.get_by_role("link", name="photo.png (4.0 MB)")).to_be_visible()
    expect(page.locator("[data-saved]")).to_have_text("Saved")
    assert len(pieces) > 5
    answer = saved(live_server.services, public_id)
    assert answer["size"] > 4_000_000


def test_button_that_is_pressed_meanwhile_waits_for_the_file(
    live_server: LiveServer, page: Page
) -> None:
    public_id = place(live_server.services)
    test_assessment_browser.start_test(page, live_server, public_id)
    held: list[Route] = []

    def hold_first(route: Route) -> None:
        if held:
            route.continue_()
        held.append(route)

    page.route("**/answer-uploads/*", hold_first)
    with page.expect_request("**/answer-uploads/*"):
        page.locator("input[type=file]").set_input_files(photo(2))
    page.get_by_role("button", name="Next").click()
    assert re.search(r"/items/1", page.url)
    assert page.locator("[data-saved]").text_content() == "Saving…"
    held[0].continue_()
    page.wait_for_url("**/items/2")
    assert saved(live_server.services, public_id)["name"] == "photo.png"


def test_refused_file_is_said_and_another_can_be_chosen(
    live_server: LiveServer, page: Page
) -> None:
    public_id = place(live_server.services, max_megabytes=3)
    test_assessment_browser.start_test(page, live_server, public_id)
    field = page.locator("input[type=file]")
    wrong: FilePayload = {"name": "film.mp4", "mimeType": "video/mp4", "buffer": b"x" * 1_500_000}
    field.set_input_files(wrong)
    expect(page.locator("[data-error]")).to_contain_text("Please send a PDF")
    expect(field).to_be_enabled()
    too_large: FilePayload = {
        "name": "a.pdf",
        "mimeType": "application/pdf",
        "buffer": PDF + bytes(3_000_000),
    }
    field.set_input_files(too_large)
    expect(page.locator("[data-error]")).to_contain_text("It may have 3 MB")
    field.set_input_files(photo(2))
    expect(page.get_by_role("link", name="photo.png")).to_be_visible()


def test_page_without_scripts_states_the_smaller_limit(
    client: FlaskClient, services: Services, sender: Sender
) -> None:
    page = client.get(f"{sender.root}/items/1").text
    assert "at most 10 MB" in page
    assert "In this browser the file can have at most 2 MB." in page
