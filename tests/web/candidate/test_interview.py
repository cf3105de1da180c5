"""Giving an interview, by what a browser sends: uploads, watching, handing in."""

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from provider.core.kinds.interview import Interview, Recording
from provider.delivery import Dispatcher
from provider.outbox import Message
from provider.services import Services
from provider.storage.media import CHUNK_BYTES
from provider.web.candidate import uploads
from tests import factories
from tests.factories import ManualClock
from tests.web.candidate.test_pages import enter, press, story
from tests.web.console_client import ConsoleClient

QUESTIONS = [
    {"key": "why", "text": "Why *this* job?", "answer_seconds": 90, "takes": 2},
    {"key": "when", "text": "When can you start?", "answer_seconds": 30},
]
WEBM = "video/webm;codecs=vp9,opus"
BYTES = b"\x1a\x45\xdf\xa3" + b"pictures" * 100


@pytest.fixture
def invited(services: Services) -> str:
    account_id, _ = factories.create_account(services, timezone="Europe/Athens")
    template = factories.create_product(
        services,
        "interview",
        factories.INTERVIEW_CONTENT | {"questions": QUESTIONS},
        "two",
        "Two questions",
    )
    return factories.place_order(services, account_id, template, "interview")


@pytest.fixture
def begun(client: FlaskClient, services: Services, invited: str) -> str:
    enter(client, services, invited)
    page = client.get(f"/c/o/{invited}/camera").text
    assert press(client, page, f"/c/o/{invited}/interview").status_code == 303
    return invited


def token(client: FlaskClient, public_id: str) -> str:
    return factories.csrf_token(client.get(f"/c/o/{public_id}/decline").text)


