"""The pages of an interview: uploads, playback, submitting."""

import hashlib
from base64 import b64encode
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from provider.core.kinds.interview import Interview, Recording
from provider.core.kinds.interview.uploads import MAX_PIECE_BYTES
from provider.core.orders.given_time import ARRIVAL_GRACE
from provider.delivery import Dispatcher
from provider.outbox import Message
from provider.services import Services
from provider.web.candidate.tus import PIECE_TYPE
from tests import factories
from tests.factories import ManualClock
from tests.interview_factories import completed_interview
from tests.web.candidate.test_pages import event_types, open_invitation, submit_form
from tests.web.console_client import ConsoleClient

QUESTIONS = [
    {"key": "why", "text": "Why *this* job?", "answer_seconds": 90, "takes": 2},
    {"key": "when", "text": "When can you start?", "answer_seconds": 30},
]
WEBM = "video/webm;codecs=vp9,opus"
DAY = 24 * 3600  # seconds
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
def started(client: FlaskClient, services: Services, invited: str) -> str:
    open_invitation(client, services, invited)
    page = client.get(f"/c/o/{invited}/camera").text
    assert submit_form(client, page, f"/c/o/{invited}/interview").status_code == 303
    return invited


def csrf_token(client: FlaskClient, public_id: str) -> str:
    return factories.csrf_token(client.get(f"/c/o/{public_id}/decline").text)


def metadata(
    data: bytes = BYTES, *, filetype: str = WEBM, sha256: str | None = None, take: str = ""
) -> str:
    """Return the Upload-Metadata of a take. An empty `sha256` or `take` is left out."""
    values = {"sha256": hashlib.sha256(data).hexdigest() if sha256 is None else sha256}
    values = {name: value for name, value in (values | {"take": take}).items() if value}
    values["filetype"] = filetype
    return ",".join(f"{key} {b64encode(value.encode()).decode()}" for key, value in values.items())


def announce(
    client: FlaskClient,
    public_id: str,
    number: int = 1,
    data: bytes = BYTES,
    **headers: str | None,
) -> TestResponse:
    """Announce a take as the page does. A header of None is left out."""
    announcement = {"Upload-Length": str(len(data)), "Upload-Metadata": metadata(data)}
    sent_headers = with_token(client, public_id, announcement, headers)
    return client.post(f"/c/o/{public_id}/questions/{number}/takes", headers=sent_headers)


def send_piece(
    client: FlaskClient, url: str, data: bytes, start: int, **headers: str | None
) -> TestResponse:
    """Send a piece as the page does. `Content_Length` may be wrong."""
    length = headers.pop("Content_Length", None) or str(len(data))
    piece_headers = {"Upload-Offset": str(start), "Content-Type": PIECE_TYPE}
    return client.patch(
        url,
        data=data,
        headers=with_token(client, url.split("/")[3], piece_headers, headers),
        environ_overrides={"CONTENT_LENGTH": length},
    )


def with_token(
    client: FlaskClient, public_id: str, headers: dict[str, str], changes: dict[str, str | None]
) -> dict[str, str]:
    """Return headers with a CSRF token and with changes; names may have underscores."""
    changed: dict[str, str | None] = {
        "Accept": "application/json",
        "Tus-Resumable": "1.0.0",
        **headers,
    }
    if "X_CSRFToken" not in changes:
        changed["X-CSRFToken"] = csrf_token(client, public_id)
    changed |= {name.replace("_", "-"): value for name, value in changes.items()}
    return {name: value for name, value in changed.items() if value is not None}


def upload(
    client: FlaskClient,
    public_id: str,
    number: int = 1,
    data: bytes = BYTES,
    **headers: str | None,
) -> TestResponse:
    """Send a whole take as the page does; return the state of the upload, or the refusal."""
    token = {"X_CSRFToken": headers.get("X_CSRFToken") or csrf_token(client, public_id)}
    response = announce(client, public_id, number, data, **token | headers)
    url = response.headers.get("Location")
    received = int(response.headers.get("Upload-Offset", 0))
    for start in range(received, len(data), MAX_PIECE_BYTES) if url else ():
        assert url
        response = send_piece(client, url, data[start : start + MAX_PIECE_BYTES], start, **token)
        if response.status_code != 204:
            return response
    return client.get(url) if url else response


