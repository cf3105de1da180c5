"""An interview with its recordings in an S3 bucket, with and without presigned URLs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Page
from sqlalchemy import select

from provider.config import Settings
from provider.core.kinds.interview import READY, Interview, Recording
from provider.core.orders import PDF
from provider.delivery import Dispatcher
from provider.errors import Unavailable
from provider.outbox import Message
from provider.services import Services
from tests import factories, interview_factories
from tests.conftest import LiveServer
from tests.factories import ManualClock
from tests.s3_server import Bucket, require_credentials
from tests.s3_server import s3_bucket as s3_bucket
from tests.s3_server import s3_server as s3_server
from tests.web.candidate.test_interview import csrf_token, metadata, saved_takes, upload
from tests.web.candidate.test_interview import invited as invited
from tests.web.candidate.test_interview import started as started
from tests.web.candidate.test_pages import open_invitation
from tests.web.console_client import ConsoleClient
from tests.web.report.test_interview_report import figure_texts
from tests.web.report.test_pages import report_path

QUEUE = "1/media"
Fetch = Callable[..., "Fetched"]
signed = pytest.mark.parametrize("settings", ["signed"], indirect=True)
proxied = pytest.mark.parametrize("settings", ["proxied"], indirect=True)


@pytest.fixture(params=["proxied", "signed"])
def settings(settings: Settings, s3_bucket: Bucket, request: pytest.FixtureRequest) -> Settings:
    return replace(settings, media_url=s3_bucket.url, signed_downloads=request.param == "signed")


@pytest.fixture
def dispatcher(services: Services) -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(services)
    yield dispatcher
    dispatcher.stop()


@dataclass(frozen=True)
class Fetched:
    """The response that a browser has in the end; `is_signed` when a presigned URL gave it."""

    status_code: int
    data: bytes
    mimetype: str
    is_signed: bool


@pytest.fixture
def fetch(client: FlaskClient) -> Fetch:
    """Fetch as a browser does: a redirect is followed with the same Range header."""

    def fetch(url: str, **headers: str) -> Fetched:
        first = client.get(url, headers=headers)
        if first.status_code != 302:
            return Fetched(first.status_code, first.data, first.mimetype or "", is_signed=False)
        assert first.headers["Cache-Control"] == "no-store"
        redirected = requests.get(first.headers["Location"], headers=headers, timeout=10)
        return Fetched(
            redirected.status_code,
            redirected.content,
            redirected.headers["Content-Type"],
            is_signed=True,
        )

    return fetch


def upload_recording(client: FlaskClient, order: str, number: int = 1) -> str:
    """Upload a take, and return the recording's public id."""
    response = upload(client, order, number, interview_factories.webm(tint=0))
    assert response.status_code == 200, response.text
    recording_id: str = response.json["saved"]  # type: ignore[index]
    return recording_id


def load_recording(services: Services, public_id: str) -> Recording:
    with services.db.reading() as session:
        return session.scalars(select(Recording).where(Recording.public_id == public_id)).one()


def submit_rate_and_complete(services: Services, order: str) -> None:
    """Submit an interview, rate and complete it."""
    with services.db.writing() as session:
        interview = Interview.find(session, order)
        interview.close_at_deadline(session, services.secret_box, services.now())
        for question in interview.answered_questions():
            interview.rate(question.key, 4, "", interview_factories.REVIEWER, services.now())
    interview_factories.complete_interview(services, order)


def completed_interview(services: Services) -> tuple[str, str]:
    """Return an interview with a result, and its only recording."""
    interview = interview_factories.place_interview(services)
    take = interview_factories.record_answer(services, interview, "why")
    submit_rate_and_complete(services, interview)
    return interview, take


def count_posters(document: bytes) -> int:
    """Return the number of takes with a poster in a PDF."""
    return sum("on video" in figure for figure in figure_texts(document))