def upload(
    client: FlaskClient,
    public_id: str,
    number: int = 1,
    data: bytes = BYTES,
    *,
    length: int | None = None,
    **headers: str | None,
) -> TestResponse:
    """Send a take as the page does; a header of None is left out, `length` may lie."""
    told: dict[str, str | None] = {
        "Accept": "application/json",
        "Content-Type": WEBM,
        "X-Content-SHA256": hashlib.sha256(data).hexdigest(),
    }
    if "X_CSRFToken" not in headers:
        told["X-CSRFToken"] = token(client, public_id)
    told |= {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(
        f"/c/o/{public_id}/questions/{number}/takes",
        data=data,
        headers={name: value for name, value in told.items() if value is not None},
        environ_overrides={"CONTENT_LENGTH": str(len(data) if length is None else length)},
    )


def takes(services: Services, public_id: str) -> list[tuple[str, int, bool]]:
    with services.db.reading() as session:
        interview = Interview.find(session, public_id)
        return [(each.question, each.take, each.is_selected) for each in interview.recordings]


def progress(services: Services, public_id: str) -> str:
    with services.db.reading() as session:
        return Interview.find(session, public_id).progress


def files(services: Services) -> set[str]:
    """Return every file in the media folder."""
    root = services.settings.instance / "media"
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_the_landing_says_what_will_happen_and_leads_to_the_camera(
    client: FlaskClient, services: Services, invited: str
) -> None:
    page = enter(client, services, invited).text
    assert "First you try your camera and your microphone." in page
    assert f'href="/c/o/{invited}/camera"' in page
    assert "I do not want to take part" in page


@pytest.mark.parametrize("path", ["camera", "questions/1"])
def test_only_where_it_is_needed_a_page_may_use_the_camera(
    client: FlaskClient, services: Services, begun: str, invited: str, path: str
) -> None:
    if path == "camera":
        account_id, _ = factories.create_account(services, "Other")
        begun = factories.place_order(
            services, account_id, factories.create_interview(services), "interview"
        )
        enter(client, services, begun)
    answer = client.get(f"/c/o/{begun}/{path}")
    assert answer.status_code == 200
    assert "camera=(self), microphone=(self)" in answer.headers["Permissions-Policy"]
    assert "media-src 'self' blob:" in answer.headers["Content-Security-Policy"]
    landing = client.get(f"/c/o/{begun}/")
    assert "camera=()" in landing.headers["Permissions-Policy"]
    assert "blob:" not in landing.headers["Content-Security-Policy"]


def test_looking_at_the_camera_begins_nothing(
    client: FlaskClient, services: Services, invited: str
) -> None:
    enter(client, services, invited)
    client.get(f"/c/o/{invited}/camera")
    assert progress(services, invited) == "opened"


def test_beginning_leads_to_the_first_question_and_twice_is_once(
    client: FlaskClient, services: Services, begun: str
) -> None:
    again = client.post(f"/c/o/{begun}/interview", data={"csrf_token": token(client, begun)})
    assert again.headers["Location"] == f"/c/o/{begun}/questions/1"
    assert story(services, begun).count("started") == 1
    assert client.get(f"/c/o/{begun}/camera").headers["Location"] == f"/c/o/{begun}/"


def test_without_scripts_each_recording_page_says_what_to_do(
    client: FlaskClient, begun: str
) -> None:
    page = client.get(f"/c/o/{begun}/questions/1").text
    assert "<noscript>" in page
    assert "This page needs scripts to record." in page


def test_a_take_is_saved_with_its_real_type_and_can_be_watched_in_parts(
    client: FlaskClient, services: Services, begun: str
) -> None:
    answer = upload(client, begun)
    assert answer.status_code == 201
    saved = answer.json["saved"]  # type: ignore[index]
    assert answer.json == {"saved": saved, "takes_left": 1}
    assert files(services) == {f"recordings/{saved}/original"}
    with services.db.reading() as session:
        recording = session.scalars(select(Recording)).one()
        assert (recording.mime, recording.size) == (WEBM, len(BYTES))
    part = client.get(f"/c/o/{begun}/takes/{saved}", headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.data) == (206, b"pict")
    assert part.headers["Content-Type"] == "video/webm"
    assert "filename" not in part.headers["Content-Disposition"]
    assert "no-store" in part.headers["Cache-Control"]


def test_the_same_bytes_again_are_the_same_take(
    client: FlaskClient, services: Services, begun: str, clock: ManualClock
) -> None:
    proof = token(client, begun)
    first, second = upload(client, begun), upload(client, begun)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json["saved"] == second.json["saved"]  # type: ignore[index]
    assert takes(services, begun) == [("why", 1, True)]
    assert len(files(services)) == 1
    # The reply may have been lost when the time ran out: what is saved is saved.
    clock.advance(timedelta(days=8))
    assert upload(client, begun, X_CSRFToken=proof).status_code == 200


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"X_Content_SHA256": "0" * 64}, 400),
        ({"X_Content_SHA256": None}, 400),
        ({"X_Content_SHA256": "nonsense"}, 400),
        ({"Content_Type": "text/html"}, 415),
        ({"Content_Type": "application/octet-stream"}, 415),
        ({"Content_Type": None}, 415),
        ({"Content_Type": "video/webm;" + "x" * 100}, 415),
        ({"Content_Type": "video/webm<script>"}, 415),
    ],
)
def test_what_does_not_arrive_as_announced_is_not_kept(
    client: FlaskClient, services: Services, begun: str, headers: dict[str, Any], code: int
) -> None:
    answer = upload(client, begun, **headers)
    assert answer.status_code == code
    assert answer.json["error"]  # type: ignore[index]
    assert (takes(services, begun), files(services)) == ([], set())


def test_an_upload_that_breaks_off_leaves_nothing(
    app: Flask, client: FlaskClient, services: Services, begun: str
) -> None:
    answer = upload(client, begun, length=len(BYTES) + 10)
    assert answer.status_code == 400
    assert (takes(services, begun), files(services)) == ([], set())


def test_a_take_over_the_limit_is_refused_and_other_bodies_stay_small(
    client: FlaskClient, services: Services, begun: str
) -> None:
    assert upload(client, begun, length=uploads.MAX_UPLOAD_BYTES + 1).status_code == 413
    big = b"x" * 1_100_000
    assert upload(client, begun, data=big).status_code == 201
    wrong = upload(client, begun, data=big, Content_Type="application/x-www-form-urlencoded")
    assert wrong.status_code == 413
    assert len(files(services)) == 1


def test_without_the_forms_proof_a_script_is_told_to_fetch_a_new_one(
    client: FlaskClient, services: Services, begun: str
) -> None:
    answer = upload(client, begun, X_CSRFToken=None)
    assert (answer.status_code, answer.json) == (400, {"reload": True})
    assert files(services) == set()