def saved_takes(services: Services, public_id: str) -> list[tuple[str, int, bool]]:
    with services.db.reading() as session:
        interview = Interview.find(session, public_id)
        return [(r.question, r.take, r.is_selected) for r in interview.recordings]


def progress(services: Services, public_id: str) -> str:
    with services.db.reading() as session:
        return Interview.find(session, public_id).progress


def stored_files(services: Services) -> set[str]:
    """Return every file in the media folder."""
    root = services.settings.instance / "media"
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_landing_explains_and_links_to_the_camera(
    client: FlaskClient, services: Services, invited: str
) -> None:
    page = open_invitation(client, services, invited).text
    assert "First you try your camera and your microphone." in page
    assert f'href="/c/o/{invited}/camera"' in page
    assert "I do not want to take part" in page
    # The recruiter gets every second of it, and not only an extract.
    assert "the whole recording of each answer that you submit" in " ".join(page.split())


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({"keep_recordings_seconds": 180 * DAY}, "deleted 180 days after"),
        (
            {"keep_recordings_seconds": 180 * DAY, "keep_candidates_seconds": 30 * DAY},
            "deleted 30 days after",
        ),
        ({"keep_candidates_seconds": DAY // 2}, "deleted one day after"),
        ({}, "stored until Groove Tech have them deleted"),
    ],
)
def test_landing_says_who_watches_and_how_long_recordings_are_kept(
    client: FlaskClient, services: Services, columns: dict[str, Any], text: str
) -> None:
    account_id, _ = factories.create_account(services, **columns)
    template = factories.create_interview(services)
    order = factories.place_order(services, account_id, template, "interview")
    page = " ".join(open_invitation(client, services, order).text.split())
    assert "Our reviewers watch your recordings and rate them" in page
    assert f"Your recordings are {text}" in page
    assert "No software analyses your face or your voice" in page


@pytest.mark.parametrize("path", ["camera", "questions/1"])
def test_camera_is_allowed_only_on_recording_pages(
    client: FlaskClient, services: Services, started: str, invited: str, path: str
) -> None:
    if path == "camera":
        account_id, _ = factories.create_account(services, "Other")
        started = factories.place_order(
            services, account_id, factories.create_interview(services), "interview"
        )
        open_invitation(client, services, started)
    response = client.get(f"/c/o/{started}/{path}")
    assert response.status_code == 200
    assert "camera=(self), microphone=(self)" in response.headers["Permissions-Policy"]
    assert "media-src 'self' blob:" in response.headers["Content-Security-Policy"]
    landing = client.get(f"/c/o/{started}/")
    assert "camera=()" in landing.headers["Permissions-Policy"]
    assert "blob:" not in landing.headers["Content-Security-Policy"]


def test_camera_page_does_not_start_the_interview(
    client: FlaskClient, services: Services, invited: str
) -> None:
    open_invitation(client, services, invited)
    client.get(f"/c/o/{invited}/camera")
    assert progress(services, invited) == "invited"


def test_start_twice_records_one_event(
    client: FlaskClient, services: Services, started: str
) -> None:
    again = client.post(
        f"/c/o/{started}/interview", data={"csrf_token": csrf_token(client, started)}
    )
    assert again.headers["Location"] == f"/c/o/{started}/questions/1"
    assert event_types(services, started).count("started") == 1
    assert event_types(services, started).count("recording agreed") == 1
    assert client.get(f"/c/o/{started}/camera").headers["Location"] == f"/c/o/{started}/"


def test_start_records_the_sentence_that_was_agreed_to(services: Services, started: str) -> None:
    with services.db.reading() as session:
        events = Interview.find(session, started).events
        [note] = [event.note for event in events if event.type == "recording agreed"]
    assert note.startswith("By starting you agree that your answers are recorded")


def test_question_without_scripts_says_what_to_do(client: FlaskClient, started: str) -> None:
    page = client.get(f"/c/o/{started}/questions/1").text
    assert "<noscript>" in page
    assert "This page needs scripts to record." in page


