"""The captions of recordings in the console: written, uploaded, downloaded, deleted, requested."""

import io

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from provider.core.kinds.interview import Interview
from provider.core.kinds.interview.speech import ENGINES
from provider.outbox import Message
from provider.services import Services
from tests import interview_factories
from tests.web.console.test_interviews import interview_path
from tests.web.console_client import ConsoleClient

VTT = "WEBVTT\n\n00:00.500 --> 00:01.500\nGood morning & welcome\n"
STORED = "WEBVTT\n\n00:00:00.500 --> 00:00:01.500\nGood morning &amp; welcome\n"


@pytest.fixture
def answer(services: Services) -> tuple[str, str]:
    """Return an interview and the recording that answers its first question."""
    interview, recordings = interview_factories.submitted_interview(services)
    return interview, recordings[1]


@pytest.fixture
def console(services: Services, client: FlaskClient) -> ConsoleClient:
    return ConsoleClient.signed_in(services, client)


def path_of(answer: tuple[str, str]) -> str:
    return f"{interview_path(answer[0])}/captions/{answer[1]}"


def save(console: ConsoleClient, answer: tuple[str, str], **fields: object) -> tuple[int, str]:
    path = path_of(answer)
    form = {"text": VTT, "language": "en", "based_on": "0"} | fields
    response = console.submit(path, page=path, **form)
    return response.status_code, response.text


def test_saved_captions_are_played_and_downloaded(
    console: ConsoleClient, answer: tuple[str, str]
) -> None:
    assert "<track" not in console.get_text(interview_path(answer[0]))
    assert save(console, answer)[0] == 303
    page = console.get_text(interview_path(answer[0]))
    assert f'<track kind="captions" srclang="en" label="Captions" src="{path_of(answer)}.vtt">' in (
        page
    )
    response = console.client.get(f"{path_of(answer)}.vtt")
    assert (response.mimetype, response.text) == ("text/vtt", STORED)
    assert "Content-Disposition" not in response.headers
    response = console.client.get(f"{path_of(answer)}.vtt?download=yes")
    assert response.headers["Content-Disposition"] == (
        f"attachment; filename={answer[0]}-why-2.vtt"
    )
    assert "Saved by operator@provider.test" in console.get_text(path_of(answer))


def test_uploaded_file_replaces_the_text(console: ConsoleClient, answer: tuple[str, str]) -> None:
    content = VTT.replace("Good morning", "Guten Morgen, Zoë").encode("utf-8-sig")
    file = (io.BytesIO(content), "captions.vtt")
    assert save(console, answer, file=file, text="ignored", language="de-CH")[0] == 303
    assert "Guten Morgen, Zoë" in console.client.get(f"{path_of(answer)}.vtt").text


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"text": "Hello"}, "first line is WEBVTT"),
        ({"text": VTT.replace("01.500", "00.100")}, "should end after it starts"),
        ({"language": "English please"}, "language should be a tag"),
        ({"file": (io.BytesIO(b"\xff\xfe\x00"), "x.vtt")}, "UTF-8"),
    ],
)
def test_wrong_captions_are_refused_and_stay_typed(
    console: ConsoleClient, answer: tuple[str, str], fields: dict[str, object], message: str
) -> None:
    status_code, page = save(console, answer, **fields)
    assert (status_code, message in page) == (400, True)
    assert str(fields.get("text", VTT)).split("\n")[0] in page
    console.get_text(f"{path_of(answer)}.vtt", 404)


def test_older_form_never_replaces_newer_captions(
    console: ConsoleClient, answer: tuple[str, str]
) -> None:
    assert save(console, answer)[0] == 303
    status_code, page = save(console, answer, text=VTT.replace("Good", "Bad"))
    assert (status_code, "The newer save stands" in page) == (409, True)
    assert save(console, answer, text=VTT.replace("Good", "Bad"), based_on="1")[0] == 303


def test_deleted_captions_are_gone(console: ConsoleClient, answer: tuple[str, str]) -> None:
    assert save(console, answer)[0] == 303
    path = path_of(answer)
    assert console.submit(f"{path}/delete", page=path).status_code == 303
    console.get_text(f"{path}.vtt", 404)


def test_captions_before_submission_are_hidden(services: Services, console: ConsoleClient) -> None:
    interview = interview_factories.place_interview(services)
    recording = interview_factories.record_answer(services, interview, "why")
    console.get_text(f"{interview_path(interview)}/captions/{recording}", 409)


class SilentEngine:
    language = "en"

    def transcribe(self, sound: object) -> list[object]:
        return []


@pytest.fixture
def engine(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENGINES, "silent", SilentEngine)
    object.__setattr__(services.settings, "speech_engine", "silent")


def test_engine_is_asked_for_answers_without_captions(
    services: Services, console: ConsoleClient, answer: tuple[str, str], engine: None
) -> None:
    assert save(console, answer)[0] == 303
    page = interview_path(answer[0])
    assert "Write captions for all answers" in console.get_text(page)
    assert console.submit(f"{page}/captions", page=page).status_code == 303
    assert "captions of 2 answers are being written" in console.get_text(page)
    with services.db.reading() as session:
        query = select(Message).where(Message.topic == "transcribe")
        assert len(session.scalars(query).all()) == 2
        order = Interview.find(session, answer[0])
        assert order.queue_name("speech") == f"{order.account_id}/speech"
    assert "Captions" in console.get_text("/console/deliveries/?state=any&channel=speech")


def test_without_an_engine_nothing_is_offered(
    console: ConsoleClient, answer: tuple[str, str]
) -> None:
    page = interview_path(answer[0])
    assert "Write captions" not in console.get_text(page)
    assert console.submit(f"{page}/captions", page=page).status_code == 409