def test_interview_on_s3_from_upload_to_report(
    client: FlaskClient,
    services: Services,
    s3_bucket: Bucket,
    dispatcher: Dispatcher,
    started: str,
    fetch: Fetch,
) -> None:
    first, second = upload_recording(client, started), upload_recording(client, started, 2)
    assert s3_bucket.keys() == {f"recordings/{recording}/original" for recording in (first, second)}
    is_signed = services.settings.signed_downloads
    original = fetch(f"/c/o/{started}/takes/{first}")
    assert original == Fetched(200, interview_factories.webm(tint=0), "video/webm", is_signed)

    assert dispatcher.drain(QUEUE) == 2
    assert load_recording(services, first).state == READY
    assert len(s3_bucket.keys()) == 6
    copy = fetch(f"/c/o/{started}/takes/{first}")
    part = fetch(f"/c/o/{started}/takes/{first}", Range="bytes=100-299")
    assert part == Fetched(206, copy.data[100:300], "video/webm", is_signed)

    submit_rate_and_complete(services, started)
    page = report_path(services, started)
    assert fetch(f"{page}/takes/{first}") == copy
    poster = fetch(f"{page}/posters/{first}")
    assert (poster.mimetype, poster.data[:3], poster.is_signed) == (
        "image/jpeg",
        b"\xff\xd8\xff",
        is_signed,
    )
    assert count_posters(client.get(report_path(services, started, PDF)).data) == 2


def test_page_policy_allows_bucket_only_for_signed_downloads(
    client: FlaskClient, services: Services, s3_bucket: Bucket, started: str
) -> None:
    page = client.get(f"/c/o/{started}/questions/1").headers["Content-Security-Policy"]
    plain = client.get(f"/c/o/{started}/").headers["Content-Security-Policy"]
    bucket_origin = f" {s3_bucket.endpoint}" if services.settings.signed_downloads else ""
    for policy in (page, plain):
        assert f"img-src 'self'{bucket_origin} data:;" in policy
        assert policy.count(s3_bucket.endpoint) == (2 if bucket_origin else 0)
    assert f"media-src 'self' blob:{bucket_origin};" in page
    assert f"media-src 'self'{bucket_origin};" in plain


@signed
def test_presigned_video_url_lives_longer_than_an_image_url(
    client: FlaskClient, services: Services
) -> None:
    interview, take = completed_interview(services)
    video_url, image_url = (
        client.get(f"{report_path(services, interview)}/{variant}/{take}").headers["Location"]
        for variant in ("takes", "posters")
    )
    assert "X-Amz-Expires=3600&" in video_url
    assert "X-Amz-Expires=300&" in image_url


@signed
def test_attachments_and_head_requests_are_not_redirected(app: Flask, services: Services) -> None:
    interview, take = completed_interview(services)
    console = ConsoleClient.signed_in(services, app.test_client())
    original = console.client.get(f"/console/orders/{interview}/interview/originals/{take}")
    assert (original.status_code, original.data) == (200, interview_factories.webm(tint=0))
    assert original.headers["Content-Disposition"].startswith("attachment; filename=")
    head = console.client.head(f"/console/orders/{interview}/interview/takes/{take}")
    assert (head.status_code, head.content_length) == (
        200,
        len(interview_factories.processed_video(0)[0]),
    )


def test_recording_of_another_candidate_is_not_redirected(
    app: Flask, client: FlaskClient, services: Services, started: str
) -> None:
    take = upload_recording(client, started)
    stranger = app.test_client()
    account_id, _ = factories.create_account(services, "Other")
    other = factories.place_order(
        services, account_id, factories.create_interview(services), "interview"
    )
    open_invitation(stranger, services, other)
    for order, status_code in ((other, 404), (started, 403)):
        response = stranger.get(f"/c/o/{order}/takes/{take}")
        assert response.status_code == status_code
        assert "Location" not in response.headers
        assert "X-Amz" not in response.text