def test_upload_take_is_stored_and_served_by_range(
    client: FlaskClient, services: Services, started: str
) -> None:
    response = upload(client, started)
    assert response.status_code == 200
    saved = response.json["saved"]  # type: ignore[index]
    assert response.json == {
        "state": "saved",
        "offset": len(BYTES),
        "saved": saved,
        "takes_left": 1,
        "error": None,
    }
    assert stored_files(services) == {f"recordings/{saved}/original"}
    with services.db.reading() as session:
        recording = session.scalars(select(Recording)).one()
        assert (recording.mime, recording.size) == (WEBM, len(BYTES))
    part = client.get(f"/c/o/{started}/takes/{saved}", headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.data) == (206, b"pict")
    assert part.headers["Content-Type"] == "video/webm"
    assert "filename" not in part.headers["Content-Disposition"]
    assert "no-store" in part.headers["Cache-Control"]


def test_upload_same_bytes_returns_the_same_take(
    client: FlaskClient, services: Services, started: str, clock: ManualClock
) -> None:
    token = csrf_token(client, started)
    first, second = upload(client, started), upload(client, started)
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json["saved"] == second.json["saved"]  # type: ignore[index]
    assert saved_takes(services, started) == [("why", 1, True)]
    assert len(stored_files(services)) == 1
    # The reply may be lost when the time ends: a take that is saved stays saved.
    clock.advance(timedelta(days=8))
    assert upload(client, started, X_CSRFToken=token).status_code == 200


def test_upload_without_csrf_token_asks_for_reload(
    client: FlaskClient, services: Services, started: str
) -> None:
    response = upload(client, started, X_CSRFToken=None)
    assert (response.status_code, response.json) == (400, {"reload": True})
    assert stored_files(services) == set()


def test_upload_without_takes_left_returns_409(
    client: FlaskClient, services: Services, started: str
) -> None:
    assert upload(client, started, data=b"one").json["takes_left"] == 1  # type: ignore[index]
    assert upload(client, started, data=b"two").json["takes_left"] == 0  # type: ignore[index]
    third = upload(client, started, data=b"three")
    assert third.status_code == 409
    assert third.json["error"] == "This answer cannot be recorded again"  # type: ignore[index]
    assert len(stored_files(services)) == 2
    assert "This answer cannot be recorded again" in client.get(f"/c/o/{started}/questions/1").text


def test_broken_take_is_said_before_submitting(
    client: FlaskClient, services: Services, started: str
) -> None:
    urls = (f"/c/o/{started}/questions/1", f"/c/o/{started}/answers")
    upload(client, started)
    assert not any("has a problem" in client.get(url).text for url in urls)
    dispatcher = Dispatcher(services)
    dispatcher.drain("1/media")
    dispatcher.stop()
    question_page, overview = (client.get(url).text for url in urls)
    assert "This recording has a problem." in question_page
    assert "Please record this answer again." in question_page
    assert "One of your recordings has a problem." in overview
    assert "Recording has a problem" in overview


def test_select_take_before_submit_changes_selection(
    client: FlaskClient, services: Services, started: str
) -> None:
    first = upload(client, started, data=b"one").json["saved"]  # type: ignore[index]
    upload(client, started, data=b"two")
    assert saved_takes(services, started) == [("why", 1, False), ("why", 2, True)]
    page = client.get(f"/c/o/{started}/questions/1").text
    chosen = submit_form(client, page, f"/c/o/{started}/takes/{first}")
    assert chosen.headers["Location"] == f"/c/o/{started}/questions/1"
    assert saved_takes(services, started) == [("why", 1, True), ("why", 2, False)]