def test_when_no_take_is_left_nothing_more_is_kept(
    client: FlaskClient, services: Services, begun: str
) -> None:
    assert upload(client, begun, data=b"one").json["takes_left"] == 1  # type: ignore[index]
    assert upload(client, begun, data=b"two").json["takes_left"] == 0  # type: ignore[index]
    third = upload(client, begun, data=b"three")
    assert third.status_code == 409
    assert third.json["error"] == "This answer cannot be recorded again"  # type: ignore[index]
    assert len(files(services)) == 2
    assert "This answer cannot be recorded again" in client.get(f"/c/o/{begun}/questions/1").text


def test_a_take_can_be_chosen_until_handing_in(
    client: FlaskClient, services: Services, begun: str
) -> None:
    first = upload(client, begun, data=b"one").json["saved"]  # type: ignore[index]
    upload(client, begun, data=b"two")
    assert takes(services, begun) == [("why", 1, False), ("why", 2, True)]
    page = client.get(f"/c/o/{begun}/questions/1").text
    chosen = press(client, page, f"/c/o/{begun}/takes/{first}")
    assert chosen.headers["Location"] == f"/c/o/{begun}/questions/1"
    assert takes(services, begun) == [("why", 1, True), ("why", 2, False)]


def test_handing_in_needs_every_answer_and_is_done_once(
    client: FlaskClient, services: Services, begun: str
) -> None:
    upload(client, begun)
    early = client.post(f"/c/o/{begun}/send", data={"csrf_token": token(client, begun)})
    assert early.headers["Location"] == f"/c/o/{begun}/answers"
    page = client.get(f"/c/o/{begun}/answers").text
    assert "You have answered 1 of 2 questions." in page
    assert "When can you start?" not in page  # what was not shown stays for its moment
    upload(client, begun, number=2, data=b"second")
    page = client.get(f"/c/o/{begun}/answers").text
    assert "You have answered all 2 questions." in page
    for _ in range(2):
        sent = press(client, page, f"/c/o/{begun}/send")
        assert sent.headers["Location"] == f"/c/o/{begun}/"
    assert "Your interview has been handed in." in client.get(f"/c/o/{begun}/").text
    assert story(services, begun).count("submitted") == 1
    assert factories.order_status(services, begun) == "pending"


def test_what_is_handed_in_cannot_be_begun_declined_or_changed(
    client: FlaskClient, services: Services, begun: str
) -> None:
    proof = {"csrf_token": token(client, begun)}
    saved = upload(client, begun).json["saved"]  # type: ignore[index]
    upload(client, begun, number=2, data=b"second")
    client.post(f"/c/o/{begun}/send", data=proof)
    for path in ("interview", "decline", f"takes/{saved}"):
        answer = client.post(f"/c/o/{begun}/{path}", data=proof)
        assert answer.status_code == 409, path
        assert "Your interview has been handed in." in answer.text
    assert progress(services, begun) == "submitted"
    assert upload(client, begun, data=b"late", X_CSRFToken=proof["csrf_token"]).status_code == 409
    assert client.get(f"/c/o/{begun}/questions/1").headers["Location"] == f"/c/o/{begun}/"
    assert len(files(services)) == 2


def test_when_the_time_is_over_what_was_saved_is_handed_in(
    client: FlaskClient, services: Services, begun: str, clock: ManualClock
) -> None:
    proof = token(client, begun)
    upload(client, begun)
    with services.db.reading() as session:
        ends = Interview.find(session, begun).attempt_ends_at
    assert ends
    clock.current_time = ends
    late = upload(client, begun, number=2, data=b"late", X_CSRFToken=proof)
    assert late.status_code == 409
    assert late.json == {
        "error": "The time for this interview is over",
        "next": f"/c/o/{begun}/",
    }
    assert progress(services, begun) == "submitted"
    assert len(files(services)) == 1


def test_another_device_goes_on_at_the_first_open_question(
    app: Flask, client: FlaskClient, services: Services, begun: str
) -> None:
    saved = upload(client, begun).json["saved"]  # type: ignore[index]
    phone = app.test_client()
    page = enter(phone, services, begun).text
    assert "Welcome back, Lakita" in page
    assert "Go on with question 2" in page
    assert phone.get(f"/c/o/{begun}/takes/{saved}").data == BYTES


