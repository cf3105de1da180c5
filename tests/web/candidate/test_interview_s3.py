"""An interview whose recordings are in a bucket: from the upload to the report, both ways out."""

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
from tests.web.candidate.test_interview import begun as begun
from tests.web.candidate.test_interview import invited as invited
from tests.web.candidate.test_interview import takes, token, upload
from tests.web.candidate.test_pages import enter
from tests.web.console_client import ConsoleClient
from tests.web.report.test_interview_report import figures
from tests.web.report.test_pages import path

LANE = "1/media"
Fetch = Callable[..., "Fetched"]
signed = pytest.mark.parametrize("settings", ["signed"], indirect=True)
proxied = pytest.mark.parametrize("settings", ["proxied"], indirect=True)


@pytest.fixture(params=["proxied", "signed"])
def settings(settings: Settings, films: Bucket, request: pytest.FixtureRequest) -> Settings:
    return replace(settings, media_url=films.url, signed_downloads=request.param == "signed")


@pytest.fixture
def dispatcher(services: Services) -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(services)
    yield dispatcher
    dispatcher.stop()


@dataclass(frozen=True)
class Fetched:
    """What a browser has in the end, and which way it came."""

    code: int
    data: bytes
    mimetype: str
    signed: bool


@pytest.fixture
def fetch(client: FlaskClient) -> Fetch:
    """Fetch as a browser does: to where it is led, with the range that it asked for."""

    def fetch(address: str, **headers: str) -> Fetched:
        first = client.get(address, headers=headers)
        if first.status_code != 302:
            return Fetched(first.status_code, first.data, first.mimetype or "", signed=False)
        assert first.headers["Cache-Control"] == "no-store"
        then = requests.get(first.headers["Location"], headers=headers, timeout=10)
        return Fetched(then.status_code, then.content, then.headers["Content-Type"], signed=True)

    return fetch


def saved(client: FlaskClient, order: str, number: int = 1) -> str:
    """Upload a take, and return the recording's public id."""
    answer = upload(client, order, number, interview_factories.webm(tint=0))
    assert answer.status_code == 201, answer.text
    name: str = answer.json["saved"]  # type: ignore[index]
    return name


def recording(services: Services, public_id: str) -> Recording:
    with services.db.reading() as session:
        return session.scalars(select(Recording).where(Recording.public_id == public_id)).one()


def reported(services: Services, order: str) -> None:
    """Hand an interview in, rate and complete it."""
    with services.db.writing() as session:
        interview = Interview.find(session, order)
        interview.close_at_deadline(session, services.secret_box, services.now())
        for question in interview.answered_questions():
            interview.rate(question.key, 4, "", "rita@provider.test", services.now())
    interview_factories.complete_interview(services, order)


def completed(services: Services) -> tuple[str, str]:
    """Return an interview with a result, and its one recording."""
    interview = interview_factories.place_interview(services)
    take = interview_factories.record_answer(services, interview, "why")
    reported(services, interview)
    return interview, take


def pictures(document: bytes) -> int:
    """Return how many takes a PDF shows a picture of."""
    return sum("on video" in figure for figure in figures(document))


def test_an_interview_goes_from_the_upload_to_the_report(
    client: FlaskClient,
    services: Services,
    films: Bucket,
    dispatcher: Dispatcher,
    begun: str,
    fetch: Fetch,
) -> None:
    first, second = saved(client, begun), saved(client, begun, 2)
    assert films.keys() == {f"recordings/{one}/original" for one in (first, second)}
    way = services.settings.signed_downloads
    at_once = fetch(f"/c/o/{begun}/takes/{first}")
    assert at_once == Fetched(200, interview_factories.webm(tint=0), "video/webm", way)

    assert dispatcher.drain(LANE) == 2
    assert recording(services, first).state == READY
    assert len(films.keys()) == 6
    copy = fetch(f"/c/o/{begun}/takes/{first}")
    part = fetch(f"/c/o/{begun}/takes/{first}", Range="bytes=100-299")
    assert part == Fetched(206, copy.data[100:300], "video/webm", way)

    reported(services, begun)
    page = path(services, begun)
    assert fetch(f"{page}/takes/{first}") == copy
    poster = fetch(f"{page}/posters/{first}")
    assert (poster.mimetype, poster.data[:3], poster.signed) == ("image/jpeg", b"\xff\xd8\xff", way)
    assert pictures(client.get(path(services, begun, PDF)).data) == 2


def test_pages_may_load_from_the_bucket_where_browsers_are_led_there_and_only_then(
    client: FlaskClient, services: Services, films: Bucket, begun: str
) -> None:
    page = client.get(f"/c/o/{begun}/questions/1").headers["Content-Security-Policy"]
    plain = client.get(f"/c/o/{begun}/").headers["Content-Security-Policy"]
    there = f" {films.endpoint}" if services.settings.signed_downloads else ""
    for policy in (page, plain):
        assert f"img-src 'self'{there} data:;" in policy
        assert policy.count(films.endpoint) == (2 if there else 0)
    assert f"media-src 'self' blob:{there};" in page
    assert f"media-src 'self'{there};" in plain


