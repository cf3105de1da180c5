"""Questions of an interview that are answered by a text, a choice or a file."""

import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from provider.core.kinds.answer_files import MAX_FILES, AnswerFile, media_key
from provider.core.kinds.base import ScriptedStep
from provider.core.kinds.interview import Interview
from provider.core.kinds.interview.given_answers import GivenAnswer
from provider.core.kinds.interview.scripted import play_step
from provider.core.orders import PDF as PDF_REPORT
from provider.core.orders import REPORT, Link
from provider.core.orders.given_time import to_milliseconds
from provider.maintenance.erasure import delete_recordings, erase_order
from provider.maintenance.media_copy import list_media_references
from provider.maintenance.person_export import export_person
from provider.services import Services
from tests import factories
from tests.factories import ManualClock
from tests.maintenance.test_erasure import deliver_everything
from tests.web.candidate.test_pages import open_invitation, submit_form
from tests.web.console_client import ConsoleClient
from tests.web.report.test_pages import pdf_text

QUESTIONS: list[dict[str, Any]] = [
    {"key": "letter", "text": "Write *two* words.", "answer": "text", "max_words": 2},
    {
        "key": "days",
        "text": "Which days?",
        "answer": "choice",
        "options": ["Weekdays", "Weekends & <b>", "Both"],
    },
    {"key": "paper", "text": "Send your certificate.", "answer": "file", "types": ["pdf"]},
]
PDF = b"%PDF-1.7 certificate"
JSON = {"Accept": "application/json"}


def place(services: Services, **content: Any) -> str:
    account_id, _ = factories.create_account(services, timezone="Europe/Athens")
    document = {"schema": 1, "questions": QUESTIONS} | content
    template = factories.create_product(services, "interview", document, "written", "Written")
    return factories.place_order(services, account_id, template, "interview")


def start(client: FlaskClient, services: Services, public_id: str) -> TestResponse:
    page = open_invitation(client, services, public_id).text
    return submit_form(client, page, f"/c/o/{public_id}/interview")


@pytest.fixture
def started(client: FlaskClient, services: Services) -> str:
    public_id = place(services)
    assert start(client, services, public_id).location == f"/c/o/{public_id}/questions/1"
    return public_id


def url(public_id: str, number: int, action: str = "") -> str:
    return f"/c/o/{public_id}/questions/{number}" + (f"/{action}" if action else "")


def token(client: FlaskClient, public_id: str) -> str:
    return factories.csrf_token(client.get(f"/c/o/{public_id}/decline").text)


def answer(
    client: FlaskClient,
    public_id: str,
    number: int,
    text: str | None,
    headers: dict[str, str] | None = None,
    **fields: Any,
) -> TestResponse:
    form = {"csrf_token": token(client, public_id), "go": "next"} | fields
    if text is not None:
        form["answer"] = text
    return client.post(url(public_id, number, "answer"), data=form, headers=headers)


def send_file(
    client: FlaskClient,
    public_id: str,
    content: bytes,
    name: str = "my paper.pdf",
    go: str = "next",
) -> TestResponse:
    data = {"file": (io.BytesIO(content), name), "go": go, "csrf_token": token(client, public_id)}
    return client.post(url(public_id, 3, "file"), data=data, buffered=True)


def saved(services: Services, public_id: str) -> dict[str, Any]:
    with services.db.reading() as session:
        order = Interview.find(session, public_id)
        return {row.question: row.value for row in order.given_answers if row.value is not None}


def answer_all(client: FlaskClient, public_id: str) -> None:
    answer(client, public_id, 1, "Two\r\nwords")
    answer(client, public_id, 2, "Both")
    send_file(client, public_id, PDF)


def test_interview_without_recordings_asks_for_no_camera(
    client: FlaskClient, services: Services
) -> None:
    page = open_invitation(client, services, place(services)).text
    assert "/camera" not in page
    assert "A phone, tablet or computer, and some quiet" in page
    assert "About 11 min" in page


def test_answers_are_saved_shown_and_submitted(
    client: FlaskClient, services: Services, started: str
) -> None:
    assert "Write <em>two</em> words." in client.get(url(started, 1)).text
    assert answer(client, started, 1, "Two\r\nwords").location == url(started, 2)
    assert answer(client, started, 2, "Weekends & <b>").location == url(started, 3)
    page = client.get(url(started, 2)).text
    assert 'value="Weekends &amp; &lt;b&gt;" checked' in page
    assert send_file(client, started, PDF).location == f"/c/o/{started}/answers"
    values = saved(services, started)
    assert (values["letter"], values["days"]) == ("Two\nwords", "Weekends & <b>")
    assert "my paper.pdf (1 kB)" in client.get(url(started, 3)).text
    download = client.get(f"/c/o/{started}/interview-files/{values['paper']['file']}")
    assert (download.data, download.headers["Content-Disposition"]) == (
        PDF,
        "attachment; filename=answer",
    )
    overview = client.get(f"/c/o/{started}/answers").text
    assert overview.count("Saved") == 3
    assert "my paper.pdf" in overview
    assert submit_form(client, overview, f"/c/o/{started}/send").status_code == 303
    page = client.get(f"/c/o/{started}/").text
    assert "Your interview has been submitted." in page
    assert "3 of 3" in page