def test_submit_needs_every_answer_and_happens_once(
    client: FlaskClient, services: Services, started: str
) -> None:
    upload(client, started)
    early = client.post(f"/c/o/{started}/send", data={"csrf_token": csrf_token(client, started)})
    assert early.headers["Location"] == f"/c/o/{started}/answers"
    page = client.get(f"/c/o/{started}/answers").text
    assert "You have answered 1 of 2 questions." in page
    assert "When can you start?" not in page  # a question is not shown before its time to think
    upload(client, started, number=2, data=b"second")
    page = client.get(f"/c/o/{started}/answers").text
    assert "You have answered all 2 questions." in page
    for _ in range(2):
        sent = submit_form(client, page, f"/c/o/{started}/send")
        assert sent.headers["Location"] == f"/c/o/{started}/"
    page = client.get(f"/c/o/{started}/").text
    assert "Your interview has been submitted." in page
    assert f"<dd>{started}</dd>" in page  # the reference
    assert "<dt>Submitted</dt><dd><time" in page
    assert event_types(services, started).count("submitted") == 1
    assert factories.order_status(services, started) == "pending"


def test_submitted_interview_refuses_every_change(
    client: FlaskClient, services: Services, started: str
) -> None:
    form = {"csrf_token": csrf_token(client, started)}
    saved = upload(client, started).json["saved"]  # type: ignore[index]
    upload(client, started, number=2, data=b"second")
    client.post(f"/c/o/{started}/send", data=form)
    for path in ("interview", "decline", f"takes/{saved}"):
        response = client.post(f"/c/o/{started}/{path}", data=form)
        assert response.status_code == 409, path
        assert "Your interview has been submitted." in response.text
    assert progress(services, started) == "submitted"
    assert upload(client, started, data=b"late", X_CSRFToken=form["csrf_token"]).status_code == 409
    assert client.get(f"/c/o/{started}/questions/1").headers["Location"] == f"/c/o/{started}/"
    assert len(stored_files(services)) == 2


def test_upload_after_deadline_submits_saved_takes(
    client: FlaskClient, services: Services, started: str, clock: ManualClock
) -> None:
    token = csrf_token(client, started)
    upload(client, started)
    with services.db.reading() as session:
        ends = Interview.find(session, started).attempt_ends_at
    assert ends
    clock.current_time = ends + ARRIVAL_GRACE
    late = upload(client, started, number=2, data=b"late", X_CSRFToken=token)
    assert late.status_code == 409
    assert late.json == {
        "error": "The time for this interview is over",
        "next": f"/c/o/{started}/",
    }
    assert progress(services, started) == "submitted"
    assert len(stored_files(services)) == 1


def test_upload_announced_in_time_is_saved_after_the_end(
    client: FlaskClient, services: Services, started: str, clock: ManualClock
) -> None:
    token = csrf_token(client, started)
    with services.db.reading() as session:
        ends = Interview.find(session, started).attempt_ends_at
    assert ends
    clock.current_time = ends - timedelta(seconds=1)
    url = announce(client, started, X_CSRFToken=token).headers["Location"]
    clock.current_time = ends + timedelta(minutes=5)
    with services.db.writing() as session:
        factories.apply_deadlines(services, session, services.now())
    assert send_piece(client, url, BYTES, 0, X_CSRFToken=token).status_code == 204
    with services.db.writing() as session:
        interview = Interview.find(session, started)
        facts = dict(interview.evidence(services.secret_box).facts)
        assert facts["Given in time, arrived after the end"] == "1 answer, at most 300 s late"
        assert interview.held_open_until
        clock.current_time = interview.held_open_until
        factories.apply_deadlines(services, session, services.now())
    assert progress(services, started) == "submitted"


def test_landing_on_another_device_links_to_open_question(
    app: Flask, client: FlaskClient, services: Services, started: str
) -> None:
    saved = upload(client, started).json["saved"]  # type: ignore[index]
    phone = app.test_client()
    page = open_invitation(phone, services, started).text
    assert "Welcome back, Lakita" in page
    assert "Continue with question 2" in page
    assert phone.get(f"/c/o/{started}/takes/{saved}").data == BYTES