@proxied
def test_upload_without_bucket_returns_503_and_works_later(
    client: FlaskClient, services: Services, s3_bucket: Bucket, started: str
) -> None:
    s3_bucket.remove()
    response = upload(client, started)
    assert response.status_code == 503
    assert "try again in a moment" in response.text
    assert saved_takes(services, started) == []
    s3_bucket.client.create_bucket(Bucket=s3_bucket.name)
    take = upload_recording(client, started)
    assert s3_bucket.keys() == {f"recordings/{take}/original"}
    s3_bucket.remove()
    assert client.get(f"/c/o/{started}/takes/{take}").status_code == 503


@proxied
def test_upload_in_pieces_leaves_only_the_recording_in_the_bucket(
    client: FlaskClient, services: Services, s3_bucket: Bucket, started: str
) -> None:
    data = b"\x1a\x45\xdf\xa3" + bytes(6_000_000)
    response = upload(client, started, data=data)
    assert response.status_code == 200, response.text
    take = response.json["saved"]  # type: ignore[index]
    assert s3_bucket.keys() == {f"recordings/{take}/original"}
    assert s3_bucket.metadata(f"recordings/{take}/original")["ContentLength"] == len(data)


@proxied
def test_upload_with_other_bytes_leaves_nothing_in_the_bucket(
    client: FlaskClient, services: Services, s3_bucket: Bucket, started: str
) -> None:
    data = b"\x1a\x45\xdf\xa3" + bytes(6_000_000)
    response = upload(client, started, data=data, Upload_Metadata=metadata(b"other"))
    assert response.status_code == 460
    assert saved_takes(services, started) == []
    assert s3_bucket.keys() == set()
    assert s3_bucket.count_unfinished_uploads() == 0


@proxied
def test_upload_duplicate_is_saved_when_delete_fails(
    client: FlaskClient, services: Services, started: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise Unavailable("The bucket cannot be reached")

    token = csrf_token(client, started)
    take = upload_recording(client, started)
    monkeypatch.setattr(type(services.media), "delete", fail)
    again = upload(client, started, data=interview_factories.webm(tint=0), X_CSRFToken=token)
    assert (again.status_code, again.json["saved"]) == (200, take)  # type: ignore[index]


@proxied
def test_remux_refused_by_the_bucket_is_retried(
    client: FlaskClient,
    services: Services,
    s3_bucket: Bucket,
    dispatcher: Dispatcher,
    started: str,
    clock: ManualClock,
) -> None:
    take = upload_recording(client, started)
    with require_credentials(s3_bucket.endpoint):
        dispatcher.drain(QUEUE)
    with services.db.reading() as session:
        message = session.scalars(select(Message).where(Message.topic == "remux")).one()
        assert (message.state, message.attempts) == ("waiting", 1)
    clock.advance(timedelta(hours=1))
    dispatcher.drain(QUEUE)
    assert load_recording(services, take).state == READY


@proxied
def test_pdf_without_bucket_returns_503(
    client: FlaskClient, services: Services, s3_bucket: Bucket
) -> None:
    interview, _ = completed_interview(services)
    with require_credentials(s3_bucket.endpoint):
        assert client.get(report_path(services, interview, PDF)).status_code == 503
    assert count_posters(client.get(report_path(services, interview, PDF)).data) == 1


@signed
def test_report_plays_and_seeks_video_from_the_bucket(page: Page, live_server: LiveServer) -> None:
    console_messages: list[str] = []
    page.on("console", lambda message: console_messages.append(message.text))
    interview, _ = completed_interview(live_server.services)
    page.goto(live_server.url + report_path(live_server.services, interview))
    video = page.get_by_label("The answer to question 1")
    video.focus()
    page.keyboard.press("Space")
    video.evaluate(interview_factories.WAIT_FOR_PLAYBACK_SCRIPT, 0.1)
    video.evaluate("video => { video.currentTime = 1.5; }")
    video.evaluate(interview_factories.WAIT_FOR_PLAYBACK_SCRIPT, 1.5)
    poster = page.get_by_alt_text("Lakita Marrero, answering question 1 on video")
    page.emulate_media(media="print")
    assert poster.evaluate("image => image.decode().then(() => image.naturalWidth)") == 320
    assert [text for text in console_messages if "img-src" in text or "media-src" in text] == []