def test_unanswered_question_prevents_the_submission(
    client: FlaskClient, services: Services, started: str
) -> None:
    answer(client, started, 1, "Two words")
    form = {"csrf_token": token(client, started)}
    assert client.post(f"/c/o/{started}/send", data=form).location == f"/c/o/{started}/answers"
    overview = client.get(f"/c/o/{started}/answers").text
    assert "You have answered 1 of 3 questions" in overview
    assert "Which days?" in overview  # it has no time to think, so the list may show it


@pytest.mark.parametrize(
    ("number", "text", "problem"),
    [
        (1, "One too many", "This answer has 3 words. Shorten it to 2"),
        (1, "x" * 5001, "This answer has 5001 characters. Shorten it to 5000"),
        (2, "Never", "Choose one of the options"),
    ],
)
def test_wrong_answer_is_shown_again_with_advice(
    client: FlaskClient, services: Services, started: str, number: int, text: str, problem: str
) -> None:
    response = answer(client, started, number, text)
    assert (response.status_code, problem in response.text) == (400, True)
    assert number == 2 or text in response.text
    reply = answer(client, started, number, text, JSON)
    assert (reply.status_code, reply.json) == (400, {"error": problem})
    assert saved(services, started) == {}


def test_script_gets_the_clock_and_the_next_page(client: FlaskClient, started: str) -> None:
    reply = answer(client, started, 1, "Two words", JSON, go="overview").json
    assert reply
    assert reply["next"] == f"/c/o/{started}/answers"
    assert reply["seconds_left"] > 0
    assert set(client.get(f"/c/o/{started}/interview-time").json or {}) == {"now", "seconds_left"}


def test_older_save_never_replaces_a_newer_one(
    client: FlaskClient, services: Services, clock: ManualClock, started: str
) -> None:
    number = to_milliseconds(clock.now())
    assert answer(client, started, 1, "newer", JSON, given_at=number).status_code == 200
    assert answer(client, started, 1, "newer", JSON, given_at=number).status_code == 200
    reply = answer(client, started, 1, "older", JSON, given_at=number - 1)
    assert reply.status_code == 409
    assert reply.json
    assert (reply.json["standing"], reply.json["number"]) == ([["answer", "newer"]], number)
    assert saved(services, started) == {"letter": "newer"}
    removed = answer(client, started, 1, "", JSON, given_at=number + 1)
    assert removed.status_code == 200
    assert answer(client, started, 1, "newer", JSON, given_at=number).status_code == 409
    assert saved(services, started) == {}


def test_unchanged_form_keeps_the_answer_of_another_window(
    client: FlaskClient, services: Services, started: str
) -> None:
    answer(client, started, 1, "Two words")
    answer(client, started, 1, "", shown="")
    answer(client, started, 2, None, shown="")
    assert saved(services, started) == {"letter": "Two words"}


def test_answer_after_the_end_is_refused(
    client: FlaskClient, services: Services, clock: ManualClock, started: str
) -> None:
    form_token = token(client, started)
    clock.advance(timedelta(days=60))
    form = {"csrf_token": form_token, "answer": "late"}
    assert client.post(url(started, 1, "answer"), data=form).status_code in (403, 409)
    assert saved(services, started) == {}


def test_question_takes_only_its_own_answer(client: FlaskClient, started: str) -> None:
    form = {"csrf_token": token(client, started), "answer": "x"}
    assert client.post(url(started, 3, "answer"), data=form).status_code == 404
    assert client.post(url(started, 1, "file"), data=form).status_code == 404
    assert client.post(url(started, 1, "show"), data=form).status_code == 404


def test_wrong_file_is_refused_and_a_removed_one_is_no_answer(
    client: FlaskClient, services: Services, started: str
) -> None:
    refused = send_file(client, started, b"\x89PNG\r\n\x1a\n", "a.png")
    assert (refused.status_code, "Please send a PDF" in refused.text) == (400, True)
    assert list(services.media.list_files(folder="answer-files")) == []
    send_file(client, started, PDF, go="stay")
    with services.db.reading() as session:
        stored = [file.key for file in list_media_references(session)]
    assert stored == [key for key, _ in services.media.list_files()]
    form = {"csrf_token": token(client, started), "go": "remove"}
    assert client.post(url(started, 3, "file"), data=form).location == url(started, 3)
    assert saved(services, started) == {}


def test_files_of_one_attempt_are_limited(
    client: FlaskClient, services: Services, started: str
) -> None:
    for _ in range(MAX_FILES):
        assert send_file(client, started, PDF).status_code == 303
    assert send_file(client, started, PDF).status_code == 409
    assert len(list(services.media.list_files(folder="answer-files"))) == MAX_FILES