def test_take_of_another_candidate_is_refused(
    app: Flask, client: FlaskClient, services: Services, started: str
) -> None:
    saved = upload(client, started).json["saved"]  # type: ignore[index]
    stranger = app.test_client()
    assert stranger.get(f"/c/o/{started}/takes/{saved}").status_code == 403
    account_id, _ = factories.create_account(services, "Other")
    other = factories.place_order(
        services, account_id, factories.create_interview(services), "interview"
    )
    open_invitation(stranger, services, other)
    assert stranger.get(f"/c/o/{other}/takes/{saved}").status_code == 404
    assert stranger.get(f"/c/o/{started}/takes/{saved}").status_code == 403
    foreign_token = upload(client, started, data=b"x", X_CSRFToken=csrf_token(stranger, other))
    assert foreign_token.status_code == 400
    client.delete_cookie(f"c-{started}", path="/")
    other_token = factories.csrf_token(stranger.get(f"/c/o/{other}/decline").text)
    refused = announce(stranger, started, data=b"x", X_CSRFToken=other_token)
    assert refused.status_code == 403
    assert len(stored_files(services)) == 1


def test_question_unknown_or_of_other_kind_returns_404(
    client: FlaskClient, services: Services, started: str
) -> None:
    assert client.get(f"/c/o/{started}/questions/3").status_code == 404
    assert upload(client, started, number=3).status_code == 404
    account_id, _ = factories.create_account(services, "Other")
    test = factories.place_order(services, account_id, factories.create_test(services))
    open_invitation(client, services, test)
    assert client.get(f"/c/o/{test}/camera").status_code == 404
    assert upload(client, test).status_code == 404


def test_decline_after_start_refuses_uploads(
    client: FlaskClient, services: Services, started: str
) -> None:
    token = csrf_token(client, started)
    client.post(f"/c/o/{started}/decline", data={"csrf_token": token})
    assert factories.order_status(services, started) == "declined"
    assert "You have declined" in client.get(f"/c/o/{started}/").text
    assert upload(client, started, X_CSRFToken=token).status_code == 409
    assert stored_files(services) == set()


def test_reopened_interview_keeps_its_takes(
    client: FlaskClient, services: Services, started: str
) -> None:
    upload(client, started, data=b"one")
    client.post(f"/c/o/{started}/decline", data={"csrf_token": csrf_token(client, started)})
    with services.db.writing() as session:
        Interview.find(session, started).reopen(
            session, services.secret_box, "sam", "retry", services.now()
        )
    open_invitation(client, services, started)
    page = client.get(f"/c/o/{started}/camera").text
    response = submit_form(client, page, f"/c/o/{started}/interview")
    assert response.headers["Location"] == f"/c/o/{started}/questions/2"
    assert upload(client, started, data=b"two").json["takes_left"] == 0  # type: ignore[index]


def test_upload_failed_record_can_be_repeated(
    client: FlaskClient, services: Services, started: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Interview, "add_recording", fail)
        assert upload(client, started).status_code == 500
    # The take may be recorded in spite of the error: only `media prune` deletes the file.
    assert {Path(name).name for name in stored_files(services)} == {"take", "original"}
    response = upload(client, started)
    assert f"recordings/{response.json['saved']}/original" in stored_files(services)  # type: ignore[index]
    assert {Path(name).name for name in stored_files(services)} == {"original"}


def test_upload_same_take_enqueues_one_remux(
    client: FlaskClient, services: Services, started: str
) -> None:
    upload(client, started)
    upload(client, started)
    with services.db.reading() as session:
        assert session.scalar(select(func.count()).where(Message.topic == "remux")) == 1


def test_timeline_shows_that_a_recording_was_processed(
    app: Flask, client: FlaskClient, services: Services, started: str
) -> None:
    upload(client, started)
    dispatcher = Dispatcher(services)
    dispatcher.drain("1/media")
    dispatcher.stop()
    console = ConsoleClient.signed_in(services, app.test_client())
    assert "Recording processed" in console.get_text(f"/console/orders/{started}")
    with services.db.reading() as session:
        message = session.scalars(select(Message).where(Message.topic == "remux")).one()
    page = console.get_text(f"/console/deliveries/{message.public_id}")
    assert "groove-tech.workable.com" not in page


def test_landing_of_a_rated_interview_does_not_say_that_it_will_be(
    client: FlaskClient, services: Services
) -> None:
    public_id, _ = completed_interview(services)
    page = open_invitation(client, services, public_id).text
    assert "Your answers have been watched and rated." in page
    assert "will be" not in page