def test_nobody_else_can_watch_or_add_a_take(
    app: Flask, client: FlaskClient, services: Services, begun: str
) -> None:
    saved = upload(client, begun).json["saved"]  # type: ignore[index]
    stranger = app.test_client()
    assert stranger.get(f"/c/o/{begun}/takes/{saved}").status_code == 403
    account_id, _ = factories.create_account(services, "Other")
    theirs = factories.place_order(
        services, account_id, factories.create_interview(services), "interview"
    )
    enter(stranger, services, theirs)
    assert stranger.get(f"/c/o/{theirs}/takes/{saved}").status_code == 404
    assert stranger.get(f"/c/o/{begun}/takes/{saved}").status_code == 403
    theft = upload(client, begun, data=b"x", X_CSRFToken=token(stranger, theirs))
    assert theft.status_code == 400
    client.delete_cookie(f"c-{begun}", path="/")
    proof = factories.csrf_token(stranger.get(f"/c/o/{theirs}/decline").text)
    refused = stranger.post(
        f"/c/o/{begun}/questions/1/takes",
        data=b"x",
        headers={"X-CSRFToken": proof, "Content-Type": WEBM, "Accept": "application/json"},
    )
    assert refused.status_code == 403
    assert len(files(services)) == 1


def test_a_question_or_an_order_of_another_kind_is_not_found(
    client: FlaskClient, services: Services, begun: str
) -> None:
    assert client.get(f"/c/o/{begun}/questions/3").status_code == 404
    assert upload(client, begun, number=3).status_code == 404
    account_id, _ = factories.create_account(services, "Other")
    test = factories.place_order(services, account_id, factories.create_test(services))
    enter(client, services, test)
    assert client.get(f"/c/o/{test}/camera").status_code == 404
    assert upload(client, test).status_code == 404


def test_a_candidate_can_decline_before_and_after_beginning(
    client: FlaskClient, services: Services, begun: str
) -> None:
    proof = token(client, begun)
    client.post(f"/c/o/{begun}/decline", data={"csrf_token": proof})
    assert factories.order_status(services, begun) == "declined"
    assert "You have declined" in client.get(f"/c/o/{begun}/").text
    assert upload(client, begun, X_CSRFToken=proof).status_code == 409
    assert files(services) == set()


def test_a_reopened_interview_keeps_its_takes_and_counts_on(
    client: FlaskClient, services: Services, begun: str
) -> None:
    upload(client, begun, data=b"one")
    client.post(f"/c/o/{begun}/decline", data={"csrf_token": token(client, begun)})
    with services.db.writing() as session:
        Interview.find(session, begun).reopen(
            session, services.secret_box, "sam", "retry", services.now()
        )
    page = client.get(f"/c/o/{begun}/camera").text
    onward = press(client, page, f"/c/o/{begun}/interview")
    assert onward.headers["Location"] == f"/c/o/{begun}/questions/2"
    assert upload(client, begun, data=b"two").json["takes_left"] == 0  # type: ignore[index]


def test_if_the_save_fails_its_file_goes_too(
    client: FlaskClient, services: Services, begun: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(Interview, "add_recording", broken)
    assert upload(client, begun).status_code == 500
    assert files(services) == set()


def test_bytes_are_never_in_memory_whole(
    client: FlaskClient, services: Services, begun: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    real = uploads._read_chunks

    def watched() -> Iterator[bytes]:
        for piece in real():
            seen.append(len(piece))
            yield piece

    monkeypatch.setattr(uploads, "_read_chunks", watched)
    assert upload(client, begun, data=b"x" * 2_000_000).status_code == 201
    assert max(seen) <= CHUNK_BYTES
    assert sum(seen) == 2_000_000


def test_every_take_asks_for_its_copy(client: FlaskClient, services: Services, begun: str) -> None:
    upload(client, begun)
    upload(client, begun)
    with services.db.reading() as session:
        assert session.scalar(select(func.count()).where(Message.topic == "remux")) == 1


def test_staff_see_in_the_orders_story_that_a_take_is_made_watchable(
    app: Flask, client: FlaskClient, services: Services, begun: str
) -> None:
    upload(client, begun)
    courier = Dispatcher(services)
    courier.drain("1/media")
    courier.stop()
    desk = ConsoleClient.signed_in(services, app.test_client())
    assert "Recording processed" in desk.get_text(f"/console/orders/{begun}")
    with services.db.reading() as session:
        message = session.scalars(select(Message).where(Message.topic == "remux")).one()
    page = desk.get_text(f"/console/deliveries/{message.public_id}")
    assert "groove-tech.workable.com" not in page