def test_deadline_submits_what_was_answered(
    client: FlaskClient, services: Services, started: str
) -> None:
    answer(client, started, 1, "Two words")
    with services.db.writing() as session:
        order = Interview.find(session, started)
        order.close_at_deadline(session, services.secret_box, services.now())
        assert order.progress == "submitted"
        assert [question.key for question in order.unrated_questions()] == ["letter"]


def test_texts_are_rated_reported_and_their_files_deleted(
    client: FlaskClient, services: Services, started: str
) -> None:
    answer_all(client, started)
    with services.db.writing() as session:
        order = Interview.find(session, started)
        order.submit(session, services.now())
        for question in order.unrated_questions():
            order.rate(question.key, 5, "", "rita@provider.test", services.now())
        order.conclude(session, services.secret_box, "", "rita@provider.test", services.now())
        answers = order.evidence(services.secret_box).video_answers
        assert [row.text for row in answers] == ["Two\nwords", "Both", "my paper.pdf (1 kB)"]
        assert [bool(row.file_id) for row in answers] == [False, False, True]
        assert order.result
        assert order.result.score == 100
        pages = {
            place: Link.find_permanent(session, order, place) for place in (REPORT, PDF_REPORT)
        }
        tokens = {
            place: link.get_token(services.secret_box) for place, link in pages.items() if link
        }
    file_id = answers[2].file_id
    report = client.get(f"/r/{tokens[REPORT]}").text
    assert "Two\nwords" in report
    assert "Both" in report
    assert f'href="/r/{tokens[REPORT]}/files/{file_id}"' in report
    file = client.get(f"/r/{tokens[REPORT]}/files/{file_id}")
    assert (file.data, file.headers["Content-Disposition"]) == (
        PDF,
        "attachment; filename=paper.pdf",
    )
    assert client.get(f"/r/{tokens[REPORT]}/files/other").status_code == 404
    texts = pdf_text(client.get(f"/r/{tokens[PDF_REPORT]}/report.pdf").data)
    for text in ("Two", "Both", "my paper.pdf (1 kB)", "5 of 5"):
        assert text in texts
    now = services.now()
    assert delete_recordings(services.db, services.media, started, actor="sam", now=now) == 1
    assert list(services.media.list_files(folder="answer-files")) == []
    assert client.get(f"/r/{tokens[REPORT]}/files/{file_id}").status_code == 410


def test_staff_see_the_answers_after_the_submission(
    client: FlaskClient, services: Services, started: str
) -> None:
    answer_all(client, started)
    file_id = saved(services, started)["paper"]["file"]
    console = ConsoleClient.signed_in(services, client, "reviewer")
    page = f"/console/orders/{started}/interview"
    assert "Two\nwords" not in console.get_text(page)
    assert console.client.get(f"{page}/files/{file_id}").status_code == 409
    with services.db.writing() as session:
        Interview.find(session, started).submit(session, services.now())
    text = console.get_text(page)
    assert "Two\nwords</blockquote>" in text
    assert "Both</blockquote>" in text
    assert text.count("Save<span") == 4  # each answer can be rated, and the whole
    download = console.client.get(f"{page}/files/{file_id}")
    assert (download.data, download.mimetype) == (PDF, "application/octet-stream")
    assert "attachment" in download.headers["Content-Disposition"]


def test_answers_are_exported_and_erased(
    client: FlaskClient, services: Services, started: str, tmp_path: Path
) -> None:
    answer_all(client, started)
    file_id = saved(services, started)["paper"]["file"]
    with services.db.writing() as session:
        order = Interview.find(session, started)
        order.cancel(session, "sam", "The job is filled", services.now())
    folder = tmp_path / "export"
    with services.db.reading() as session:
        order = Interview.find(session, started)
        export_person(
            session,
            services.media,
            services.secret_box,
            order.account,
            order.candidate.email,
            folder,
        )
    document = json.loads((folder / "data.json").read_text())["orders"][0]
    rows = {row["question"]: row["value"] for row in document["tables"]["interview_answers"]}
    assert (rows["letter"], rows["days"]) == ("Two\nwords", "Both")
    assert document["tables"]["answer_files"][0]["name"] == "my paper.pdf"
    assert (folder / "files" / media_key(file_id)).read_bytes() == PDF
    deliver_everything(services)
    now = services.now()
    erase_order(services.db, services.media, services.secret_box, started, actor="sam", now=now)
    assert list(services.media.list_files(folder="answer-files")) == []
    with services.db.reading() as session:
        for table in (GivenAnswer, AnswerFile):
            assert session.scalar(select(func.count()).select_from(table)) == 0


def test_scripted_candidate_of_a_sandbox_answers_every_question(services: Services) -> None:
    public_id = place(services)
    step = ScriptedStep(services.secret_box, services.media, services.now(), is_good=True)
    for _ in range(4):  # start, answer, submit, rate
        with services.db.writing() as session:
            play_step(session, Interview.find(session, public_id), step)
    with services.db.reading() as session:
        order = Interview.find(session, public_id)
        assert order.status == "completed"
        assert order.result
        assert order.result.score == 100
    assert saved(services, public_id)["letter"] == "A reply"