@signed
def test_an_address_in_the_bucket_outlasts_a_viewing_and_a_pictures_does_not(
    client: FlaskClient, services: Services
) -> None:
    interview, take = completed(services)
    film_, picture = (
        client.get(f"{path(services, interview)}/{what}/{take}").headers["Location"]
        for what in ("takes", "posters")
    )
    assert "X-Amz-Expires=3600&" in film_
    assert "X-Amz-Expires=300&" in picture


@signed
def test_what_is_kept_under_a_name_and_what_is_asked_by_head_come_from_us(
    app: Flask, services: Services
) -> None:
    interview, take = completed(services)
    desk = ConsoleClient.signed_in(services, app.test_client())
    original = desk.client.get(f"/console/orders/{interview}/interview/originals/{take}")
    assert (original.status_code, original.data) == (200, interview_factories.webm(tint=0))
    assert original.headers["Content-Disposition"].startswith("attachment; filename=")
    head = desk.client.head(f"/console/orders/{interview}/interview/takes/{take}")
    assert (head.status_code, head.content_length) == (
        200,
        len(interview_factories.processed_video(0)[0]),
    )


def test_nobody_elses_recording_is_led_to_or_served(
    app: Flask, client: FlaskClient, services: Services, begun: str
) -> None:
    take = saved(client, begun)
    stranger = app.test_client()
    account_id, _ = factories.create_account(services, "Other")
    theirs = factories.place_order(
        services, account_id, factories.create_interview(services), "interview"
    )
    enter(stranger, services, theirs)
    for order, code in ((theirs, 404), (begun, 403)):
        answer = stranger.get(f"/c/o/{order}/takes/{take}")
        assert answer.status_code == code
        assert "Location" not in answer.headers
        assert "X-Amz" not in answer.text


@proxied
def test_a_bucket_that_is_away_refuses_a_take_clearly_and_takes_it_later(
    client: FlaskClient, services: Services, films: Bucket, begun: str
) -> None:
    films.remove()
    answer = upload(client, begun)
    assert answer.status_code == 503
    assert "try again in a moment" in answer.text
    assert takes(services, begun) == []
    films.client.create_bucket(Bucket=films.name)
    take = saved(client, begun)
    assert films.keys() == {f"recordings/{take}/original"}
    films.remove()
    assert client.get(f"/c/o/{begun}/takes/{take}").status_code == 503


@proxied
def test_a_take_that_is_torn_on_its_way_is_not_in_the_bucket(
    client: FlaskClient, services: Services, films: Bucket, begun: str
) -> None:
    data = b"\x1a\x45\xdf\xa3" + bytes(6_000_000)
    assert upload(client, begun, data=data, length=len(data) + 1).status_code == 400
    assert upload(client, begun, data=data, X_Content_SHA256="0" * 64).status_code == 400
    assert (takes(services, begun), films.keys(), films.count_unfinished_uploads()) == (
        [],
        set(),
        0,
    )


@proxied
def test_a_take_that_was_here_already_is_saved_even_when_its_second_copy_cannot_go(
    client: FlaskClient, services: Services, begun: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any) -> None:
        raise Unavailable("The bucket is away")

    proof = token(client, begun)
    take = saved(client, begun)
    monkeypatch.setattr(type(services.media), "delete", failing)
    again = upload(client, begun, data=interview_factories.webm(tint=0), X_CSRFToken=proof)
    assert (again.status_code, again.json["saved"]) == (200, take)  # type: ignore[index]


@proxied
def test_a_copy_waits_for_a_bucket_that_refuses_and_is_made_when_it_no_longer_does(
    client: FlaskClient,
    services: Services,
    films: Bucket,
    dispatcher: Dispatcher,
    begun: str,
    clock: ManualClock,
) -> None:
    take = saved(client, begun)
    with require_credentials(films.endpoint):
        dispatcher.drain(LANE)
    with services.db.reading() as session:
        message = session.scalars(select(Message).where(Message.topic == "remux")).one()
        assert (message.state, message.attempts) == ("waiting", 1)
    clock.advance(timedelta(hours=1))
    dispatcher.drain(LANE)
    assert recording(services, take).state == READY


@proxied
def test_a_pdf_is_not_made_without_its_pictures_because_the_bucket_is_away(
    client: FlaskClient, services: Services, films: Bucket
) -> None:
    interview, _ = completed(services)
    with require_credentials(films.endpoint):
        assert client.get(path(services, interview, PDF)).status_code == 503
    assert pictures(client.get(path(services, interview, PDF)).data) == 1


@signed
def test_a_browser_plays_and_winds_what_is_in_the_bucket(
    page: Page, live_server: LiveServer
) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    interview, _ = completed(live_server.services)
    page.goto(live_server.url + path(live_server.services, interview))
    video = page.get_by_label("The answer to question 1")
    video.focus()
    page.keyboard.press("Space")
    video.evaluate(interview_factories.WAIT_FOR_PLAYBACK_SCRIPT, 0.1)
    video.evaluate("film => { film.currentTime = 1.5; }")
    video.evaluate(interview_factories.WAIT_FOR_PLAYBACK_SCRIPT, 1.5)
    still = page.get_by_alt_text("Lakita Marrero, answering question 1 on video")
    page.emulate_media(media="print")
    assert still.evaluate("image => image.decode().then(() => image.naturalWidth)") == 320
    assert [each for each in said if "img-src" in each or "media-src" in each] == []
